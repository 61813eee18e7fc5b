"""Follows the customers of decisions: margin of the days after each, and whether they left.

The days are those of the table `event_days`, of UTC. So a horizon ends with the day of UTC on which
its last day falls, for every decision alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.ledger import tables
from features.ledger.statements import Statement, as_json, in_batches, texts_of
from features.rewards.customer_values import EVENT_ROW
from features.rewards.decision_rewards import DAY_US
from features.rewards.event_days import EventRules, margin_of

_DAYS, _EVENT = tables.event_days.c, tables.events.c
_STORED = Statement(
    sa.select(_DAYS.customer_id, _DAYS.days).where(
        _DAYS.customer_id.in_(sa.select(texts_of("customers").c.value))
    )
)
_AT_US = sa.type_coerce(_EVENT.occurred_at, sa.BigInteger)
_UP_TO = Statement(
    sa.select(_EVENT.type, _EVENT.properties).where(
        _EVENT.customer_id == sa.bindparam("customer", type_=sa.Text),
        _AT_US.between(
            sa.bindparam("begin", type_=sa.BigInteger), sa.bindparam("end", type_=sa.BigInteger)
        ),
    )
)
_SHIFT = 1 << 31  # days may be before 1970


class CustomerDays(NamedTuple):
    """The days of the events of some customers, in the order of customers and days.

    Attributes
    ----------
    keys : shape (n_rows,), whole numbers, rising
        Index of the customer and day, as `_key` packs them.
    rows : shape (n_rows,)
        Records with day, left and value; see `EventDay`.
    """

    keys: NDArray[np.int64]
    rows: NDArray[np.void]


class FollowUp(NamedTuple):
    """The margin that followed each of some decisions, and whether the customer left.

    Attributes
    ----------
    margin : shape (n,), in the domain's currency
        Of all events from the day of the decision on; events of that day before it count too.
    left_after_days : shape (n,)
        Whole days until the customer left who is gone at the end; -1 for one who was gone before;
        nan for one who is not gone.
    """

    margin: NDArray[np.float64]
    left_after_days: NDArray[np.float64]


def customer_days(packed: Sequence[bytes]) -> CustomerDays:
    """Put the packed rows of `event_days` of some customers together.

    Parameters
    ----------
    packed
        Of each customer, in the order of their indexes; empty for one without events.
    """
    lengths = np.fromiter(map(len, packed), np.int64, len(packed)) // EVENT_ROW.itemsize
    rows = np.frombuffer(b"".join(packed), EVENT_ROW)
    return CustomerDays(_key(np.repeat(np.arange(len(packed)), lengths), rows["day"]), rows)


def follow(
    days: CustomerDays,
    customer: NDArray[np.int64],
    first_day: NDArray[np.int64],
    last_day: NDArray[np.int64],
) -> FollowUp:
    """Follow each decision from one day up to another, with both.

    Parameters
    ----------
    customer : shape (n,)
        Index into ``days``.
    first_day, last_day : shape (n,)
        Days since 1970 (UTC).
    """
    rows, n_rows = days.rows, len(days.rows)
    begin = np.searchsorted(days.keys, _key(customer, np.full(len(customer), -_SHIFT)))
    first = np.searchsorted(days.keys, _key(customer, first_day))
    end = np.searchsorted(days.keys, _key(customer, last_day), side="right")
    # Not by differences of one running sum: these would leave rests where there is 0.
    counts = end - first
    place = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
    owner = np.repeat(np.arange(len(customer)), counts)
    margin = np.bincount(owner, rows["value"][place], len(customer)).astype(np.float64)
    so_far = np.append(0, np.cumsum(rows["left"], dtype=np.int64))
    gone = so_far[end] - so_far[begin] > 0
    changes = np.where(rows["left"] != 0, np.arange(n_rows), 0)
    last_change = np.append(np.maximum.accumulate(changes), 0)[end - 1]
    left_day = np.append(rows["day"], 0)[last_change].astype(np.int64)
    after = np.maximum(left_day - first_day, -1).astype(np.float64)
    return FollowUp(margin, np.where(gone, after, np.nan))


def read_days(connection: sa.Connection, customer_ids: Sequence[str]) -> CustomerDays:
    """Read the days of the events of some customers, in their order."""
    stored: dict[str, bytes] = {}
    for some in in_batches(customer_ids):
        for name, packed in _STORED.rows(connection, {"customers": as_json(some)}):
            stored[name] = bytes(packed)
    return customer_days([stored.get(name, b"") for name in customer_ids])


def margin_before(
    connection: sa.Connection, rules: EventRules, customer_id: str, at_us: int
) -> float:
    """Sum the margin of a customer's events of one day of UTC, up to a time of that day.

    Parameters
    ----------
    at_us : int
        Microseconds since 1970; an event at that time counts.
    """
    begin = at_us // DAY_US * DAY_US
    values: Mapping[str, object] = {"customer": customer_id, "begin": begin, "end": at_us}
    return sum(
        margin_of(rules.margins[kind], properties)
        for kind, properties in _UP_TO.rows(connection, values)
        if kind in rules.margins
    )


def _key(customer: NDArray[np.integer], day: NDArray[np.integer]) -> NDArray[np.int64]:
    return (customer.astype(np.int64) << 32) + day.astype(np.int64) + _SHIFT
