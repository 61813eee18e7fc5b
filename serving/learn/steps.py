"""Reads what the learner learns in its next step, and writes the credits that it has learned.

A step is small, and computed before its transaction, so that decisions do not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.statements import (
    Statement,
    among,
    as_json,
    select_in_batches,
    texts_of,
)
from features.outcomes.delay_epochs import ResponseDelays
from features.outcomes.logged_actions import read_logged_actions
from serving.learn.credits import (
    CreditChange,
    Key,
    ReadActions,
    credit_rows,
    read_credit_changes,
    write_credits,
)
from serving.learn.set_aside import all_set_aside, set_aside, set_aside_among, take_back

CLOCK = "learner clock"  # key in `meta`: the latest time of a step, microseconds since 1970
AT_ONCE = 500  # decisions of a step, at most: the lock is held for some 5 ms
# Decisions that share an outcome with those of a step, at most, if the step has several decisions.
SHARERS = 1_000

_TOLD = tables.outcomes.c
_MARK_LEARNED = Statement(
    tables.outcomes.update()
    .where(_TOLD.outcome_id.in_(sa.select(texts_of("ids").c.value)))
    .values(learned=sa.true())
)
# The latest time of a step. A step at an earlier one tells that the clock was put right.
_NOTE_CLOCK = Statement(
    sa.text(
        f"INSERT INTO meta (key, value) VALUES ('{CLOCK}', :at) ON CONFLICT (key) DO UPDATE SET "
        "value = excluded.value WHERE CAST(meta.value AS BIGINT) < CAST(excluded.value AS BIGINT)"
    )
)


class Batch(NamedTuple):
    """The work of one step.

    Attributes
    ----------
    outcome_ids
        Outcomes to be marked as learned.
    decision_ids
        Decisions whose credits are to be computed.
    due
        Actions among them whose silence is to be revised.
    sharers
        Decisions that share an outcome with these, and wait for later steps.
    retried
        Decisions among them that were set aside; such a one is a step of its own.
    is_full
        More waits than the step can take.
    """

    outcome_ids: Sequence[str]
    decision_ids: Sequence[str]
    due: Sequence[Key]
    sharers: Sequence[str]
    retried: Sequence[str]
    is_full: bool


class StepChanges(NamedTuple):
    """Findings of one step, to be written.

    Attributes
    ----------
    outcome_ids
        To be marked as learned.
    credits
        Those that change, and those with another time of revision.
    rows
        Those of the credits.
    stopped
        Actions whose silence waits for a revision and cannot be read.
    sharers
        Decisions that a later step reads.
    retried
        Decisions that were set aside, and are learned from now.
    """

    outcome_ids: Sequence[str] = ()
    credits: Sequence[CreditChange] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    stopped: Sequence[Key] = ()
    sharers: Sequence[str] = ()
    retried: Sequence[str] = ()

    @property
    def shown_first(self) -> int:
        """Number of shown decisions that come up for the first time, at most."""
        new = {one.action.shown.decision_id for one in self.credits if one.is_first}
        return len(new) + len(self.stopped)


def read_changes(
    connection: sa.Connection,
    batch: Batch,
    layout: str,
    now: datetime,
    delays: ResponseDelays,
    read_actions: ReadActions = read_logged_actions,
) -> StepChanges:
    """Compute the credits of a batch."""
    ids = batch.decision_ids
    credits = read_credit_changes(connection, ids, layout, now, delays, read_actions)
    read = {change.action.shown.key for change in credits}
    stopped = [key for key in batch.due if key not in read]
    # Only the learner publishes, so the next snapshot is the first with these credits.
    following = sa.select(sa.func.coalesce(sa.func.max(tables.snapshots.c.sequence), 0) + 1)
    rows = credit_rows(credits, connection.execute(following).scalar_one())
    return StepChanges(batch.outcome_ids, credits, rows, stopped, batch.sharers, batch.retried)


def write_changes(
    connection: sa.Connection, changes: StepChanges, now: datetime, delays: ResponseDelays
) -> None:
    """Write credits, and mark what was read.

    Raises
    ------
    DecisionErased
        See `write_credits`.
    """
    write_credits(connection, changes.rows)
    mark_learned(connection, changes.outcome_ids)
    stop_revising(connection, changes.stopped)
    revise_soon(connection, changes.sharers, now)
    delays.keep_first_shown(connection)
    _NOTE_CLOCK.run(connection, {"at": str(tables.micros(now))})
    if changes.retried:
        take_back(connection, changes.retried)


def next_batch(connection: sa.Connection, now: datetime, most: int) -> Batch:
    """Choose what to learn next: outcomes and silences, those that wait longest first.

    A decision that shares an outcome with one of these may have lost its credit, or got it back.
    It belongs to the step as far as there is room; a later step takes the others.

    Parameters
    ----------
    most : int
        So many decisions, at most.
    """
    told = unlearned_outcomes(connection, most + 1)
    due = due_revisions(connection, now, most + 1)
    n_told = min(len(told), max(most - len(due), (most + 1) // 2))
    chosen = dict(islice(told.items(), n_told))
    silent = due[: max(most - n_told, 0)]
    ids = list(dict.fromkeys([*chosen.values(), *(decision_id for decision_id, _ in silent)]))
    shared, aside = _shared_ids(connection, ids), set_aside_among(connection, ids)
    ids = list(_within(ids, shared, _count_sharers(connection, shared), aside))
    kept = {*ids}
    chosen = {name: decision_id for name, decision_id in chosen.items() if decision_id in kept}
    silent = [key for key in silent if key[0] in kept]
    names = {name for one in {*chosen.values()} for name in shared.get(one, ())}
    others = [one for one in _sharers(connection, names) if one not in kept]
    retried = [one for one in ids if one in aside]
    room = 0 if retried else max(most - len(ids), 0)
    is_full = len(chosen) < len(told) or len(silent) < len(due) or len(others) > room
    together = [*ids, *others[:room]]
    return Batch(list(chosen), together, silent, others[room:], retried, is_full)


def set_batch_aside(
    connection: sa.Connection, batch: Batch, problem: str, now: datetime, delays: ResponseDelays
) -> None:
    """Keep a batch out of the next steps, without learning from it."""
    columns = tables.credits.c
    query = sa.select(columns.decision_id, columns.action_id)
    rows = connection.execute(query.where(among(columns.decision_id, batch.decision_ids)))
    stopped = [(row.decision_id, row.action_id) for row in rows]
    changes = StepChanges(batch.outcome_ids, stopped=stopped, sharers=batch.sharers)
    write_changes(connection, changes, now, delays)
    set_aside(connection, batch.decision_ids, problem, now)


def try_again(connection: sa.Connection, now: datetime) -> None:
    """Let the next steps read the decisions that were set aside."""
    revise_soon(connection, all_set_aside(connection), now)


def unlearned_outcomes(connection: sa.Connection, most: int) -> dict[str, str]:
    """Outcomes not learned yet, the first received first: outcome_id to decision_id."""
    columns = tables.outcomes.c
    query = sa.select(columns.outcome_id, columns.decision_id).where(~columns.learned)
    rows = connection.execute(query.order_by(columns.received_at).limit(most))
    return {row.outcome_id: row.decision_id for row in rows}


def due_revisions(connection: sa.Connection, now: datetime, most: int) -> list[Key]:
    """Find the actions whose silence is to be revised by ``now``, those that wait longest first."""
    columns = tables.credits.c
    query = sa.select(columns.decision_id, columns.action_id).where(columns.revise_at <= now)
    rows = connection.execute(query.order_by(columns.revise_at).limit(most))
    return [(row.decision_id, row.action_id) for row in rows]


def mark_learned(connection: sa.Connection, outcome_ids: Sequence[str]) -> None:
    """Keep outcomes out of `unlearned_outcomes` from now on."""
    if outcome_ids:
        _MARK_LEARNED.run(connection, {"ids": as_json(outcome_ids)})


def revise_soon(connection: sa.Connection, decision_ids: Sequence[str], now: datetime) -> None:
    """Put the actions of some decisions into `due_revisions`."""
    if decision_ids:
        columns = tables.credits.c
        later = sa.or_(columns.revise_at.is_(None), columns.revise_at > now)
        mine = among(columns.decision_id, decision_ids) & later
        connection.execute(tables.credits.update().where(mine).values(revise_at=now))


def stop_revising(connection: sa.Connection, keys: Sequence[Key]) -> None:
    """Keep actions out of `due_revisions` from now on, such as those of another layout."""
    columns = tables.credits.c
    mine = sa.and_(
        columns.decision_id == sa.bindparam("decision"), columns.action_id == sa.bindparam("action")
    )
    if keys:
        update = tables.credits.update().where(mine).values(revise_at=None)
        connection.execute(
            update, [{"decision": decision, "action": action} for decision, action in keys]
        )


def _shared_ids(connection: sa.Connection, decision_ids: Sequence[str]) -> dict[str, list[str]]:
    """The ``shared_id`` of all outcomes of some decisions, by decision."""
    columns = tables.outcomes.c
    query = sa.select(columns.decision_id, columns.shared_id).distinct()
    query = query.where(columns.shared_id.is_not(None))
    found: dict[str, list[str]] = {}
    for row in select_in_batches(connection, query, columns.decision_id, decision_ids):
        found.setdefault(row.decision_id, []).append(row.shared_id)
    return found


def _count_sharers(
    connection: sa.Connection, shared: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Count the outcomes with each of some ``shared_id``."""
    names = {name for some in shared.values() for name in some}
    columns = tables.outcomes.c
    query = sa.select(columns.shared_id, sa.func.count().label("n")).group_by(columns.shared_id)
    rows = select_in_batches(connection, query, columns.shared_id, sorted(names))
    return {row.shared_id: row.n for row in rows}


def _within(
    ids: Sequence[str],
    shared: Mapping[str, Sequence[str]],
    counts: Mapping[str, int],
    aside: Set[str],
) -> Iterator[str]:
    """The first decisions that share with at most `SHARERS` others in all; at least one.

    One that was set aside is returned alone.
    """
    seen: set[str] = set()
    for number, decision_id in enumerate(ids):
        seen.update(shared.get(decision_id, ()))
        too_many = sum(counts[name] for name in seen) > SHARERS
        if number and (too_many or decision_id in aside):
            return
        yield decision_id
        if decision_id in aside:
            return


def _sharers(connection: sa.Connection, names: Iterable[str]) -> list[str]:
    """The decisions that have an outcome with one of these ``shared_id``, sorted."""
    columns = tables.outcomes.c
    query = sa.select(columns.decision_id).distinct()
    rows = select_in_batches(connection, query, columns.shared_id, sorted(names))
    return sorted({row.decision_id for row in rows})
