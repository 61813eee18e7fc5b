"""Brings a ledger of schema 7 to schema 8; see `migrations`."""

from __future__ import annotations

import sqlalchemy as sa

CHANGES = (
    "ALTER TABLE journey_states ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE journey_states ADD COLUMN problem TEXT",
    "ALTER TABLE contacts ADD COLUMN account TEXT",
    "CREATE INDEX contacts_of_account ON contacts (account, shown_at)",
)


def to_schema_8(connection: sa.Connection) -> None:
    """Add the columns and indexes of schema 8, and fill them from what is stored."""
    for change in CHANGES:
        connection.exec_driver_sql(change)
