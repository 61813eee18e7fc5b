"""Reads imported decisions with their acceptance, for the warm start of the bandit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from features.business.catalog import NO_ACTION, Catalog
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import (
    DECISION_COLUMNS,
    Attribution,
    read_attribution,
    shown_by,
)
from features.outcomes.credit_rules import ShownAction, told_acceptance

# Why an imported decision teaches nothing, in the order in which the reasons are looked at.
LATER = "later_than_until"
NOTHING_SHOWN = "no_action"
UNKNOWN_ACTION = "action_not_in_catalogue"
OPEN_WINDOW = "window_open"
REASONS = (LATER, NOTHING_SHOWN, UNKNOWN_ACTION, OPEN_WINDOW)

_COLUMNS = (
    *("customer_id", "event_timestamp", "action_id", "channel", "probability"),
    *("window_ends_at", "acceptance"),
)


class ReadDecisions(NamedTuple):
    """Imported decisions that teach, and how many do not.

    Attributes
    ----------
    frame : DataFrame
        Columns customer_id, event_timestamp (the decision, UTC), action_id, channel, probability
        (``nan`` where it was not logged), window_ends_at (UTC), acceptance; in order of time.
    left_out : mapping
        For each of `REASONS`, the number of imported decisions left out for it.
    """

    frame: pd.DataFrame
    left_out: Mapping[str, int]


def imported_decisions(
    ledger: Ledger, catalog: Catalog, now: datetime, until: datetime | None = None
) -> ReadDecisions:
    """Read the imported decisions whose window has closed by ``now``, and their acceptance.

    Parameters
    ----------
    until : aware UTC, or None
        Only decisions before it are read; None: all.
    """
    columns = tables.decisions.c
    # Imported decisions have no record. Own decisions that are not activated are not served either.
    imported = [~columns.served, columns.record.is_(None)]
    known = *DECISION_COLUMNS, columns.customer_id, columns.channel, columns.probability
    query = sa.select(*known).where(*imported).order_by(columns.decided_at, columns.decision_id)
    left_out = Counter(dict.fromkeys(REASONS, 0))

    def teaching(rows: Iterator[Any]) -> Iterator[Any]:
        for row in rows:
            reason = _why_left_out(row, catalog, now, until)
            if reason is None:
                yield row
            else:
                left_out[reason] += 1

    def read(connection: sa.Connection) -> tuple[list[tuple[Any, ShownAction]], Attribution]:
        found = teaching(iter(connection.execute(query)))
        decided = [(row, shown) for row in found for shown in shown_by(row)]
        return decided, read_attribution(connection, [shown for _, shown in decided], catalog)

    decided, attribution = ledger.read(read)
    rows = []
    for (row, _), action in zip(decided, attribution.actions, strict=True):
        # The window has closed: no outcome is no acceptance.
        acceptance = told_acceptance(action, attribution.shares, catalog) or 0.0
        known_of = row.customer_id, row.decided_at, row.action_id, row.channel, row.probability
        rows.append((*known_of, row.window_ends_at, acceptance))
    return ReadDecisions(_typed(pd.DataFrame(rows, columns=_COLUMNS)), dict(left_out))


def _why_left_out(row: Any, catalog: Catalog, now: datetime, until: datetime | None) -> str | None:
    """The first of `REASONS` for which a decision teaches nothing; None if it teaches."""
    if until is not None and row.decided_at >= until:
        return LATER
    if row.action_id == NO_ACTION:
        return NOTHING_SHOWN
    if row.action_id not in catalog.actions:
        return UNKNOWN_ACTION
    return OPEN_WINDOW if row.window_ends_at > now else None


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the columns their types, also where there are no rows."""
    for name in ("event_timestamp", "window_ends_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    for name in ("probability", "acceptance"):
        frame[name] = frame[name].astype(np.float64)
    return frame
