"""Brings a ledger of schema 7 to schema 8; see `migrations`."""

from __future__ import annotations

import sqlalchemy as sa

# The account of a customer is that of its first key that has one; see `profiles.account_of`.
ACCOUNTS = """
INSERT INTO account_members (customer_id, account)
SELECT customer_id, account FROM (
    SELECT COALESCE(keys.customer_id, facts.customer_id) AS customer_id, facts.account AS account,
        ROW_NUMBER() OVER (
            PARTITION BY COALESCE(keys.customer_id, facts.customer_id)
            ORDER BY keys.rank, keys.serial
        ) AS place
    FROM customers AS facts LEFT JOIN identities AS keys ON keys.key = facts.customer_id
    WHERE facts.account <> ''
) AS named WHERE place = 1
"""
ACCOUNTS_OF_CONTACTS = """
UPDATE contacts SET account = (
    SELECT members.account FROM account_members AS members
    WHERE members.customer_id = contacts.customer_id
) WHERE customer_id IN (SELECT customer_id FROM account_members)
"""
# Decisions up to this serial were recorded with all keys of their request; see `erase_rows`.
RECORDS_WITH_KEYS = """
INSERT INTO meta (key, value)
SELECT 'records with keys up to serial', CAST(serial AS TEXT) FROM (
    SELECT MAX(serial) AS serial FROM decisions WHERE record IS NOT NULL
) AS last WHERE serial IS NOT NULL
"""
CHANGES = (
    "ALTER TABLE journey_states ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE journey_states ADD COLUMN problem {text}",
    "ALTER TABLE contacts ADD COLUMN account {text}",
    "CREATE TABLE account_members (customer_id {text} NOT NULL PRIMARY KEY, "
    "account {text} NOT NULL)",
    ACCOUNTS,
    ACCOUNTS_OF_CONTACTS,
    RECORDS_WITH_KEYS,
    "CREATE INDEX ix_account_members_account ON account_members (account)",
    "CREATE INDEX contacts_of_account ON contacts "
    "(account, shown_at, channel, action_group, action_id) WHERE account IS NOT NULL",
    "CREATE INDEX contacts_with_outcomes ON contacts (account, shown_at) "
    "WHERE account IS NOT NULL AND outcomes_at <> ''",
    "CREATE INDEX decisions_activated_later ON decisions (customer_id, activated_at) "
    "WHERE activation IS NOT NULL",
)


def to_schema_8(connection: sa.Connection) -> None:
    """Add the columns, tables and indexes of schema 8, and fill them from what is stored."""
    text = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    for change in CHANGES:
        connection.exec_driver_sql(change.replace("{text}", text))
