"""Sums the margin of each customer's events by day, and notes when a customer left and came back.

Rows exist for every customer with such events, on all days, before the first decision too: so they
depend on nothing but events, and the margin before a decision can reduce the variance of a lift.
A row has no arm, because the arm is that of the customer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.journeys.events import Event, is_amount
from features.journeys.leaving import back_events
from features.ledger import tables
from features.ledger.derived_tables import mark_customers, mark_event_days
from features.ledger.statements import select_in_batches
from features.rewards.decision_rewards import DAY_US, EVER_US
from features.rewards.event_rows import (
    NOTHING_PRUNED,
    EventDay,
    Moment,
    PrunedEvents,
    add_up,
    leaving_changes,
    pack_event_days,
    unpack_event_days,
)
from features.rewards.reward_state import STATE

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
    connection: sa.Connection,
    rules: EventRules,
    customer_id: str,
    first_day: int = EVER_DAY,
    pruned: PrunedEvents = NOTHING_PRUNED,
) -> list[EventDay]:
    """Compute the rows of a customer from its events, from a day on, in the order of days.

    An event may change any row from its own day on, and none before: a silence ends later by it,
    and a later event of coming back brings back nobody any more.

    Parameters
    ----------
    pruned
        What is kept of deleted events.
    """
    rows = list(pruned.days)
    if rules.types:
        values = {"customer": customer_id, "begin": max(first_day * DAY_US, -EVER_US)}
        moments = _last_moment(connection, rules, values) if first_day > EVER_DAY else []
        found = connection.execute(_FROM_ON, values | {"types": rules.types})
        for at_us, kind, properties in found:
            if kind == rules.leaving or kind in rules.back:
                moments.append((at_us, kind in rules.back))
            if kind in rules.margins:
                value = margin_of(rules.margins[kind], properties)
                rows.append(EventDay(at_us // DAY_US, 0, value))
        changes = leaving_changes(moments, rules.silent_us, pruned.last, EVER_US)
        rows += [EventDay(at_us // DAY_US, change, 0.0) for at_us, change in changes]
    return add_up(row for row in rows if row.day >= first_day)


def margin_of(shares: Mapping[str, float], properties: str) -> float:
    """Sum the margin of an event, from its properties as JSON.

    A value that no event may have today counts as 0: one of a time when the property was a
    category, or one that was written past all checks. Else one event would stop or spoil all sums.
    """
    try:
        known = from_json(properties)
    except ValueError:
        return 0.0
    if not isinstance(known, dict):
        return 0.0
    amounts = {name: known[name] for name in shares if is_amount(known.get(name))}
    return sum((shares[name] * value for name, value in amounts.items()), 0.0)


def _last_moment(
    connection: sa.Connection, rules: EventRules, values: Mapping[str, object]
) -> list[Moment]:
    """The last event of leaving or coming back before some days, if there is one."""
    types = {"types": rules.types_of_leaving, "leaving": rules.leaving}
    if not types["types"]:
        return []
    found = connection.execute(_LAST_BEFORE, {**values, **types})
    return [(at_us, kind in rules.back) for at_us, kind, _ in found]


def packed_event_rows(
    connection: sa.Connection,
    rules: EventRules,
    first_days: Mapping[str, int],
    pruned: Mapping[str, PrunedEvents],
    step: int,
) -> list[dict[str, Any]]:
    """Compute the rows of the table `event_days` for some customers.

    Parameters
    ----------
    first_days
        For each customer the first day to compute; the stored days before it are kept.
    pruned
        What is kept of the deleted events of some of them.
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
        kept = pruned.get(customer_id, NOTHING_PRUNED)
        days += compute_event_days(connection, rules, customer_id, first_day, kept)
        rows.append({"customer_id": customer_id, "days": pack_event_days(days), "step": step})
    return rows
