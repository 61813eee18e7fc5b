"""Reads the value of each customer by day, from the day on which the customer was first met.

The value of a customer up to a day is the margin of its events, less the costs of what it was
shown, less its remaining value if it has left (`Objective`). All customers who were ever met count,
whatever was shown to them, and all their events, credited or not: so the arms of an experiment can
be compared as they were drawn (intention to treat).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement
from features.rewards.decision_rewards import DAY_US
from features.rewards.event_days import EVER_DAY, EventRules
from features.rewards.kept_rows import EVENT_ROWS, KeptRows, PackedRow, stream_rows
from features.rewards.remaining_values import remaining_values
from features.rewards.reward_rows import ARMS, ROW_TYPE, day_at
from features.rewards.reward_state import read_state
from features.rewards.rewards import Whole

BEFORE_DAYS = 90  # days before a customer was met whose margin is told
# As `event_days` packs its rows.
EVENT_ROW = np.dtype([("day", "<i4"), ("left", "<i4"), ("value", "<f8")])
_MET = tables.met_customers.c
_ALL_MET = Statement(
    sa.select(_MET.customer_id, sa.type_coerce(_MET.met_at, sa.BigInteger)).order_by(
        _MET.customer_id
    )
)
QUARTER_US = 900_000_000  # clocks are put forward and back at quarters of an hour
_EXPERIMENT = sum(1 << number for number, arm in enumerate(ARMS) if arm != "control")


class ValueDays(NamedTuple):
    """One row for each customer and day on which something counts, in that order.

    Attributes
    ----------
    customer : shape (n_rows,)
        Index of the customer.
    day : shape (n_rows,)
        Days since 1970 (UTC), none before the day on which the customer was met.
    margin : shape (n_rows,)
        The margin of the events, in the domain's currency.
    cost : shape (n_rows,)
        The costs of what was shown.
    left : shape (n_rows,)
        1 if the customer left on that day, -1 if the customer came back, else 0.
    """

    customer: Whole
    day: Whole
    margin: NDArray[np.float64]
    cost: NDArray[np.float64]
    left: Whole


@dataclass(frozen=True)
class CustomerValues:
    """The values of all customers who were ever met, and of some days.

    Attributes
    ----------
    customers : list of str
        The ids, in their order. The arm of a customer follows from its id.
    met_day : shape (n_customers,)
        Days since 1970 (UTC).
    before : shape (n_customers,)
        The margin of the `BEFORE_DAYS` days before a customer was met; 0 for a new one.
    gone_before : shape (n_customers,)
        Whether a customer had left before its first day that counts.
    remaining : shape (n_customers,)
        The value that a customer who leaves takes along, as known when the customer was met.
    arms_logged : shape (n_customers,)
        The arms of the decisions that were shown since, as bits by the index in `ARMS`. Several
        bits: keys of several arms were merged, or shares or salt of the arms were changed.
    days : ValueDays
        Days on which nothing happened have no row.
    outdated : bool
        Whether the events of some customers are not summed by the objective of today yet.
    """

    customers: list[str]
    met_day: Whole
    before: NDArray[np.float64]
    gone_before: NDArray[np.bool_]
    remaining: NDArray[np.float64]
    arms_logged: NDArray[np.uint8]
    days: ValueDays
    outdated: bool = False

    @property
    def merged_across_arms(self) -> int:
        """The number of customers with decisions of several arms."""
        several = self.arms_logged & (self.arms_logged - 1)
        return int(np.count_nonzero(several))

    def values(self, last_day: int | None = None) -> NDArray[np.float64]:
        """Sum the value of each customer, up to a day and with it; None: of all days.

        Returns
        -------
        shape (n_customers,)
            In the domain's currency.
        """
        days = self.days
        rows = slice(None) if last_day is None else days.day <= last_day
        lost = days.left * self.remaining[days.customer]
        value = (days.margin - days.cost - lost)[rows]
        return _sums(days.customer[rows], value, len(self.customers))


class KeptValues:
    """The rows that `customer_values` has read, kept for the requests of one process.

    Parameters
    ----------
    shown
        The kept rows of what was shown, which may be those of `rewards`.
    """

    def __init__(self, shown: KeptRows | None = None) -> None:
        self.shown = shown or KeptRows()
        self.events = KeptRows(source=EVENT_ROWS)


def customer_values(
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    kept: KeptValues | None = None,
) -> CustomerValues:
    """Read the values of all customers who were met, as `reward_steps` has summed them.

    A customer counts from the day on which it was met, with all of that day.

    Parameters
    ----------
    since, until : aware
        The days that count (`counted_days`); None: no limit. They limit the days and never the
        customers, as those who still come in a later period are no random part of their arm.
    kept
        Rows that were read before; None: all rows are read.
    """
    days = counted_days(catalog.clock.of_business, now, since, until)
    return ledger.read(lambda c: _read(c, domain, catalog, tables.micros(now), days, kept))


def counted_days(
    zone: tzinfo, now: datetime, since: datetime | None = None, until: datetime | None = None
) -> tuple[int, int]:
    """Return the first and the last day that count, in days since 1970.

    Values have days of UTC, and periods begin and end at midnight of the business. So a period has
    the days of UTC with the dates of the business, from that of ``since`` on, up to that of the
    last moment before ``until``.

    Parameters
    ----------
    zone
        The clock of the business.
    """
    first = EVER_DAY if since is None else day_at(tables.micros(since), zone)
    last = tables.micros(now) // DAY_US
    return first, last if until is None else min(last, day_at(tables.micros(until) - 1, zone))


def _read(
    connection: sa.Connection,
    domain: Domain,
    catalog: Catalog,
    now_us: int,
    days: tuple[int, int],
    kept: KeptValues | None,
) -> CustomerValues:
    met = _ALL_MET.rows(connection, {})
    customers = [row[0] for row in met]
    index = {customer_id: number for number, customer_id in enumerate(customers)}
    met_us = np.fromiter((row[1] for row in met), np.int64, len(met))
    met_day = (met_us // DAY_US).astype(np.int32)
    shown_rows, event_rows = _packed_rows(connection, now_us, kept)
    owner, events = _unpacked(event_rows, index, EVENT_ROW)
    past = events["day"] < met_day[owner]
    recent = past & (events["day"] >= met_day[owner] - BEFORE_DAYS)
    former = past | (events["day"] < days[0])
    counts = ~past & _within(events["day"], days)
    shown_to, shown = _unpacked(shown_rows, index, ROW_TYPE)
    since_met = shown["day"] >= _days_at(met_us, catalog.clock.of_business)[shown_to]
    # West of Greenwich a day of the business begins on the day before that of UTC.
    day = np.maximum(shown["day"], met_day[shown_to])
    costs = since_met & (shown["cost"] != 0) & _within(day, days)
    return CustomerValues(
        customers,
        met_day,
        _sums(owner[recent], events["value"][recent], len(met)),
        _sums(owner[former], events["left"][former], len(met)) > 0,
        remaining_values(connection, domain.objective.remaining_value, index, met_us),
        _arms_logged(shown_to[since_met], shown["arm"][since_met], len(met)),
        _merged(
            (owner[counts], events[counts]), (shown_to[costs], day[costs], shown["cost"][costs])
        ),
        _is_outdated(connection, EventRules.of(domain)),
    )


def _is_outdated(connection: sa.Connection, rules: EventRules) -> bool:
    return read_state(connection).begun("", rules.fingerprint).events.after is not None


def _packed_rows(
    connection: sa.Connection, now_us: int, kept: KeptValues | None
) -> tuple[Iterable[list[PackedRow]], Iterable[list[PackedRow]]]:
    if kept is not None:
        return kept.shown.batches(connection, now_us), kept.events.batches(connection, now_us)
    return stream_rows(connection, now_us), stream_rows(connection, now_us, source=EVENT_ROWS)


def _unpacked(
    batches: Iterable[list[PackedRow]], index: dict[str, int], kind: np.dtype[Any]
) -> tuple[Whole, NDArray[Any]]:
    """Unpack the days of those customers who were met, in their order, each with its customer."""
    rows = [
        (index[row.customer_id], row.days)
        for batch in batches
        for row in batch
        if row.customer_id in index
    ]
    rows.sort(key=itemgetter(0))
    lengths = np.fromiter((len(packed) for _, packed in rows), np.int64, len(rows))
    owners = np.fromiter((owner for owner, _ in rows), np.int32, len(rows))
    days = np.frombuffer(b"".join([packed for _, packed in rows]), kind)
    return np.repeat(owners, lengths // kind.itemsize), days


def _within(day: Whole, days: tuple[int, int]) -> NDArray[np.bool_]:
    return (day >= days[0]) & (day <= days[1])


def _days_at(times_us: NDArray[np.int64], zone: tzinfo) -> Whole:
    """The days of some times on the clock of the business. Many times share a quarter."""
    quarters, place = np.unique(times_us // QUARTER_US, return_inverse=True)
    days = [day_at(quarter * QUARTER_US, zone) for quarter in quarters.tolist()]
    return np.array(days, np.int32)[place]


def _sums(index: Whole, weights: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Add up weights by their index."""
    return np.bincount(index, weights, count).astype(np.float64, copy=False)


