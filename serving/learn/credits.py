"""Reads and writes the learner's tables: logged actions, outcomes not learned yet, and credits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.databases import BUSY_MS
from features.ledger.statements import select_in_batches
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import ShownAction, credit
from training.arrays import Floats

BATCH = 2_000  # decisions a step; keeps the writing transaction short
SETTLE = timedelta(milliseconds=BUSY_MS)  # after that a decision is on disk, or has failed


class LoggedAction(NamedTuple):
    """A shown action, with what the decision's record holds of its customer and its models.

    Attributes
    ----------
    row : shape (n_features,)
        The customer's features at the time of the decision.
    serial : int
        The number of decisions that the ledger held before this one.
    expert_predictions : list of float
        The acceptance that each expert of the bandit predicted; empty if it was not logged.
    """

    shown: ShownAction
    channel: str
    row: Floats
    serial: int
    expert_predictions: Sequence[float]


class CreditChange(NamedTuple):
    """A credit that is new, revised or taken back.

    Attributes
    ----------
    old, new : float in [0, 1] or None
        Acceptance that was counted before and that counts now; None: none counts.
    """

    action: LoggedAction
    old: float | None
    new: float | None


def read_logged_actions(
    connection: sa.Connection, decision_ids: Iterable[str], layout: str
) -> list[LoggedAction]:
    """Read the actions that served decisions have shown.

    A decision that was made with another layout of features is left out: its numbers stand for
    other features.
    """
    columns = tables.decisions.c
    read = (columns.channel, columns.features, columns.serial)
    query = sa.select(*DECISION_COLUMNS, *read).where(columns.served)
    found = []
    for one in select_in_batches(connection, query, columns.decision_id, decision_ids):
        record = from_json(one.record) if one.features is not None else {}
        if record.get("features_layout") != layout:
            continue
        row = np.frombuffer(one.features, dtype="<f8").astype(np.float64)
        predictions = record.get("experts", {})
        found += [
            LoggedAction(shown, one.channel, row, one.serial, predictions.get(shown.action_id, ()))
            for shown in shown_by(one)
        ]
    return found


def read_credit_changes(
    connection: sa.Connection,
    decision_ids: Sequence[str],
    layout: str,
    now: datetime,
    catalog: Catalog,
) -> list[CreditChange]:
    """Compute the credits of decisions as of ``now``; return those that differ from the table."""
    actions = read_logged_actions(connection, decision_ids, layout)
    old = read_credits(connection, decision_ids)
    attribution = read_attribution(connection, [one.shown for one in actions], catalog)
    changes = []
    for action, attributed in zip(actions, attribution.actions, strict=True):
        before = old.get(action.shown.key)
        new = credit(attributed, attribution.shares, now, catalog)
        if new != before:
            changes.append(CreditChange(action, before, new))
    return changes


def unlearned_outcomes(connection: sa.Connection) -> dict[str, str]:
    """Outcomes not learned yet, the first received first: outcome_id to decision_id."""
    columns = tables.outcomes.c
    query = sa.select(columns.outcome_id, columns.decision_id).where(~columns.learned)
    rows = connection.execute(query.order_by(columns.received_at).limit(BATCH))
    return {row.outcome_id: row.decision_id for row in rows}


def closed_windows(
    connection: sa.Connection, closed_at: datetime, now: datetime
) -> tuple[list[str], datetime]:
    """Find the decisions whose attribution window has ended since ``closed_at``.

    Returns
    -------
    list of str
        Their decision_ids.
    datetime
        The end of the time that was searched; the next search begins there.
    """
    ends_at = tables.decisions.c.window_ends_at
    until = now - SETTLE
    closed = [tables.decisions.c.served, ends_at > closed_at, ends_at <= until]
    query = sa.select(ends_at).where(*closed).order_by(ends_at).offset(BATCH - 1).limit(1)
    last = connection.execute(query).scalar()
    if last is not None:  # there may be more; those that end at the same instant stay together
        until = last
        closed[-1] = ends_at <= until
    found = sa.select(tables.decisions.c.decision_id).where(*closed).order_by(ends_at)
    return list(connection.execute(found).scalars()), max(until, closed_at)


def mark_learned(connection: sa.Connection, outcome_ids: Sequence[str]) -> None:
    """Keep outcomes out of `unlearned_outcomes` from now on."""
    mine = tables.outcomes.c.outcome_id.in_(outcome_ids)
    connection.execute(tables.outcomes.update().where(mine).values(learned=True))


def read_credits(
    connection: sa.Connection, decision_ids: Sequence[str]
) -> Mapping[tuple[str, str], float]:
    """Read the acceptance that was counted, by (decision_id, action_id)."""
    columns = tables.credits.c
    found = select_in_batches(
        connection, sa.select(tables.credits), columns.decision_id, decision_ids
    )
    return {(row.decision_id, row.action_id): row.acceptance for row in found}


def credited_decisions(connection: sa.Connection) -> list[str]:
    """All decisions that have a credit."""
    columns = tables.credits.c
    query = sa.select(columns.decision_id).distinct().order_by(columns.decision_id)
    return list(connection.execute(query).scalars())


def newest_credited_decisions(connection: sa.Connection, count: int) -> list[str]:
    """The ``count`` latest decisions that have a credit, the newest first."""
    decided = tables.decisions.c
    mine = tables.credits.c.decision_id == decided.decision_id
    query = sa.select(decided.decision_id).where(sa.exists().where(mine))
    query = query.order_by(decided.serial.desc()).limit(count)
    return list(connection.execute(query).scalars())


def write_credits(connection: sa.Connection, changes: Sequence[CreditChange]) -> None:
    """Write the credits that count now, and delete those that do not count any more."""
    counted = [
        {
            "decision_id": action.shown.decision_id,
            "action_id": action.shown.action_id,
            "acceptance": new,
        }
        for action, _, new in changes
        if new is not None
    ]
    tables.upsert(connection, tables.credits, counted)
    columns = tables.credits.c
    for action, _, new in changes:
        if new is None:
            mine = columns.decision_id == action.shown.decision_id
            mine &= columns.action_id == action.shown.action_id
            connection.execute(tables.credits.delete().where(mine))
