"""The larger migrations: from schema 7 to 8, and each one up to 14; see `migrations`."""

from __future__ import annotations

from collections.abc import Iterator

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


# Until schema 8 a link that was undone and made again lost the time of its undoing. The key of a
# table cannot be changed in SQLite, so the table is written anew.
LINK_HISTORY = (
    "CREATE TABLE links_of_schema_8 AS SELECT * FROM links",
    "DROP TABLE links",
    'CREATE TABLE links ("left" {text} NOT NULL, "right" {text} NOT NULL, '
    "linked_at BIGINT NOT NULL, cause {text} NOT NULL, undone_at BIGINT, undone_cause {text}, "
    'PRIMARY KEY ("left", "right", linked_at))',
    'INSERT INTO links ("left", "right", linked_at, cause, undone_at, undone_cause) '
    'SELECT "left", "right", linked_at, cause, undone_at, undone_cause FROM links_of_schema_8',
    "DROP TABLE links_of_schema_8",
    'CREATE INDEX links_of_right ON links ("right")',
)
# An anonymous key of a named customer is held by that customer from ever
# (since 1970), until the next login. The holder is a key that the device is linked with, because
# the customer may be split.
HELD_FROM_EVER = """
INSERT INTO logins (key, at, event_id, holder, node, void)
SELECT device.key, 0, '', COALESCE(
    (SELECT MIN(named.key) FROM links JOIN identities AS named ON named.key = links."left"
     WHERE links."right" = device.key AND links.undone_at IS NULL AND named.rank < 2),
    (SELECT MIN(named.key) FROM links JOIN identities AS named ON named.key = links."right"
     WHERE links."left" = device.key AND links.undone_at IS NULL AND named.rank < 2),
    device.customer_id
), device.key, FALSE
FROM identities AS device JOIN identities AS naming ON naming.key = device.customer_id
WHERE device.rank = 2 AND naming.rank < 2
"""
LOGINS = (
    "CREATE TABLE logins (key {text} NOT NULL, at BIGINT NOT NULL, event_id {text} NOT NULL, "
    "holder {text} NOT NULL, node {text} NOT NULL, void BOOLEAN NOT NULL, "
    "PRIMARY KEY (key, at, event_id))",
    "CREATE INDEX logins_of_holder ON logins ({by_holder})",
    HELD_FROM_EVER,
)


def to_schema_9(connection: sa.Connection) -> None:
    """Add the columns and tables of schema 9, and fill them from what is stored."""
    is_postgresql = connection.dialect.name == "postgresql"
    text = 'TEXT COLLATE "C"' if is_postgresql else "TEXT"
    by_holder = "holder, key" if is_postgresql else "holder"
    for change in (*LINK_HISTORY, "ALTER TABLE events ADD COLUMN received_at BIGINT", *LOGINS):
        change = change.replace("{text}", text).replace("{by_holder}", by_holder)
        connection.exec_driver_sql(change)


# The time of the last outcome of each contact. Those that do not hold any more are not left out: a
# later time costs a read, and the contact policy looks at `outcomes_at`.
OUTCOME_AT = """
UPDATE contacts SET outcome_at = (
    SELECT MAX(told.occurred_at) FROM outcomes AS told
    WHERE told.decision_id = contacts.decision_id AND told.action_id IN (contacts.action_id, '')
) WHERE outcomes_at <> ''
"""
LAST_OUTCOMES = (
    "ALTER TABLE contacts ADD COLUMN outcome_at BIGINT",
    OUTCOME_AT,
    "DROP INDEX contacts_with_outcomes",
    "CREATE INDEX contacts_with_outcomes ON contacts (account, outcome_at) "
    "WHERE account IS NOT NULL AND outcome_at IS NOT NULL",
    "CREATE INDEX contacts_of_customer_with_outcomes ON contacts (customer_id, outcome_at) "
    "WHERE outcome_at IS NOT NULL",
)


def to_schema_10(connection: sa.Connection) -> None:
    """Add the time of the last outcome to contacts; opening the ledger creates the new tables.

    The number also keeps a server of an earlier release, which asks for no key, away from a ledger
    that has keys.
    """
    for change in LAST_OUTCOMES:
        connection.exec_driver_sql(change)


