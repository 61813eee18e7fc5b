"""Defines tables of work on stored rows: checkpoints, rewards, the learner's, and erasures."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import sqlalchemy as sa

from features.ledger.columns import SERIAL, TEXT, UtcMicros, metadata, partial_index
from features.ledger.statements import Statement

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
partial_index("erasures_unfinished", erasures.c.finished_at.is_(None), erasures.c.asked_at)
# The keys and the decision ids of an erasure in plain text, until it is finished.
erasure_keys = sa.Table(
    "erasure_keys",
    metadata,
    sa.Column("erasure_id", TEXT, primary_key=True),
    sa.Column("kind", TEXT, primary_key=True),  # key, decision or held
    sa.Column("value", TEXT, primary_key=True),
)
# The table customer x day x arm of the rewards of decisions that were shown, with the days of one
# customer packed into one row (`rewards.reward_rows`). `window_ends`: the ends of the attribution
# windows, in the order of the days; read before `windows_differ_until`. `unknown_actions`: JSON,
# actions that the catalogue does not have any more, each with its day; null: none.
reward_days = sa.Table(
    "reward_days",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("windows_differ_until", UtcMicros, nullable=False),
    sa.Column("days", sa.LargeBinary, nullable=False),
    sa.Column("window_ends", sa.LargeBinary, nullable=False),
    sa.Column("unknown_actions", TEXT),
    sa.Column("step", sa.BigInteger, nullable=False, index=True),  # that wrote the row
)
# The table customer x day of the margin of events, and of leaving, packed alike
# (`rewards.event_days`).
event_days = sa.Table(
    "event_days",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("days", sa.LargeBinary, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False, index=True),  # that wrote the row
)
# What `event_days` holds of events that retention has deleted, by the key under which they happened
# (`rewards.pruned_events`). `last_at`: the last of them by which the customer left or came back.
pruned_event_days = sa.Table(
    "pruned_event_days",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("days", sa.LargeBinary, nullable=False),
    sa.Column("last_at", UtcMicros),
    sa.Column("last_is_back", sa.Boolean),
)
# Rows of `reward_days` and `event_days` that have to be computed again. `number` is raised when the
# same key is marked again, so that a mark that came during the computation is not lost.
reward_marks = sa.Table(
    "reward_marks",
    metadata,
    sa.Column("kind", TEXT, primary_key=True),  # decision, customer or events
    sa.Column("key", TEXT, primary_key=True),  # decision_id or customer_id
    sa.Column("day", sa.BigInteger, primary_key=True),  # of events; else -1
    sa.Column("number", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
# Customers whose journeys have to be cut again (`analytics.refresh`): something of their past came,
# went or changed. `customer_id` is the key under which it did, which may be merged with others.
# `number` is another one at each mark, so that a mark that came during the cutting is not lost.
journey_marks = sa.Table(
    "journey_marks",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
# Counts of journeys by cell, whole numbers; a cell with 0 has no row. See `analytics.cube`.
journey_cube = sa.Table(
    "journey_cube",
    metadata,
    sa.Column("build", sa.BigInteger, primary_key=True, autoincrement=False),
    *(sa.Column(name, sa.Integer, primary_key=True) for name in ("what", "map", "start_day")),
    sa.Column("entry_channel", sa.Integer, primary_key=True),
    sa.Column("persona", TEXT, primary_key=True),
    *(sa.Column(name, sa.BigInteger, primary_key=True) for name in ("a", "b")),
    sa.Column("how", sa.Integer, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
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
# The learner's position: `base` is the bandit version on which it builds, `revision` the number of
# its steps, `token` the random name of the last of them. The sums themselves are in a file of the
# home (`learn.checkpoints`) plus the steps after it (`learned_steps`). `bandit_state`: the sums as
# an earlier release kept them; null once the learner has written a checkpoint.
learner_state = sa.Table(
    "learner_state",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("base", TEXT, nullable=False),
    sa.Column("bandit_state", sa.LargeBinary),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("token", TEXT),
)
# The outcomes that each step of the learner has counted, packed (vectors, actions, weights), until
# a checkpoint holds them. A null payload: the state was made anew in this step, as when all credits
# were counted again, so it can only be read from a checkpoint of this step or a later one.
learned_steps = sa.Table(
    "learned_steps",
    metadata,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("token", TEXT, nullable=False),
    sa.Column("payload", sa.LargeBinary),
)
# Decisions that the learner could not learn from after several tries, and the reason.
learner_set_aside = sa.Table(
    "learner_set_aside",
    metadata,
    sa.Column("decision_id", TEXT, primary_key=True),
    sa.Column("set_aside_at", UtcMicros, nullable=False),
    sa.Column("problem", TEXT, nullable=False),
)
# The bandits that the workers load, thinned as they grow older. `payload`: what all actions share,
# and in a snapshot of an earlier release all of it. `since`: the number of the snapshot that was
# the last one written whole; the rows of `snapshot_actions` from there on belong to it. Null: a
# snapshot of an earlier release. An empty `base`: its rows are being written, nobody reads it yet.
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("sequence", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("base", TEXT, nullable=False),
    sa.Column("published_at", UtcMicros, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("since", sa.BigInteger),
    sa.Index("snapshots_by_time", "published_at", "sequence", "base"),  # all that thinning reads
    sqlite_autoincrement=True,
)
# The numbers of one action, as of the snapshot that was the first with them. A snapshot has, of
# each action, the row with the greatest `sequence` that is not above its own (nor below `since`);
# of an action without such a row, the numbers in the parts that its payload names.
snapshot_actions = sa.Table(
    "snapshot_actions",
    metadata,
    # In the order in which rows are written: a row between others would write their pages again.
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("action_id", TEXT, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
# Parts that several snapshots share (`snapshots`), by the hash of their content. `last_sequence`:
# the last snapshot of an earlier release with the part; 0: none (`snapshot_part_uses`).
snapshot_parts = sa.Table(
    "snapshot_parts",
    metadata,
    sa.Column("digest", TEXT, primary_key=True),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
# The numbers of the snapshots that have a part: the first and the last one in a row; a null last
# one: the newest. They are not kept with the part, whose content is large and would be written
# again with them.
snapshot_part_uses = sa.Table(
    "snapshot_part_uses",
    metadata,
    sa.Column("digest", TEXT, primary_key=True),
    sa.Column("first_sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last_sequence", sa.BigInteger),
    sqlite_with_rowid=False,
)

LEARNED_AT_ONCE = 5  # steps of the learner that are emptied in one transaction: some 0.5 MB
# The kinds of marks; see `reward_marks`.
DECISION, CUSTOMER, EVENTS = "decision", "customer", "events"
ANY_DAY = -1
_MARK = Statement(
    sa.text(
        "INSERT INTO reward_marks (kind, key, day, number) VALUES (:kind, :key, :day, 1) "
        "ON CONFLICT (kind, key, day) DO UPDATE SET number = reward_marks.number + 1"
    )
)

_MARK_JOURNEYS = Statement(
    sa.text(
        "INSERT INTO journey_marks (customer_id, number) VALUES (:customer_id, :number) "
        "ON CONFLICT (customer_id) DO UPDATE SET number = excluded.number"
    )
)


def mark_decisions(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Mark decisions whose outcomes or showing changed, and those that share outcomes with them."""
    _mark(connection, DECISION, ((one, ANY_DAY) for one in decision_ids))


