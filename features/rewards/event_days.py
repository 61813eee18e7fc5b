"""Sums the value of each customer's events by day, and notes the days on which a customer left.

Rows exist for every customer with such events, on all days, before the first decision too: so they
depend on nothing but events, and the value before a decision can reduce the variance of a lift.
A row has no arm, because the arm is that of the customer.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.journeys.events import Event
from features.ledger import tables
from features.ledger.derived_tables import mark_customers, mark_event_days
from features.rewards.decision_rewards import DAY_US, EVER_US
from features.rewards.reward_state import STATE

_ROW = struct.Struct("<iid")
_EVENT = tables.events.c
_AT_US = sa.type_coerce(_EVENT.occurred_at, sa.BigInteger)
_WITHIN = (
    sa.select(_AT_US, _EVENT.type, _EVENT.properties)
    .where(_EVENT.customer_id == sa.bindparam("customer", type_=sa.Text))
    .where(sa.bindparam("begin", type_=sa.BigInteger) <= _AT_US)
    .where(sa.bindparam("end", type_=sa.BigInteger) > _AT_US)
    .where(_EVENT.type.in_(sa.bindparam("types", expanding=True)))
    .order_by(_EVENT.occurred_at, _EVENT.event_id)
)
Days = tuple[int, int]  # from a day on and before another, in days since 1970
EVER_DAYS: Days = (-EVER_US // DAY_US, EVER_US // DAY_US)


class EventDay(NamedTuple):
    """The events of one customer on one day.

    Attributes
    ----------
    day : int
        Days since 1970 (UTC).
    left : int
        The times that the customer left, by the domain's definition of churn. A silence ends on the
        day on which it has lasted ``silent_days``: a row of a day to come holds if no event comes
        before.
    value : float
        The sum of the properties that measure spend, in the domain's currency.
    """

    day: int
    left: int
    value: float


class EventRules(NamedTuple):
    """The part of a domain that these rows depend on.

    Attributes
    ----------
    spend
        For each type of event with a value: the property that measures it.
    leaving : str
        The type of event of the definition of churn; empty if there is none.
    silent_us : int
        The length of a silence that counts as leaving, in microseconds; 0: the event itself does.
    """

    spend: Mapping[str, str]
    leaving: str
    silent_us: int

    @classmethod
    def of(cls, domain: Domain) -> EventRules:
        """Read the rules from a domain."""
        spend = {
            name: key
            for name, described in domain.events.items()
            for key, known in described.properties.items()
            if known.measures == "spend"
        }
        churn = domain.churn
        silent = churn.silent_days if churn and churn.when == "silent" else None
        return cls(spend, churn.event if churn else "", int((silent or 0) * DAY_US))

    @property
    def fingerprint(self) -> str:
        """Hash of the rules."""
        content = json.dumps([dict(self.spend), self.leaving, self.silent_us], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def types(self) -> list[str]:
        """The types of event that the rows depend on."""
        return sorted({*self.spend, self.leaving} - {""})

    def changed_by(self, day: int) -> Days:
        """The days whose rows an event of a day may change: a silence ends, or begins, by it."""
        return day, day + 1 + ceil(self.silent_us / DAY_US)


def mark_events(
    connection: sa.Connection, rules: EventRules, new_events: Mapping[str, Iterable[Event]]
) -> None:
    """Mark the days of new events that count, by customer; in the transaction of the events."""
    types = rules.types
    days = {
        (customer_id, tables.micros(event.occurred_at) // DAY_US)
        for customer_id, some in new_events.items()
        for event in some
        if event.type in types
    }
    if days:
        mark_event_days(connection, sorted(days))


def mark_loaded(
    connection: sa.Connection, rules: EventRules, new_events: Mapping[str, Iterable[Event]]
) -> None:
    """Mark the customers of loaded events that count; a ledger never summed needs no marks."""
    if tables.get_meta(connection, STATE) is None:
        return
    types = rules.types
    mark_customers(
        connection,
        [key for key, some in new_events.items() if any(one.type in types for one in some)],
    )


def compute_event_days(
    connection: sa.Connection, rules: EventRules, customer_id: str, days: Days
) -> list[EventDay]:
    """Compute the rows of a customer on some days from its events, in the order of days."""
    if not rules.types:
        return []
    begin, end = (day * DAY_US for day in days)
    # A silence that ends on the first day began so much before it.
    values = {"customer": customer_id, "begin": begin - rules.silent_us, "end": end}
    spent: dict[int, float] = {}
    times = list[int]()
    for at_us, kind, properties in connection.execute(_WITHIN, values | {"types": rules.types}):
        if kind == rules.leaving:
            times.append(at_us)
        if kind in rules.spend:
            value = from_json(properties).get(rules.spend[kind]) or 0.0
            spent[at_us // DAY_US] = spent.get(at_us // DAY_US, 0.0) + value
    left = Counter(at_us // DAY_US for at_us in _left(times, rules.silent_us))
    return [
        EventDay(day, left[day], spent.get(day, 0.0))
        for day in sorted({*spent, *left})
        if days[0] <= day < days[1]
    ]


def pack_event_days(rows: Iterable[EventDay]) -> bytes:
    """Pack rows, in the order of days."""
    return b"".join(_ROW.pack(*row) for row in sorted(rows))


def unpack_event_days(packed: bytes) -> list[EventDay]:
    """Unpack what `pack_event_days` has packed."""
    return [EventDay(*row) for row in _ROW.iter_unpack(packed)]


def _left(times: Sequence[int], silent_us: int) -> list[int]:
    """The times of leaving: those of the events, or the ends of the silences after them."""
    if not silent_us:
        return list(times)
    following = pairwise([*times, EVER_US])
    return [at + silent_us for at, after in following if after - at > silent_us]
