"""What decisions earned, by customer and day: the table that lift is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import SHOWN_COLUMNS, attributed, shown_by
from features.outcomes.credit_rules import earned

DAY_US = 86_400_000_000
ROWS = 20_000  # read at a time; bounds the memory
KEYS = ["customer_id", "arm", "day"]
# Aggregated here as whole microseconds: a day of the calendar is a number in every database.
_DECIDED, _SHOWN = tables.decisions.c, tables.contacts.c
# Not plainly "served": an index on that would lead through all rows in the order of windows.
OURS = [_DECIDED.served.is_not(sa.false()), _DECIDED.arm.is_not(None)]
_DAY = (sa.type_coerce(_DECIDED.activated_at, sa.BigInteger) // DAY_US).label("day")


@dataclass(frozen=True)
class Rewards:
    """What served decisions brought.

    Attributes
    ----------
    table : DataFrame
        One row for each customer, arm and day (UTC): columns customer_id, arm, day (days since
        1970), decisions, open (of those, decisions whose window is open), reward.
    forgotten : list of str
        Actions that were shown and that the catalogue has no more; they count 0.
    """

    table: pd.DataFrame
    forgotten: list[str]


def rewards(
    ledger: Ledger,
    catalog: Catalog,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Rewards:
    """Add up what decisions of a period earned, less what showing them cost.

    A decision belongs to the moment at which it was shown, and to whoever is the customer now;
    what it earned is known as of ``now``, under the catalogue of now.

    Parameters
    ----------
    since, until : aware
        Shown from ``since`` on and before ``until``; None leaves that side open.
    """
    decided = _decided(ledger, _in_period(_DECIDED.activated_at, since, until), now)
    shown = _shown(ledger, _in_period(_SHOWN.shown_at, since, until))
    cost = shown["action_id"].map({name: action.cost for name, action in catalog.actions.items()})
    forgotten = sorted(shown.loc[cost.isna(), "action_id"].unique())
    costs = cost.fillna(0.0).groupby(shown["decision_id"]).sum()
    gains = _gains(ledger, _in_period(_DECIDED.activated_at, since, until), catalog)
    decided["reward"] = decided["decision_id"].map(gains).fillna(0.0) - decided["decision_id"].map(
        costs
    ).fillna(0.0)
    grouped = decided.groupby(KEYS, as_index=False)
    table = grouped.agg(
        decisions=("reward", "size"), open=("open", "sum"), reward=("reward", "sum")
    )
    return Rewards(table, forgotten)


def _in_period(at: Any, since: datetime | None, until: datetime | None) -> list[Any]:
    begun = [] if since is None else [at >= since]
    return begun if until is None else [*begun, at < until]


def _decided(ledger: Ledger, period: list[Any], now: datetime) -> pd.DataFrame:
    still = sa.case((_DECIDED.window_ends_at > now, 1), else_=0)
    query = sa.select(_DECIDED.decision_id, _DECIDED.customer_id, _DECIDED.arm, _DAY, still)
    return _frame(ledger, query.where(*OURS, *period), ["decision_id", *KEYS, "open"])


def _shown(ledger: Ledger, period: list[Any]) -> pd.DataFrame:
    """What imported decisions showed is among it; it meets none of ours."""
    query = sa.select(_SHOWN.decision_id, _SHOWN.action_id).where(*period)
    return _frame(ledger, query, ["decision_id", "action_id"])


def _frame(ledger: Ledger, query: sa.Select[Any], names: list[str]) -> pd.DataFrame:
    rows = [tuple(row) for row in ledger.stream(query, ROWS)]
    return pd.DataFrame(rows, columns=names)


def _gains(ledger: Ledger, period: list[Any], catalog: Catalog) -> pd.Series[float]:
    """What each decision earned that was told of something by which it may have."""
    told = sa.select(tables.outcomes.c.decision_id).where(
        tables.outcomes.c.outcome.in_(_earning(catalog))
    )
    query = sa.select(*SHOWN_COLUMNS).where(*OURS, *period, _DECIDED.decision_id.in_(told))
    shown = [one for row in ledger.stream(query, ROWS) for one in shown_by(row)]
    found = ledger.read(lambda connection: attributed(connection, shown, catalog))
    gains = [earned(touch, found.shares, catalog) for touch in found.touches]
    whose = pd.Series([one.decision_id for one in shown], dtype="object")
    return pd.Series(gains, dtype="float64").groupby(whose).sum()


def _earning(catalog: Catalog) -> list[str]:
    """The outcomes by which an action may earn something."""
    listed = {name for action in catalog.actions.values() for name in action.outcomes}
    accepted = {name for name, outcome in catalog.outcomes.items() if outcome.acceptance}
    return sorted(listed | accepted)