def mark_customers(connection: sa.Connection, customer_ids: Iterable[str]) -> None:
    """Mark all days, and the journeys, of customers whose decisions or events came or went."""
    keys = list(customer_ids)
    _mark(connection, CUSTOMER, ((one, ANY_DAY) for one in keys))
    mark_journeys(connection, keys)


def mark_journeys(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Mark the journeys of customers, by any of their keys; in the transaction of the change."""
    number = secrets.randbits(62)
    # In one order, so that two writers cannot wait for each other.
    rows = [{"customer_id": key, "number": number} for key in sorted(keys)]
    _MARK_JOURNEYS.run_many(connection, rows)


def mark_event_days(connection: sa.Connection, days: Iterable[tuple[str, int]]) -> None:
    """Mark customers and days (since 1970, UTC) on which events with a value came."""
    _mark(connection, EVENTS, days)


def _mark(connection: sa.Connection, kind: str, keys: Iterable[tuple[str, int]]) -> None:
    _MARK.run_many(connection, [{"kind": kind, "key": key, "day": day} for key, day in keys])


def empty_learned_steps(connection: sa.Connection) -> bool:
    """Empty some steps of the learner; return whether all are empty.

    They hold features of customers without saying whose, so those of all are emptied. No later step
    has those of a deleted decision. The learner writes a checkpoint soon; without one, it would
    count all credits again after a restart.
    """
    steps = learned_steps.c
    query = sa.select(steps.revision).where(steps.payload.is_not(None))
    found = connection.execute(query.order_by(steps.revision).limit(LEARNED_AT_ONCE)).scalars()
    revisions = list(found)
    mine = steps.revision.in_(revisions)
    connection.execute(learned_steps.update().where(mine).values(payload=None))
    return len(revisions) < LEARNED_AT_ONCE
