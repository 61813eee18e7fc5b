"""Reads the delays between the showings of an action and their acceptances from the ledger."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from math import ceil
from typing import Any

import numpy as np
import sqlalchemy as sa

from features.business.catalog import NO_ACTION
from features.ledger import tables
from features.outcomes.response_delays import Delays


def read_delays(
    connection: sa.Connection,
    action_id: str,
    accepting: tuple[str, ...],
    since: datetime,
    as_of: datetime,
    most: int,
) -> Delays:
    """Read the delays of what was shown within a time, evenly thinned.

    All that was shown since a time may be there, however late its acceptance came. The newest
    acceptances alone would be late ones of long ago beside early ones of today, and too few of
    the early ones.

    Parameters
    ----------
    accepting
        The outcomes that are acceptances.
    since, as_of
        Showings after ``since`` and acceptances until ``as_of`` count.
    most : int
        About so many are read.

    Returns
    -------
    Delays
        The limits are the times since the showings.
    """
    within = {"action": action_id, "as_of": as_of, "since": since}
    counted = count_acceptances(connection, action_id, accepting, since, as_of)
    sample = {**within, "every": max(1, ceil(counted / most))}
    rows = [
        row
        for name in accepting
        for row in connection.execute(_acceptances(accepting), {**sample, "outcome": name})
    ]
    # Two outcomes of a showing that were received at one instant are one acceptance.
    first = {row.decision_id: row for row in sorted(rows, key=lambda row: row.decision_id)}
    times = [(row.received_us, row.shown_us) for row in first.values()]
    received, shown = np.array(times, dtype=np.float64).reshape(-1, 2).T / 1e6
    return Delays(np.maximum(received - shown, 0.0), tables.micros(as_of) / 1e6 - shown)


def count_acceptances(
    connection: sa.Connection,
    action_id: str,
    accepting: tuple[str, ...],
    since: datetime,
    as_of: datetime,
) -> int:
    """Count the acceptances of an action that were received within a time, retracted ones too."""
    within = {"action": action_id, "as_of": as_of, "since": since}
    counted: int = connection.execute(_count(accepting), within).scalar_one()
    return counted


def _received() -> list[sa.ColumnElement[bool]]:
    """Conditions on outcomes of an action; parameters are action, since and as_of."""
    told = tables.outcomes.c
    return [
        told.action_id == sa.bindparam("action", type_=sa.Text),
        told.action_id != NO_ACTION,
        told.received_at > sa.bindparam("since", type_=tables.UtcMicros),
        told.received_at <= sa.bindparam("as_of", type_=tables.UtcMicros),
    ]


# Built once: building these takes longer than the database takes to answer them.
@cache
def _count(accepting: tuple[str, ...]) -> sa.Select[Any]:
    """Count the acceptances of an action that were received within a time."""
    query = sa.select(sa.func.count()).select_from(tables.outcomes)
    return query.where(*_received(), tables.outcomes.c.outcome.in_(accepting))


@cache
def _acceptances(accepting: tuple[str, ...]) -> sa.Select[tuple[str, int, int]]:
    """Select first acceptances of what was shown within a time; retractions do not count.

    Its parameters are action, outcome, since, as_of and every: one of so many showings is taken.
    """
    told, earlier, decided = tables.outcomes, tables.outcomes.alias("earlier"), tables.decisions
    is_later = sa.exists().where(
        earlier.c.decision_id == told.c.decision_id,
        # Hidden in a function, as SQLite would read the index of the action, not of the decision.
        sa.func.coalesce(earlier.c.action_id, "") == told.c.action_id,
        earlier.c.outcome.in_(accepting),
        earlier.c.retracts.is_(None),
        earlier.c.received_at < told.c.received_at,
    )
    return (
        sa.select(
            told.c.decision_id,
            sa.type_coerce(told.c.received_at, sa.BigInteger).label("received_us"),
            sa.type_coerce(decided.c.activated_at, sa.BigInteger).label("shown_us"),
        )
        .join(decided, decided.c.decision_id == told.c.decision_id)
        .where(
            *_received(),
            told.c.outcome == sa.bindparam("outcome", type_=sa.Text),
            told.c.retracts.is_(None),
            decided.c.served,
            decided.c.activated_at > sa.bindparam("since", type_=tables.UtcMicros),
            decided.c.serial % sa.bindparam("every", type_=sa.BigInteger) == 0,
            ~is_later,
        )
    )
