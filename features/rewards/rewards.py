"""Reads the rewards of decisions by customer, arm and day: the table that lift is computed from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.rewards.decision_rewards import (
    EVER,
    Span,
    compute_rewards,
    rules_fingerprint,
)
from features.rewards.kept_rows import KeptRows, PackedRow, stream_rows
from features.rewards.reward_rows import ROW_TYPE, DayRow, pack_days, span_of_day
from features.rewards.reward_state import newest_serial, read_state

Whole = NDArray[np.integer[Any]]


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


class RewardTable(NamedTuple):
    """One row for each customer, day and arm, in the order of customers and days.

    Attributes
    ----------
    customer : shape (n_rows,)
        Numbers of the customers; some may have no rows.
    day : shape (n_rows,)
        Days since 1970 on the clock of the business, of the showing.
    arm : shape (n_rows,)
        Index in `ARMS`.
    decisions, open : shape (n_rows,)
        The decisions, and those of them whose window is open.
    reward : shape (n_rows,)
        The credited value less the costs of showing, in the domain's currency.
    """

    customer: Whole
    day: Whole
    arm: Whole
    decisions: Whole
    open: Whole
    reward: NDArray[np.float64]


@dataclass(frozen=True)
class Rewards:
    """The rewards of served decisions.

    Attributes
    ----------
    table : RewardTable
    customers : list of str
        The customer ids, by their numbers.
    unknown_actions : list of str
        Actions that were shown and that the catalogue does not have any more; they count 0.
    not_summed : NotSummed
    """

    table: RewardTable
    customers: list[str]
    unknown_actions: list[str]
    not_summed: NotSummed


def rewards(
    ledger: Ledger,
    catalog: Catalog,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    kept: KeptRows | None = None,
) -> Rewards:
    """Read the rewards of the decisions of a period, less the costs of showing them.

    A decision belongs to the day of the business on which it was shown, and to the customer who has
    its key now.
    Rows are as `reward_steps` has summed them. A customer's day on which decisions were shown both
    within the period and outside of it is summed anew, so the period may begin at any moment.

    Parameters
    ----------
    since, until : aware
        The period of showing, from ``since`` on and before ``until``; None: no limit.
    kept
        Rows that were read before; None: all rows are read.
    """
    begin, end = EVER
    span = (
        begin if since is None else tables.micros(since),
        end if until is None else tables.micros(until),
    )
    give = kept.batches if kept is not None else stream_rows
    return ledger.read(lambda c: _read(c, give, catalog, tables.micros(now), span))


def _read(
    connection: sa.Connection,
    give: Callable[[sa.Connection, int], Iterator[list[PackedRow]]],
    catalog: Catalog,
    now_us: int,
    span: Span,
) -> Rewards:
    names, unknown = list[str](), set[str]()
    whole, parted = [_NOTHING], [_NOTHING]
    for rows in give(connection, now_us):
        packed = [row.days for row in rows]
        days = np.frombuffer(b"".join(packed), ROW_TYPE)
        lengths = np.array(list(map(len, packed)), dtype=np.int64) // ROW_TYPE.itemsize
        customers = np.repeat(np.arange(len(names), len(names) + len(rows)), lengths)
        table = _table(customers, days, _open(rows, days, lengths, now_us))
        if span != EVER:
            first, last = days["first_us"], days["last_us"]
            within = (first >= span[0]) & (last < span[1])
            parted.append(_taken(table, ~within & (last >= span[0]) & (first < span[1])))
            table = _taken(table, within)
        whole.append(table)
        names += [row.customer_id for row in rows]
        unknown |= _unknown(rows, span, catalog.clock.of_business)
    table, in_part = _joined(whole), _joined(parted)
    if len(in_part.day):
        anew, more = _computed_anew(connection, catalog, span, names, in_part, now_us)
        table, unknown = _sorted(_joined([table, anew])), unknown | more
    return Rewards(table, names, sorted(unknown), _not_summed(connection, catalog))


def _open(rows: Sequence[PackedRow], days: NDArray[Any], lengths: Whole, now_us: int) -> Whole:
    """The decisions of each row whose windows are open; those of most rows end at once."""
    found = np.where(days["first_end_us"] > now_us, days["decisions"], 0)
    ends = [row.window_ends for row in rows]
    packed = [one for one in ends if one is not None]
    if not packed:
        return found
    differ = np.repeat(np.array([one is not None for one in ends], dtype=bool), lengths)
    counts = days["decisions"][differ]
    open_ = (np.frombuffer(b"".join(packed), "<i8") > now_us).view(np.int8)
    begins = np.cumsum(counts, dtype=np.int64) - counts
    found[differ] = np.add.reduceat(open_, begins, dtype=np.int32)
    return found


def _unknown(rows: Sequence[PackedRow], span: Span, zone: tzinfo) -> set[str]:
    """The unknown actions of the days that the period touches."""
    return {
        name
        for row in rows
        if row.unknown_actions is not None
        for day, name in json.loads(row.unknown_actions)
        if span_of_day(day, zone)[1] > span[0] and span_of_day(day, zone)[0] < span[1]
    }


def _table(customers: Whole, days: NDArray[Any], open_: Whole) -> RewardTable:
    return RewardTable(
        customers.astype(np.int32),
        days["day"].astype(np.int32),
        days["arm"].astype(np.int8),
        days["decisions"].astype(np.int32),
        open_.astype(np.int32),
        days["credited"] - days["cost"],
    )


_NOTHING = _table(np.zeros(0, np.int32), np.zeros(0, ROW_TYPE), np.zeros(0, np.int32))


def _joined(some: Sequence[RewardTable]) -> RewardTable:
    columns: list[Any] = [np.concatenate(columns) for columns in zip(*some, strict=True)]
    return RewardTable(*columns)


def _sorted(table: RewardTable) -> RewardTable:
    """Order rows by customer and day."""
    return _taken(table, np.lexsort((table.arm, table.day, table.customer)))


def _taken(table: RewardTable, rows: NDArray[Any]) -> RewardTable:
    """Take some rows, by a mask or by their indices."""
    columns: list[Any] = [column[rows] for column in table]
    return RewardTable(*columns)


def _computed_anew(
    connection: sa.Connection,
    catalog: Catalog,
    span: Span,
    names: Sequence[str],
    parted: RewardTable,
    now_us: int,
) -> tuple[RewardTable, set[str]]:
    """Sum the parts of customers' days that lie within the period; also name unknown actions."""
    asked = zip(parted.customer.tolist(), parted.day.tolist(), parted.arm.tolist(), strict=True)
    keys = set(asked)
    spans: dict[int, set[Span]] = {}
    for customer, day, _ in keys:
        begin, end = span_of_day(day, catalog.clock.of_business)
        part = max(span[0], begin), min(span[1], end)
        spans.setdefault(customer, set()).add(part)
    by_name = {names[customer]: sorted(some) for customer, some in spans.items()}
    found = compute_rewards(connection, catalog, by_name)
    customers, rows, unknown = list[int](), list[DayRow](), set[str]()
    for customer in spans:
        computed = found[names[customer]]
        unknown |= {name for _, name in computed.unknown_actions}
        # The row of another arm may lie within the period, and be read as it is.
        mine = [row for row in sorted(computed.rows) if (customer, row.day, row.arm) in keys]
        rows += mine
        customers += [customer] * len(mine)
    days = np.frombuffer(b"".join([pack_days([row]).days for row in rows]), ROW_TYPE)
    open_ = [sum(end > now_us for end in row.window_ends) for row in rows]
    return _table(np.array(customers, np.int32), days, np.array(open_, np.int32)), unknown


def _not_summed(connection: sa.Connection, catalog: Catalog) -> NotSummed:
    state, marks = read_state(connection), tables.reward_marks
    changes = connection.execute(sa.select(sa.func.count()).select_from(marks)).scalar_one()
    new = max(newest_serial(connection) - state.serial, 0)
    same = state.rewards.rules == rules_fingerprint(catalog)
    left = _after(connection, state.rewards.after if same else "")
    if state.rewards.first:
        return NotSummed(new + left, changes, 0)
    return NotSummed(new, changes, left)


def _after(connection: sa.Connection, customer_id: str | None) -> int:
    """Count the decisions of the customers that a walk has not reached; None: it is done."""
    if customer_id is None:
        return 0
    column = tables.decisions.c.customer_id
    count = sa.select(sa.func.count()).where(column > customer_id)
    return int(connection.execute(count).scalar_one())
