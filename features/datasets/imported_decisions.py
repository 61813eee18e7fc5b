"""Reads imported decisions with their acceptance, for the warm start of the bandit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import (
    DECISION_COLUMNS,
    Attribution,
    read_attribution,
    shown_by,
)
from features.outcomes.credit_rules import ShownAction, told_acceptance


def imported_decisions(ledger: Ledger, catalog: Catalog, now: datetime) -> pd.DataFrame:
    """Read the imported decisions whose window has closed by ``now``, and their acceptance.

    Actions that the catalogue does not have any more are left out.

    Returns
    -------
    DataFrame
        Columns customer_id, event_timestamp (the decision, UTC), action_id, channel, acceptance.
    """
    columns = tables.decisions.c
    # Imported decisions have no record. Own decisions that are not activated are not served either.
    imported = [~columns.served, columns.record.is_(None), columns.window_ends_at <= now]
    query = sa.select(*DECISION_COLUMNS, columns.customer_id, columns.channel).where(*imported)
    query = query.order_by(columns.decided_at, columns.decision_id)

    def read(connection: sa.Connection) -> tuple[list[tuple[Any, ShownAction]], Attribution]:
        known = (row for row in connection.execute(query) if row.action_id in catalog.actions)
        decided = [(row, shown) for row in known for shown in shown_by(row)]
        return decided, read_attribution(connection, [shown for _, shown in decided], catalog)

    decided, attribution = ledger.read(read)
    rows = []
    for (row, _), action in zip(decided, attribution.actions, strict=True):
        # The window has closed: no outcome is no acceptance.
        acceptance = told_acceptance(action, attribution.shares, catalog) or 0.0
        rows.append((row.customer_id, row.decided_at, row.action_id, row.channel, acceptance))
    names = ["customer_id", "event_timestamp", "action_id", "channel", "acceptance"]
    frame = pd.DataFrame(rows, columns=names)
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    frame["acceptance"] = frame["acceptance"].astype(np.float64)
    return frame
