"""Reads the value of each customer by day, from the day on which the customer was first met.

The value of a customer up to a day is the margin of its events, less the costs of what it was
shown, less its remaining value if it has left (`Objective`). All customers who were ever met count,
whatever was shown to them, and all their events, credited or not: so the arms of an experiment can
be compared as they were drawn (intention to treat).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.business.experiment.objective import RemainingValue
from features.customers.attribute_history import attribute_versions, attributes_at
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement
from features.rewards.decision_rewards import DAY_US
from features.rewards.reward_rows import ARMS, ROW_TYPE, day_at
from features.rewards.rewards import Whole

BEFORE_DAYS = 90  # days before a customer was met whose margin is told
# As `event_days` packs its rows.
EVENT_ROW = np.dtype([("day", "<i4"), ("left", "<i4"), ("value", "<f8")])
_MET, _EVENTS, _SHOWN = tables.met_customers.c, tables.event_days.c, tables.reward_days.c
_ALL_MET = Statement(
    sa.select(_MET.customer_id, sa.type_coerce(_MET.met_at, sa.BigInteger)).order_by(
        _MET.customer_id
    )
)
_EVENT_DAYS = Statement(
    sa.select(_EVENTS.customer_id, _EVENTS.days)
    .join_from(tables.met_customers, tables.event_days, _EVENTS.customer_id == _MET.customer_id)
    .order_by(_MET.customer_id)
)
_SHOWN_DAYS = Statement(
    sa.select(_SHOWN.customer_id, _SHOWN.days)
    .join_from(tables.met_customers, tables.reward_days, _SHOWN.customer_id == _MET.customer_id)
    .order_by(_MET.customer_id)
)
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
        Whether a customer had left before it was met.
    remaining : shape (n_customers,)
        The value that a customer who leaves takes along, as known when the customer was met.
    arms_logged : shape (n_customers,)
        The arms of the decisions that were shown since, as bits by the index in `ARMS`. Several
        bits: keys of several arms were merged, or shares or salt of the arms were changed.
    days : ValueDays
        Days on which nothing happened have no row.
    """

    customers: list[str]
    met_day: Whole
    before: NDArray[np.float64]
    gone_before: NDArray[np.bool_]
    remaining: NDArray[np.float64]
    arms_logged: NDArray[np.uint8]
    days: ValueDays

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


def customer_values(
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> CustomerValues:
    """Read the values of all customers who were met, as `reward_steps` has summed them.

    Parameters
    ----------
    since, until : aware
        The days that count, from that of ``since`` on, and up to that of the last moment before
        ``until``; None: no limit. They limit the days and never the customers, as those who still
        come in a later period are no random part of their arm.
    """
    first = -(1 << 31) if since is None else tables.micros(since) // DAY_US
    end_us = tables.micros(now) + 1
    if until is not None:
        end_us = min(end_us, tables.micros(until))
    return ledger.read(lambda c: _read(c, domain, catalog, first, (end_us - 1) // DAY_US))


def _read(
    connection: sa.Connection, domain: Domain, catalog: Catalog, first: int, last: int
) -> CustomerValues:
    met = _ALL_MET.rows(connection, {})
    customers = [row[0] for row in met]
    index = {customer_id: number for number, customer_id in enumerate(customers)}
    met_us = np.fromiter((row[1] for row in met), np.int64, len(met))
    met_day = (met_us // DAY_US).astype(np.int32)
    owner, events = _unpacked(_EVENT_DAYS.rows(connection, {}), index, EVENT_ROW)
    past = events["day"] < met_day[owner]
    recent = past & (events["day"] >= met_day[owner] - BEFORE_DAYS)
    counts = ~past & (events["day"] >= first) & (events["day"] <= last)
    shown_to, shown = _unpacked(_SHOWN_DAYS.rows(connection, {}), index, ROW_TYPE)
    zone = catalog.clock.of_business
    met_here = np.array([day_at(at_us, zone) for at_us in met_us.tolist()], np.int32)
    since_met = shown["day"] >= met_here[shown_to]
    # West of Greenwich a day of the business begins on the day before that of UTC.
    day = np.maximum(shown["day"], met_day[shown_to])
    costs = since_met & (day >= first) & (day <= last) & (shown["cost"] != 0)
    return CustomerValues(
        customers,
        met_day,
        _sums(owner[recent], events["value"][recent], len(met)),
        _sums(owner[past], events["left"][past], len(met)) > 0,
        _remaining(connection, domain.objective.remaining_value, customers, met_us),
        _arms_logged(shown_to[since_met], shown["arm"][since_met], len(met)),
        _merged(
            (owner[counts], events[counts]), (shown_to[costs], day[costs], shown["cost"][costs])
        ),
    )


def _unpacked(
    rows: Sequence[tuple[Any, ...]], index: dict[str, int], kind: np.dtype[Any]
) -> tuple[Whole, NDArray[Any]]:
    """Unpack the days of customers; also the index of the customer of each day."""
    packed = [row[1] for row in rows]
    lengths = np.fromiter(map(len, packed), np.int64, len(rows)) // kind.itemsize
    owners = np.fromiter((index[row[0]] for row in rows), np.int32, len(rows))
    return np.repeat(owners, lengths), np.frombuffer(b"".join(packed), kind)


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
    customer = np.concatenate((owner, costs[0])).astype(np.int64)
    day = np.concatenate((rows["day"], costs[1])).astype(np.int64)
    keys, place = np.unique((customer << 32) + day, return_inverse=True)
    place_of_events, place_of_costs = place[: len(owner)], place[len(owner) :]
    return ValueDays(
        (keys >> 32).astype(np.int32),
        (keys & 0xFFFF_FFFF).astype(np.int32),
        _sums(place_of_events, rows["value"], len(keys)),
        _sums(place_of_costs, costs[2], len(keys)),
        _sums(place_of_events, rows["left"], len(keys)).astype(np.int32),
    )


def _remaining(
    connection: sa.Connection, rule: RemainingValue, customers: list[str], met_us: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The remaining value of each customer, by the attribute at the time of meeting."""
    found = np.full(len(customers), rule.otherwise)
    if rule.attribute is None:
        return found
    versions = attribute_versions(connection, customers)
    for number, (customer_id, at_us) in enumerate(zip(customers, met_us.tolist(), strict=True)):
        of_then = versions[customer_id]
        value = attributes_at(of_then, at_us).get(rule.attribute) if of_then else None
        if value is not None:
            found[number] = float(value) * rule.times
    return found