def to_schema_11(connection: sa.Connection) -> None:
    """Empty what an earlier copy of this program may have left; opening creates the new tables.

    The number keeps a server of an earlier release, which marks no journeys, away from a ledger
    whose journeys are kept up to date.
    """
    existing = sa.inspect(connection)
    for name in ("journey_marks", "journey_cube"):
        if existing.has_table(name):
            connection.exec_driver_sql(f"DELETE FROM {name}")


LEARNER_STATE = (
    "CREATE TABLE new_learner_state (key {text} NOT NULL, base {text} NOT NULL, "
    "bandit_state {blob}, revision INTEGER NOT NULL, token {text}, PRIMARY KEY (key))",
    "INSERT INTO new_learner_state (key, base, bandit_state, revision) "
    "SELECT key, base, bandit_state, revision FROM learner_state",
    "DROP TABLE learner_state",
    "ALTER TABLE new_learner_state RENAME TO learner_state",
)


def to_schema_12(connection: sa.Connection) -> None:
    """Add columns to decisions, snapshots and the learner's state; opening creates the new tables.

    The learner goes on from the sums that the ledger holds, and keeps them in a file from then on.
    """
    is_postgresql = connection.dialect.name == "postgresql"
    text = 'TEXT COLLATE "C"' if is_postgresql else "TEXT"
    blob = "BYTEA" if is_postgresql else "BLOB"
    not_learned = "NOT learned" if is_postgresql else "learned = 0"
    for change in (
        "DROP INDEX outcomes_to_learn",
        f"CREATE INDEX outcomes_to_learn ON outcomes (received_at) WHERE {not_learned}",
        f"ALTER TABLE decisions ADD COLUMN believed {blob}",
        "ALTER TABLE decisions ADD COLUMN slots_shown INTEGER",
        "CREATE INDEX decisions_with_slots ON decisions (arm, activated_at, slots_shown) "
        "WHERE slots_shown IS NOT NULL",
        "ALTER TABLE snapshots ADD COLUMN since BIGINT",
        "CREATE INDEX snapshots_by_time ON snapshots (published_at, sequence, base)",
        *(change.format(text=text, blob=blob) for change in LEARNER_STATE),
        *(_texts_as_bytes(connection) if is_postgresql else ()),
    ):
        connection.exec_driver_sql(change)


# Decisions up to this serial were made when there were two arms, policy and control.
TWO_ARMS = """
INSERT INTO meta (key, value)
SELECT 'two arms up to serial', CAST(serial AS TEXT) FROM (
    SELECT MAX(serial) AS serial FROM decisions
) AS last WHERE serial IS NOT NULL
"""


def to_schema_13(connection: sa.Connection) -> None:
    """Note which decisions are of before the three arms; opening creates the new tables."""
    connection.exec_driver_sql(TWO_ARMS)
    if sa.inspect(connection).has_table("event_days"):  # else it is created with the column
        added = "ALTER TABLE event_days ADD COLUMN step BIGINT NOT NULL DEFAULT 0"
        connection.exec_driver_sql(added)
        connection.exec_driver_sql("CREATE INDEX ix_event_days_step ON event_days (step)")


def to_schema_14(connection: sa.Connection) -> None:
    """Index decisions that were shown later by that time; opening creates the new tables."""
    connection.exec_driver_sql(
        "CREATE INDEX decisions_by_activation ON decisions (activated_at, serial) "
        "WHERE activation IS NOT NULL"
    )


def _texts_as_bytes(connection: sa.Connection) -> Iterator[str]:
    """Yield the changes by which PostgreSQL keeps bytes in a column of texts; SQLite does anyway.

    The texts stay as they are, in UTF-8; `columns.PackedJson` compresses those that follow.
    """
    for column in sa.inspect(connection).get_columns("decisions"):
        if column["name"] in ("record", "answer") and isinstance(column["type"], sa.Text):
            name = column["name"]
            yield (
                f"ALTER TABLE decisions ALTER COLUMN {name} TYPE BYTEA "
                f"USING convert_to({name}, 'UTF8')"
            )
