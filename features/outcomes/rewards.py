"""Sums the rewards of decisions by customer, arm and day: the table that lift is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import earned

DAY_US = 86_400_000_000
ROWS = 20_000  # read at a time; bounds the memory
KEYS = ["customer_id", "arm", "day"]
# Days are computed from whole microseconds: every database can divide numbers.
_DECIDED, _SHOWN = tables.decisions.c, tables.contacts.c
# Not simply "served": with that the database would use the index on windows, and read all rows.
SERVED = [_DECIDED.served.is_not(sa.false()), _DECIDED.arm.is_not(None)]
_DAY = (sa.type_coerce(_DECIDED.activated_at, sa.BigInteger) // DAY_US).label("day")


@dataclass(frozen=True)
class Rewards:
    """The rewards of served decisions.

    Attributes
    ----------
    table : DataFrame
        One row for each customer, arm and day (UTC): columns customer_id, arm, day (days since
        1970), decisions, open (of those, decisions whose window is open), reward.
    unknown_actions : list of str
        Actions that were shown and that the catalogue does not have any more; they count 0.
    """

    table: pd.DataFrame
    unknown_actions: list[str]


def rewards(
    ledger: Ledger,
    catalog: Catalog,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Rewards:
    """Sum the rewards of the decisions of a period, less the costs of showing them.

    A decision belongs to the day on which it was shown, and to the customer who has its key now.
    Its outcomes are those known at ``now``; values and costs come from ``catalog``.

    Parameters
    ----------
    since, until : aware
        The period of showing, from ``since`` on and before ``until``; None: no limit.
    """
    decided = _decided(ledger, _in_period(_DECIDED.activated_at, since, until), now)
    shown = _shown(ledger, _in_period(_SHOWN.shown_at, since, until))
    cost = shown["action_id"].map({name: action.cost for name, action in catalog.actions.items()})
    unknown = sorted(shown.loc[cost.isna(), "action_id"].unique())
    costs = cost.fillna(0.0).groupby(shown["decision_id"]).sum()
    gains = _gains(ledger, _in_period(_DECIDED.activated_at, since, until), catalog)
    names = decided["decision_id"]
    decided["reward"] = names.map(gains).fillna(0.0) - names.map(costs).fillna(0.0)
    grouped = decided.groupby(KEYS, as_index=False)
    table = grouped.agg(
        decisions=("reward", "size"), open=("open", "sum"), reward=("reward", "sum")
    )
    return Rewards(table, unknown)


def _in_period(at: Any, since: datetime | None, until: datetime | None) -> list[Any]:
    limits = [] if since is None else [at >= since]
    return limits if until is None else [*limits, at < until]


def _decided(ledger: Ledger, period: list[Any], now: datetime) -> pd.DataFrame:
    is_open = sa.case((_DECIDED.window_ends_at > now, 1), else_=0)
    query = sa.select(_DECIDED.decision_id, _DECIDED.customer_id, _DECIDED.arm, _DAY, is_open)
    return _frame(ledger, query.where(*SERVED, *period), ["decision_id", *KEYS, "open"])


def _shown(ledger: Ledger, period: list[Any]) -> pd.DataFrame:
    """Every shown action; those of imported decisions match no served decision and drop out."""
    query = sa.select(_SHOWN.decision_id, _SHOWN.action_id).where(*period)
    return _frame(ledger, query, ["decision_id", "action_id"])


def _frame(ledger: Ledger, query: sa.Select[Any], names: list[str]) -> pd.DataFrame:
    rows = [tuple(row) for row in ledger.stream(query, ROWS)]
    return pd.DataFrame(rows, columns=names)


def _gains(ledger: Ledger, period: list[Any], catalog: Catalog) -> pd.Series[float]:
    """The earned reward of each decision that has an outcome which may earn something."""
    reported = sa.select(tables.outcomes.c.decision_id).where(
        tables.outcomes.c.outcome.in_(_earning(catalog))
    )
    query = sa.select(*DECISION_COLUMNS).where(*SERVED, *period, _DECIDED.decision_id.in_(reported))
    shown = [one for row in ledger.stream(query, ROWS) for one in shown_by(row)]
    found = ledger.read(lambda connection: read_attribution(connection, shown, catalog))
    gains = [earned(action, found.shares, catalog) for action in found.actions]
    decision_ids = pd.Series([one.decision_id for one in shown], dtype="object")
    return pd.Series(gains, dtype="float64").groupby(decision_ids).sum()


def _earning(catalog: Catalog) -> list[str]:
    """The outcomes by which an action may earn something."""
    listed = {name for action in catalog.actions.values() for name in action.outcomes}
    accepted = {name for name, outcome in catalog.outcomes.items() if outcome.acceptance}
    return sorted(listed | accepted)
