"""Reads the rewards of decisions by customer, arm and day: the table that lift is computed from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement
from features.outcomes.decision_rewards import (
    DAY_US,
    EVER,
    ComputedRewards,
    Span,
    compute_rewards,
    rules_fingerprint,
)
from features.outcomes.reward_rows import ARMS, ROW_TYPE, pack_days
from features.outcomes.reward_state import newest_serial, read_state

_COLUMNS = tables.reward_days.c
_NOW = sa.bindparam("now", type_=tables.UtcMicros)
_ROWS = Statement(
    sa.select(
        _COLUMNS.customer_id,
        _COLUMNS.days,
        sa.case((_COLUMNS.last_window_ends_at > _NOW, _COLUMNS.window_ends)),
        _COLUMNS.unknown_actions,
    )
)


@dataclass(frozen=True, slots=True)
class NotSummed:
    """Counts what the rows do not hold yet; the background steps of the service sum it.

    Attributes
    ----------
    decisions : int
        Decisions that count in no row.
    changes : int
        Outcomes, activations and changed customers that the rows do not show.
    outdated : int
        Decisions with values, costs or rules of an earlier catalogue.
    """

    decisions: int
    changes: int
    outdated: int


@dataclass(frozen=True)
class Rewards:
    """The rewards of served decisions.

    Attributes
    ----------
    table : DataFrame
        One row for each customer, arm and day (UTC): columns customer_id, arm (both categories),
        day (days since 1970), decisions, open (of those, decisions whose window is open), reward.
    unknown_actions : list of str
        Actions that were shown and that the catalogue does not have any more; they count 0.
    not_summed : NotSummed
    """

    table: pd.DataFrame
    unknown_actions: list[str]
    not_summed: NotSummed


def rewards(
    ledger: Ledger,
    catalog: Catalog,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Rewards:
    """Read the rewards of the decisions of a period, less the costs of showing them.

    A decision belongs to the day on which it was shown, and to the customer who has its key now.
    Rows are as `reward_steps` has summed them. A customer's day on which decisions were shown both
    within the period and outside of it is summed anew, so the period may begin at any moment.

    Parameters
    ----------
    since, until : aware
        The period of showing, from ``since`` on and before ``until``; None: no limit.
    """
    period = tuple(
        edge if at is None else tables.micros(at)
        for at, edge in zip((since, until), EVER, strict=True)
    )
    span = period[0], period[1]
    return ledger.read(lambda connection: _read(connection, catalog, now, span))


def _read(connection: sa.Connection, catalog: Catalog, now: datetime, span: Span) -> Rewards:
    rows = _ROWS.rows(connection, {"now": now})
    days = np.frombuffer(b"".join([row[1] for row in rows]), ROW_TYPE)
    lengths = np.array([len(row[1]) for row in rows], dtype=np.int64) // ROW_TYPE.itemsize
    customers = np.repeat(np.arange(len(rows)), lengths)
    first, last = days["first_us"], days["last_us"]
    within = (first >= span[0]) & (last < span[1])
    parted = ~within & (last >= span[0]) & (first < span[1])
    open_ = _open(rows, days, customers, tables.micros(now))
    names = [row[0] for row in rows]
    unknown = _unknown(rows, span)
    parts = [_frame(customers[within], days[within], open_[within])]
    if parted.any():
        found = _computed_anew(connection, catalog, span, names, customers[parted], days[parted])
        parts += [_anew(customer, one, tables.micros(now)) for customer, one in found]
        unknown |= {name for _, one in found for _, name in one.unknown_actions}
    table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    table.insert(0, "customer_id", pd.Categorical.from_codes(table.pop("customer"), names))
    return Rewards(table, sorted(unknown), _not_summed(connection, catalog))


def _open(
    rows: Sequence[Any], days: NDArray[Any], customers: NDArray[np.int64], now_us: int
) -> NDArray[np.int64]:
    """The decisions of each row whose windows are open; windows of most customers have ended."""
    with_open = np.array([row[2] is not None for row in rows], dtype=bool)[customers]
    ends = np.frombuffer(b"".join([row[2] for row in rows if row[2] is not None]), "<i8")
    decisions = days["decisions"][with_open].astype(np.int64)
    begins = np.cumsum(decisions) - decisions
    found = np.zeros(len(days), dtype=np.int64)
    if len(begins):
        found[with_open] = np.add.reduceat((ends > now_us).astype(np.int64), begins)
    return found


def _unknown(rows: Sequence[Any], span: Span) -> set[str]:
    """The unknown actions of the days that the period touches."""
    return {
        name
        for row in rows
        if row[3] is not None
        for day, name in json.loads(row[3])
        if (day + 1) * DAY_US > span[0] and day * DAY_US < span[1]
    }


def _frame(
    customers: NDArray[np.int64], days: NDArray[Any], open_: NDArray[np.int64]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer": customers,
            "arm": pd.Categorical.from_codes(days["arm"].astype(np.int8), list(ARMS)),
            "day": days["day"].astype(np.int64),
            "decisions": days["decisions"].astype(np.int64),
            "open": open_,
            "reward": days["credited"] - days["cost"],
        },
        copy=False,
    )


def _computed_anew(
    connection: sa.Connection,
    catalog: Catalog,
    span: Span,
    names: Sequence[str],
    customers: NDArray[np.int64],
    days: NDArray[Any],
) -> list[tuple[int, ComputedRewards]]:
    """Sum the parts of customers' days that lie within the period."""
    spans: dict[int, set[Span]] = {}
    for customer, day in zip(customers.tolist(), days["day"].tolist(), strict=True):
        part = max(span[0], day * DAY_US), min(span[1], (day + 1) * DAY_US)
        spans.setdefault(customer, set()).add(part)
    asked = {names[customer]: sorted(some) for customer, some in spans.items()}
    found = compute_rewards(connection, catalog, asked)
    return [(customer, found[names[customer]]) for customer in spans]


def _anew(customer: int, computed: ComputedRewards, now_us: int) -> pd.DataFrame:
    rows = sorted(computed.rows)
    days = np.frombuffer(pack_days(rows).days, ROW_TYPE)
    open_ = np.array([sum(end > now_us for end in row.window_ends) for row in rows], dtype=np.int64)
    return _frame(np.full(len(rows), customer), days, open_)


def _not_summed(connection: sa.Connection, catalog: Catalog) -> NotSummed:
    state, marks = read_state(connection), tables.reward_marks
    changes = connection.execute(sa.select(sa.func.count()).select_from(marks)).scalar_one()
    new = max(newest_serial(connection) - state.serial, 0)
    left = _after(connection, state.rewards.after)
    if state.rewards.first:
        return NotSummed(new + left, changes, 0)
    same = state.rewards.rules == rules_fingerprint(catalog)
    return NotSummed(new, changes, left if same else _after(connection, ""))


def _after(connection: sa.Connection, customer_id: str | None) -> int:
    """Count the decisions of the customers that a walk has not reached; None: it is done."""
    if customer_id is None:
        return 0
    column = tables.decisions.c.customer_id
    count = sa.select(sa.func.count()).where(column > customer_id)
    return int(connection.execute(count).scalar_one())
