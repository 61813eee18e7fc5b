"""Sums the margin of each customer's events by day, and notes when a customer left and came back.

Rows exist for every customer with such events, on all days, before the first decision too: so they
depend on nothing but events, and the margin before a decision can reduce the variance of a lift.
A row has no arm, because the arm is that of the customer.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.journeys.events import Event
from features.journeys.leaving import back_events
from features.ledger import tables
from features.ledger.derived_tables import mark_customers, mark_event_days
from features.ledger.statements import select_in_batches
from features.rewards.decision_rewards import DAY_US, EVER_US
from features.rewards.reward_state import STATE

_ROW = struct.Struct("<iid")
EVER_DAY = -EVER_US // DAY_US  # before every day of a ledger, in days since 1970
_EVENT = tables.events.c
_AT_US = sa.type_coerce(_EVENT.occurred_at, sa.BigInteger)
_OF_CUSTOMER = sa.select(_AT_US, _EVENT.type, _EVENT.properties).where(
    _EVENT.customer_id == sa.bindparam("customer", type_=sa.Text),
    _EVENT.type.in_(sa.bindparam("types", expanding=True)),
)
_BEGIN = sa.bindparam("begin", type_=sa.BigInteger)
_FROM_ON = _OF_CUSTOMER.where(_AT_US >= _BEGIN).order_by(_EVENT.occurred_at, _EVENT.event_id)
_LAST_BEFORE = (
    _OF_CUSTOMER.where(_AT_US < _BEGIN)
    # Somebody who leaves and comes back at one instant is back.
    .order_by(_EVENT.occurred_at.desc(), _EVENT.type == sa.bindparam("leaving", type_=sa.Text))
    .limit(1)
)


class EventDay(NamedTuple):
    """The events of one customer on one day.

    Attributes
    ----------
    day : int
        Days since 1970 (UTC).
    left : int
        1 if the customer left on that day, by the domain's definition of churn, and -1 if the
        customer came back; 0 for both. So the sum of all days is 1 while the customer is gone. A
        silence ends on the day on which it has lasted ``silent_days``: a row of a day to come holds
        if no event comes before.
    value : float
        The margin of the events, in the domain's currency (`Objective.margin`).
    """

    day: int
    left: int
    value: float


class EventRules(NamedTuple):
    """The part of a domain that these rows depend on.

    Attributes
    ----------
    margins
        For each type of event with a margin: the share of each property that is margin.
    leaving : str
        The type of event of the definition of churn; empty if there is none.
    back : tuple of str
        The types of event that bring back a customer who left by an event.
    silent_us : int
        The length of a silence that counts as leaving, in microseconds; 0: the event itself does.
    """

    margins: Mapping[str, Mapping[str, float]]
    leaving: str
    back: tuple[str, ...]
    silent_us: int

    @classmethod
    def of(cls, domain: Domain) -> EventRules:
        """Read the rules from a domain."""
        churn = domain.churn
        silent = churn.silent_days if churn and churn.when == "silent" else None
        return cls(
            domain.objective.shares(domain.events),
            churn.event if churn else "",
            back_events(domain),
            int((silent or 0) * DAY_US),
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the rules."""
        margins = {name: dict(shares) for name, shares in self.margins.items()}
        # Rows of before held the times that a customer left, and not who came back.
        content = ["net", margins, self.leaving, sorted(self.back), self.silent_us]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def types(self) -> list[str]:
        """The types of event that the rows depend on."""
        return sorted({*self.margins, *self.types_of_leaving})

    @property
    def types_of_leaving(self) -> list[str]:
        """The types of event by which customers leave and come back."""
        return sorted({self.leaving, *self.back} - {""})


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
    connection: sa.Connection, rules: EventRules, customer_id: str, first_day: int = EVER_DAY
) -> list[EventDay]:
    """Compute the rows of a customer from its events, from a day on, in the order of days.

    An event may change any row from its own day on, and none before: a silence ends later by it,
    and a later event of coming back brings back nobody any more.
    """
    if not rules.types:
        return []
    begin = max(first_day * DAY_US, -EVER_US)
    values = {"customer": customer_id, "begin": begin}
    margins: dict[int, float] = {}
    moments = _last_moment(connection, rules, values) if first_day > EVER_DAY else []
    for at_us, kind, properties in connection.execute(_FROM_ON, values | {"types": rules.types}):
        if kind == rules.leaving or kind in rules.back:
            moments.append((at_us, kind != rules.leaving))
        if kind in rules.margins:
            day = at_us // DAY_US
            margins[day] = margins.get(day, 0.0) + _margin(rules.margins[kind], properties)
    left = Counter[int]()
    for at_us, change in _changes(sorted(moments), rules.silent_us):
        left[at_us // DAY_US] += change
    return [
        EventDay(day, left[day], margins.get(day, 0.0))
        for day in sorted({*margins, *left})
        if day >= first_day and (left[day] or margins.get(day))
    ]


def _margin(shares: Mapping[str, float], properties: str) -> float:
    known = from_json(properties)
    return sum((share * (known.get(name) or 0.0) for name, share in shares.items()), 0.0)


def _last_moment(
    connection: sa.Connection, rules: EventRules, values: Mapping[str, object]
) -> list[tuple[int, bool]]:
    """The last event of leaving or coming back before some days, if there is one."""
    types = {"types": rules.types_of_leaving, "leaving": rules.leaving}
    if not types["types"]:
        return []
    found = connection.execute(_LAST_BEFORE, {**values, **types})
    return [(at_us, kind != rules.leaving) for at_us, kind, _ in found]


def packed_event_rows(
    connection: sa.Connection, rules: EventRules, first_days: Mapping[str, int], step: int
) -> list[dict[str, Any]]:
    """Compute the rows of the table `event_days` for some customers.

    Parameters
    ----------
    first_days
        For each customer the first day to compute; the stored days before it are kept.
    step
        The number of the step that will write them.
    """
    some = [name for name, day in first_days.items() if day > EVER_DAY]
    query, column = sa.select(tables.event_days), tables.event_days.c.customer_id
    found = select_in_batches(connection, query, column, some)
    stored = {row.customer_id: unpack_event_days(row.days) for row in found}
    rows = []
    for customer_id, first_day in first_days.items():
        days = [row for row in stored.get(customer_id, ()) if row.day < first_day]
        days += compute_event_days(connection, rules, customer_id, first_day)
        rows.append({"customer_id": customer_id, "days": pack_event_days(days), "step": step})
    return rows


def pack_event_days(rows: Iterable[EventDay]) -> bytes:
    """Pack rows, in the order of days."""
    return b"".join(_ROW.pack(*row) for row in sorted(rows))


def unpack_event_days(packed: bytes) -> list[EventDay]:
    """Unpack what `pack_event_days` has packed."""
    return [EventDay(*row) for row in _ROW.iter_unpack(packed)]


def _changes(moments: Sequence[tuple[int, bool]], silent_us: int) -> Iterator[tuple[int, int]]:
    """Yield when a customer left, with 1, and came back, with -1.

    Parameters
    ----------
    moments
        The events of leaving and coming back, in the order of time, each with whether it brings
        back; of two at one instant, the one that brings back is the second. With a silence: the
        events that end it.
    """
    if silent_us:
        for (at_us, _), (after, _) in pairwise([*moments, (EVER_US, True)]):
            if after - at_us > silent_us:
                yield at_us + silent_us, 1
                if after < EVER_US:
                    yield after, -1
        return
    gone = False
    for at_us, is_back in moments:
        if gone == is_back:
            gone = not is_back
            yield at_us, 1 if gone else -1
