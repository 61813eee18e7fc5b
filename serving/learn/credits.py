"""What the learner reads of the ledger, and writes beside its posterior: lessons and credits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import Catalog
from features.customers.identity import among
from features.ledger import tables
from features.ledger.databases import BUSY_MS
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import ShownAction, credit
from training.arrays import Floats

BATCH = 2_000  # decisions a step; keeps the writing transaction short
SETTLE = timedelta(milliseconds=BUSY_MS)  # after that a decision is on disk, or has failed


class Decided(NamedTuple):
    """A shown action, and what was known when it was decided.

    Attributes
    ----------
    row : shape (n_features,)
        What the models read of the customer.
    serial : int
        How many decisions there were before.
    expert_predictions : list of float
        Acceptance that each expert predicted; empty if that was not recorded.
    """

    shown: ShownAction
    channel: str
    row: Floats
    serial: int
    expert_predictions: Sequence[float]


class CreditChange(NamedTuple):
    """A credit that is new or revised; None: does not count (before, or any more)."""

    decided: Decided
    old: float | None
    new: float | None


def read_decided(
    connection: sa.Connection, decision_ids: Iterable[str], layout: str
) -> list[Decided]:
    """The actions that served decisions have shown.

    What was decided under another layout of features is left out: its numbers mean something
    else.
    """
    columns = tables.decisions.c
    read = (columns.channel, columns.features, columns.serial)
    query = sa.select(*DECISION_COLUMNS, *read).where(columns.served)
    found = []
    for one in among(connection, query, columns.decision_id, decision_ids):
        record = from_json(one.record) if one.features is not None else {}
        if record.get("features_layout") != layout:
            continue
        row = np.frombuffer(one.features, dtype="<f8").astype(np.float64)
        expert_predictions = record.get("experts", {})
        found += [
            Decided(
                shown, one.channel, row, one.serial, expert_predictions.get(shown.action_id, ())
            )
            for shown in shown_by(one)
        ]
    return found


def read_lessons(
    connection: sa.Connection,
    decision_ids: Sequence[str],
    layout: str,
    now: datetime,
    catalog: Catalog,
) -> list[CreditChange]:
    """What decisions teach by now, where it is not what was counted."""
    decided = read_decided(connection, decision_ids, layout)
    old = read_credits(connection, decision_ids)
    told = read_attribution(connection, [one.shown for one in decided], catalog)
    lessons = []
    for one, action in zip(decided, told.actions, strict=True):
        before = old.get(one.shown.key)
        new = credit(action, told.shares, now, catalog)
        if new != before:
            lessons.append(CreditChange(one, before, new))
    return lessons


def unlearned(connection: sa.Connection) -> dict[str, str]:
    """Outcomes not learned yet, with the decision of each."""
    columns = tables.outcomes.c
    query = sa.select(columns.outcome_id, columns.decision_id).where(~columns.learned)
    rows = connection.execute(query.order_by(columns.received_at).limit(BATCH))
    return {row.outcome_id: row.decision_id for row in rows}


def closed_windows(
    connection: sa.Connection, closed_at: datetime, now: datetime
) -> tuple[list[str], datetime]:
    """Decisions whose window has ended since ``closed_at``, and until when that is complete."""
    ends_at = tables.decisions.c.window_ends_at
    until = now - SETTLE
    closed = [tables.decisions.c.served, ends_at > closed_at, ends_at <= until]
    query = sa.select(ends_at).where(*closed).order_by(ends_at).offset(BATCH - 1).limit(1)
    last = connection.execute(query).scalar()
    if last is not None:  # more may wait; those of the last instant stay together
        until = last
        closed[-1] = ends_at <= until
    found = sa.select(tables.decisions.c.decision_id).where(*closed).order_by(ends_at)
    return list(connection.execute(found).scalars()), max(until, closed_at)


def mark_learned(connection: sa.Connection, outcome_ids: Sequence[str]) -> None:
    """These outcomes need not be looked at again."""
    mine = tables.outcomes.c.outcome_id.in_(outcome_ids)
    connection.execute(tables.outcomes.update().where(mine).values(learned=True))


def read_credits(
    connection: sa.Connection, decision_ids: Sequence[str]
) -> Mapping[tuple[str, str], float]:
    """What was counted for decided actions."""
    columns = tables.credits.c
    found = among(connection, sa.select(tables.credits), columns.decision_id, decision_ids)
    return {(row.decision_id, row.action_id): row.acceptance for row in found}


def credited(connection: sa.Connection) -> list[str]:
    """All decisions to which anything was credited."""
    columns = tables.credits.c
    query = sa.select(columns.decision_id).distinct().order_by(columns.decision_id)
    return list(connection.execute(query).scalars())


def newest_credited(connection: sa.Connection, count: int) -> list[str]:
    """The latest decisions to which anything was credited, the newest first."""
    decided = tables.decisions.c
    mine = tables.credits.c.decision_id == decided.decision_id
    query = sa.select(decided.decision_id).where(sa.exists().where(mine))
    query = query.order_by(decided.serial.desc()).limit(count)
    return list(connection.execute(query).scalars())


def write_credits(connection: sa.Connection, lessons: Sequence[CreditChange]) -> None:
    """Note what is counted now."""
    new = [(one.shown, new) for one, _, new in lessons if new is not None]
    kept = [
        {"decision_id": shown.decision_id, "action_id": shown.action_id, "acceptance": acceptance}
        for shown, acceptance in new
    ]
    tables.replace(connection, tables.credits, kept)
    columns = tables.credits.c
    for (shown, *_), _, taught in lessons:
        if taught is None:
            mine = columns.decision_id == shown.decision_id
            mine &= columns.action_id == shown.action_id
            connection.execute(tables.credits.delete().where(mine))
