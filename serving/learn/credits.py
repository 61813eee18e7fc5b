"""Reads and writes the learner's tables: outcomes not learned yet, and credits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import (
    Statement,
    as_json,
    select_in_batches,
    texts_of,
)
from features.outcomes.attribution import read_attribution
from features.outcomes.credit_rules import Credit, told_acceptance
from features.outcomes.delay_epochs import SETTLE, ResponseDelays
from features.outcomes.logged_actions import LoggedAction, read_logged_actions
from features.outcomes.silence import silent_interval
from training.arrays import ToldRewards

BATCH = 2_000  # decisions that are read at a time where all are counted again
Key = tuple[str, str]  # decision_id and action_id
ReadActions = Callable[[sa.Connection, Iterable[str], str], list[LoggedAction]]

# Times are given as microseconds, so that nothing is converted while the lock is held.
_WRITE = Statement(
    sa.text(
        "INSERT INTO credits (decision_id, action_id, acceptance, count, revise_at, sequence) "
        "VALUES (:decision_id, :action_id, :acceptance, :count, :revise_at, :sequence) "
        "ON CONFLICT (decision_id, action_id) DO UPDATE SET acceptance = excluded.acceptance, "
        "count = excluded.count, revise_at = excluded.revise_at, sequence = excluded.sequence"
    )
)
_COUNT_DECISIONS = Statement(
    sa.select(sa.func.count()).where(
        tables.decisions.c.decision_id.in_(sa.select(texts_of("ids").c.value))
    )
)


class StepSettings(NamedTuple):
    """Settings of a learner's steps, by which it learns the same.

    Attributes
    ----------
    read
        Reads logged actions as `read_logged_actions` does, and in its order.
    most : int
        Decisions of a step, at most; 0: as many as a server.
    resumes : bool
        Each step is kept for a restart. If not, all credits are counted again after one.
    """

    read: ReadActions = read_logged_actions
    most: int = 0
    resumes: bool = True


class CreditChange(NamedTuple):
    """A credit that is new, revised or taken back, or whose time of revision is another.

    Attributes
    ----------
    old, new : Credit or None
        As it was counted before and as it counts now; None: none counts.
    revise_at : datetime or None
        The next time at which the count of the silence changes; None: it is not silent, or its
        window has ended.
    sequence : int or None
        The number of the first snapshot with the old credit; None: unknown.
    """

    action: LoggedAction
    old: Credit | None
    new: Credit | None
    revise_at: datetime | None = None
    sequence: int | None = None

    @property
    def is_first(self) -> bool:
        """True if no snapshot has counted a credit of this action before."""
        return self.old is None and self.sequence is None


class WrittenCredit(NamedTuple):
    """A row of the table `credits`, without its key; see `CreditChange`."""

    credit: Credit | None
    revise_at: datetime | None
    sequence: int | None


def read_credit_changes(
    connection: sa.Connection,
    decision_ids: Sequence[str],
    layout: str,
    now: datetime,
    delays: ResponseDelays,
    read: ReadActions = read_logged_actions,
) -> list[CreditChange]:
    """Compute the credits of decisions as of ``now``; return those that differ from the table.

    A reported acceptance counts 1, a silence as a part of no acceptance; see `silence_count`.
    """
    actions = read(connection, decision_ids, layout)
    written = read_credits(connection, decision_ids)
    current = current_credits(connection, actions, now, delays)
    changes = []
    for action, (new, revise_at) in zip(actions, current, strict=True):
        before = written.get(action.shown.key)
        old, sequence = (before.credit, before.sequence) if before else (None, None)
        if before is None or (new, revise_at) != (old, before.revise_at):
            changes.append(CreditChange(action, old, new, revise_at, sequence))
    return changes


def current_credits(
    connection: sa.Connection,
    actions: Sequence[LoggedAction],
    now: datetime,
    delays: ResponseDelays,
    received_before: datetime | None = None,
) -> Iterator[tuple[Credit | None, datetime | None]]:
    """Compute the credit of each action as of ``now``, and the time of its next revision.

    Parameters
    ----------
    received_before
        See `read_attribution`.
    """
    catalog, shown = delays.catalog, [one.shown for one in actions]
    attribution = read_attribution(connection, shown, catalog, received_before)
    for action, attributed in zip(actions, attribution.actions, strict=True):
        told = told_acceptance(attributed, attribution.shares, catalog)
        if told is not None:
            yield Credit(told, 1.0), None
            continue
        interval = silent_interval(attributed.shown, now)
        logged = action.channel, action.believed
        count = delays.silence_count(connection, action.shown, interval, *logged)
        yield Credit(0.0, count) if count > 0 else None, interval.end_at


def told_rewards(
    ledger: Ledger, actions: Sequence[LoggedAction], delays: ResponseDelays
) -> ToldRewards:
    """Compute the credits of some actions as of the time when the last of them was shown.

    That time less `SETTLE`, so that all outcomes that were received before it are on disk: the
    result depends on the ledger alone, and not on when a learner came to it. An action that was
    shown later counts 0.
    """
    at = max(one.shown.shown_at for one in actions) - SETTLE

    def read(connection: sa.Connection, start: int) -> list[Credit | None]:
        some = actions[start : start + BATCH]
        found = zip(some, current_credits(connection, some, at, delays, at), strict=True)
        return [credit if one.shown.shown_at < at else None for one, (credit, _) in found]

    parts = [ledger.read(partial(read, start=start)) for start in range(0, len(actions), BATCH)]
    credits = [credit for part in parts for credit in part]
    return ToldRewards(
        np.array([one.shown.action_id for one in actions]),
        np.array([one.acceptance if one else 0.0 for one in credits], dtype=np.float64),
        np.array([one.count if one else 0.0 for one in credits], dtype=np.float64),
    )


def read_credits(
    connection: sa.Connection, decision_ids: Sequence[str]
) -> Mapping[Key, WrittenCredit]:
    """Read the credits that were counted, by decision_id and action_id."""
    columns = tables.credits.c
    key = columns.decision_id, columns.action_id
    credited = columns.acceptance, columns["count"], columns.revise_at, columns.sequence
    query = sa.select(*key, *credited)
    found = {}
    for row in select_in_batches(connection, query, columns.decision_id, decision_ids):
        cells: list[Any] = list(row)
        decision_id, action_id, acceptance, count, revise_at, sequence = cells
        credit = Credit(acceptance, count) if count > 0 else None
        found[decision_id, action_id] = WrittenCredit(credit, revise_at, sequence)
    return found


def credited_decisions(connection: sa.Connection, after: str = "", most: int = BATCH) -> list[str]:
    """The next decisions that have a credit, by id; ``after``: the last one before them."""
    columns = tables.credits.c
    query = sa.select(columns.decision_id).where(columns["count"] > 0, columns.decision_id > after)
    query = query.distinct().order_by(columns.decision_id).limit(most)
    return list(connection.execute(query).scalars())


def shown_decisions(
    column: sa.ColumnElement[Any], before: datetime | None = None
) -> sa.Select[Any]:
    """Select a column of the decisions that showed an action, all or those before a time.

    Those that are set aside are left out.
    """
    decided, aside = tables.decisions.c, tables.learner_set_aside.c
    mine = tables.credits.c.decision_id == decided.decision_id
    cannot = sa.exists().where(aside.decision_id == decided.decision_id)
    query = sa.select(column).where(decided.served, sa.exists().where(mine), ~cannot)
    return query if before is None else query.where(decided.activated_at < before)


def first_shown_decisions(
    connection: sa.Connection, after: int, count: int, before: datetime | None = None
) -> list[str]:
    """The first decisions that showed an action, by serial.

    Parameters
    ----------
    after, count : int
        So many are left out, and so many follow.
    before
        Only those that were shown before this time.
    """
    decided = tables.decisions.c
    query = shown_decisions(decided.decision_id, before)
    query = query.order_by(decided.serial).offset(after).limit(count)
    return list(connection.execute(query).scalars())


def count_shown_decisions(connection: sa.Connection, before: datetime | None = None) -> int:
    """Count the decisions that showed an action, all or those before a time."""
    count: int = connection.execute(shown_decisions(sa.func.count(), before)).scalar_one()
    return count


def newest_shown_decisions(
    connection: sa.Connection, count: int, every: int = 1, before: datetime | None = None
) -> list[str]:
    """The ``count`` latest decisions that showed an action, the newest first.

    Parameters
    ----------
    every : int
        Only one of so many decisions is taken, by serial.
    before
        Only those that were shown before this time.
    """
    decided = tables.decisions.c
    query = shown_decisions(decided.decision_id, before)
    query = query.where(decided.serial % every == 0) if every > 1 else query
    query = query.order_by(decided.serial.desc()).limit(count)
    return list(connection.execute(query).scalars())


class DecisionErased(RuntimeError):
    """A decision was erased since it was read; the step is to be computed again without it."""


def credit_rows(changes: Sequence[CreditChange], sequence: int | None) -> list[dict[str, Any]]:
    """Make the rows of credits that count now, with their next revisions.

    Parameters
    ----------
    sequence
        The number of the snapshot that is the first with the new credits.
    """
    return [
        {
            "decision_id": action.shown.decision_id,
            "action_id": action.shown.action_id,
            "acceptance": new.acceptance if new else 0.0,
            "count": new.count if new else 0.0,
            "revise_at": None if revise_at is None else tables.micros(revise_at),
            "sequence": before if new == old else sequence,
        }
        for action, old, new, revise_at, before in changes
    ]


def write_credits(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows that `credit_rows` made before the transaction.

    Raises
    ------
    DecisionErased
        If the customer of one of the decisions was forgotten meanwhile.
    """
    if not rows:
        return
    ids = {row["decision_id"] for row in rows}
    [(there,)] = _COUNT_DECISIONS.rows(connection, {"ids": as_json(ids)})
    if there < len(ids):
        raise DecisionErased("a decision was erased since it was read")
    _WRITE.run_many(connection, rows)
