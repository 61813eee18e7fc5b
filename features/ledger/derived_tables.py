"""Defines tables that are derived from others: checkpoints of the fold, accounts, relocations."""

from __future__ import annotations

import sqlalchemy as sa

from features.ledger.columns import TEXT, UtcMicros, metadata

# The state of a customer or an account after all its events up to one of them. A late event is
# folded from the last checkpoint before it. Every checkpoint is valid: whoever changes the past of
# a customer deletes the checkpoints after the change in the same transaction.
journey_checkpoints = sa.Table(
    "journey_checkpoints",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("at", UtcMicros, primary_key=True),
    sa.Column("event_id", TEXT, primary_key=True),
    sa.Column("events_n", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)
# The account of each customer who belongs to one, after merges.
account_members = sa.Table(
    "account_members",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("account", TEXT, nullable=False, index=True),
)
# Rows of a key that are still stored under the customer to whom the key belonged before a merge or
# a split of long histories; they are moved in small steps. `after_us`: events up to then are moved.
relocations = sa.Table(
    "relocations",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("subject", TEXT, primary_key=True),
    sa.Column("after_us", sa.BigInteger, nullable=False),
)
