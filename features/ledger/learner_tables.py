"""Defines the tables that the learner writes: credits, its state, and published snapshots."""

from __future__ import annotations

import sqlalchemy as sa

from features.ledger.columns import SERIAL, TEXT, UtcMicros, metadata, partial_index

# The credit that the learner has counted for each shown action; revised with its outcomes and with
# the age of its silence. A row is inserted when the action is shown, with count 0.
credits = sa.Table(
    "credits",
    metadata,
    sa.Column("decision_id", TEXT, primary_key=True),
    sa.Column("action_id", TEXT, primary_key=True),
    sa.Column("acceptance", sa.Float, nullable=False),
    sa.Column("count", sa.Float, nullable=False),  # weight; 1 for an outcome, 0: not learned yet
    sa.Column("revise_at", UtcMicros),  # the learner's next look at the silence; null: none
    # The number of the snapshot that was the first with this credit as it is now; null: unknown.
    sa.Column("sequence", sa.BigInteger),
)
partial_index("credits_to_revise", credits.c.revise_at.is_not(None), credits.c.revise_at)
# The state of the learner, replaced in the transaction that marks its outcomes as learned.
learner_state = sa.Table(
    "learner_state",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("base", TEXT, nullable=False),  # the bandit version from which it started
    sa.Column("bandit_state", sa.LargeBinary, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)
# The bandits that the workers load. Old ones are deleted, as decisions log their probabilities.
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("sequence", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("base", TEXT, nullable=False),
    sa.Column("published_at", UtcMicros, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
# Parts that several snapshots share (`snapshots`), by the hash of their content.
snapshot_parts = sa.Table(
    "snapshot_parts",
    metadata,
    sa.Column("digest", TEXT, primary_key=True),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),  # the latest snapshot with the part
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