def _arms_logged(customer: Whole, arm: Whole, count: int) -> NDArray[np.uint8]:
    found = np.zeros(count, np.uint8)
    for number in range(len(ARMS)):
        found[customer[arm == number]] |= 1 << number
    return found & np.uint8(_EXPERIMENT)


def _merged(
    events: tuple[Whole, NDArray[Any]], costs: tuple[Whole, Whole, NDArray[np.float64]]
) -> ValueDays:
    """Make one row of the events and of the costs of each customer and day."""
    owner, rows = events
    shown_to, shown_on, cost = costs
    days = np.concatenate((rows["day"], shown_on)).astype(np.int64)
    keys = (np.concatenate((owner, shown_to)).astype(np.int64) << 32) + days
    order = np.argsort(keys, kind="stable")  # both parts are in order: they are merged
    keys = keys[order]
    begins = np.flatnonzero(np.diff(keys, prepend=-1))

    def summed(weights: NDArray[Any], of_costs: NDArray[Any]) -> NDArray[np.float64]:
        both = np.concatenate((weights, of_costs)).astype(np.float64, copy=False)
        return np.add.reduceat(both[order], begins) if len(begins) else both

    no_events, no_costs = np.zeros(len(rows), np.int8), np.zeros(len(cost), np.int8)
    return ValueDays(
        (keys[begins] >> 32).astype(np.int32),
        (keys[begins] & 0xFFFF_FFFF).astype(np.int32),
        summed(rows["value"], no_costs),
        summed(no_events, cost),
        summed(rows["left"], no_costs).astype(np.int8),
    )
