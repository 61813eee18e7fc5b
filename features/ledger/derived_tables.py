"""Defines tables of work on stored rows: checkpoints, accounts, relocations and erasures."""

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
# Requests to forget customers. `rows_erased_at`: when the last row was deleted from the ledger.
# `finished_at`: when the files were clean, too. `tried_at`: when the files were last looked at.
# `problems`: JSON from the name of a file that could not be cleaned to the reason.
erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("erasure_id", TEXT, primary_key=True),
    sa.Column("asked_at", UtcMicros, nullable=False, index=True),
    sa.Column("rows_erased_at", UtcMicros),
    sa.Column("tried_at", UtcMicros),
    sa.Column("finished_at", UtcMicros),
    sa.Column("problems", TEXT, nullable=False),
)
unfinished = erasures.c.finished_at.is_(None)
sa.Index(
    "erasures_unfinished",
    erasures.c.asked_at,
    sqlite_where=unfinished,
    postgresql_where=unfinished,
)
# The keys and the decision ids of an erasure in plain text, until it is finished.
erasure_keys = sa.Table(
    "erasure_keys",
    metadata,
    sa.Column("erasure_id", TEXT, primary_key=True),
    sa.Column("kind", TEXT, primary_key=True),  # key, decision or held
    sa.Column("value", TEXT, primary_key=True),
)
