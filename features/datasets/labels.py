"""Labels moments from the ledger: a customer, a time, and what happened next.

There are two kinds of moments. At the dates of the domain's protocol every active customer is
labelled: silent afterwards or not, or the intent of the next event. Or the customers' own events
give the moments: just before the first customer left, or right after each event. The features as
of a moment are read elsewhere, by `training_frame`.

The label is what really happened after the moment, by the times at which events occurred. Whether
a customer is active at the moment, and when an event gives a moment, follow from the events that
had been received by then. Otherwise a model would be trained on customers chosen by events that
nobody knew yet: of those who seem silent, only those whose late event was still to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features.business.domain import Domain
from features.errors import InvalidData
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import EPOCH
from features.states.stored_events import KNOWN_AT

DAY_US = 86_400_000_000
EVERY_DAYS = 14  # between two moments, if the domain file has no protocol


class LabelledMoment(NamedTuple):
    """A customer, a time to decide at, its label, and the time from which the label was known."""

    customer_id: str
    at_us: int
    label: int
    settled_us: int


def churn_moments(ledger: Ledger, domain: Domain, shift: timedelta) -> pd.DataFrame:
    """Label moments with churn: whether the customer then fell silent or left.

    Returns
    -------
    DataFrame
        Columns customer_id, event_timestamp (UTC), label (1: then silent for
        ``churn.silent_days``, or left by ``churn.event``), settled_at (UTC).

    Raises
    ------
    InvalidData
        If the domain defines no churn, or the ledger is too short for it.
    """
    rule = _defined(domain, "churn")
    if rule.when == "happens":
        return _frame(_before_first_leaving(ledger, rule.event))
    active = _active_customers(
        ledger, domain, shift, rule.event, rule.active_days, rule.silent_days
    )
    ahead_us = int(rule.silent_days * DAY_US)
    return _frame(
        LabelledMoment(one.customer_id, one.at_us, int(not one.returned), one.at_us + ahead_us)
        for one in active
    )


def intent_moments(ledger: Ledger, domain: Domain, shift: timedelta) -> pd.DataFrame:
    """Label moments with the intent of the customer's next event.

    Returns
    -------
    DataFrame
        Columns customer_id, event_timestamp (UTC), label (index into ``domain.intents``),
        settled_at (UTC).

    Raises
    ------
    InvalidData
        If the domain defines no intent, or the ledger is too short for it.
    """
    rule = _defined(domain, "intent")
    index = {value: number for number, value in enumerate(domain.intents)}
    if rule.ask == "after_each":
        return _frame(_after_each(ledger, domain, shift, index))
    days = rule.active_days, rule.within_days
    active = _active_customers(ledger, domain, shift, rule.event, *days, rule.property)
    ahead_us = int(rule.within_days * DAY_US)
    # An event need not say what it was for; that is no label.
    return _frame(
        LabelledMoment(one.customer_id, one.at_us, index[one.value], one.at_us + ahead_us)
        for one in active
        if one.returned and one.value in index
    )


def midnight(day: date, shift: timedelta) -> int:
    """The start of a day of the original calendar, in microseconds since 1970, shifted."""
    moment = datetime.combine(day, time(), tzinfo=UTC) + shift
    return (moment - EPOCH) // timedelta(microseconds=1)


def _defined(domain: Domain, what: str) -> Any:
    rule = getattr(domain, what)
    if rule is None:
        raise InvalidData(
            f"The domain {domain.name!r} defines no {what}.",
            expected=f"a section '{what}:' in the domain file",
            remedy="Add it, or train another model.",
        )
    return rule


def _before_first_leaving(ledger: Ledger, event_type: str) -> Iterator[LabelledMoment]:
    """Label each customer once, just before the first one left; 1 if it left at any time after.

    At that moment nobody has left yet, so nobody is asked who cannot churn any more.
    """
    left = {one.customer_id: one.at_us[0] for one in _event_times(ledger, event_type)}
    if not left:
        raise _no_events()
    moment = int(min(left.values())) - 1
    facts, keys = tables.customers.c, tables.identities.c
    customer = sa.func.coalesce(keys.customer_id, facts.customer_id)
    query = sa.select(customer).distinct().order_by(customer)  # several keys may be one customer
    query = query.select_from(tables.customers)
    query = query.outerjoin(tables.identities, keys.key == facts.customer_id)
    for customer_id in ledger.read(lambda c: list(c.execute(query).scalars())):
        # That a customer stayed is never known for good; the label counts as known at the moment.
        yield LabelledMoment(customer_id, moment, int(customer_id in left), moment)


def _after_each(
    ledger: Ledger, domain: Domain, shift: timedelta, index: dict[str, int]
) -> Iterator[LabelledMoment]:
    """Label the moment at which each event was known with the intent of the next one, or the end.

    Several events that were known at one instant give one moment. An event without a next one in
    the ledger counts as the end, so load only histories that are complete.
    """
    rule, plan = _defined(domain, "intent"), domain.moments
    first = midnight(plan.first, shift) if plan and plan.first else None
    after = midnight(plan.last, shift) + DAY_US if plan and plan.last else None
    found = False
    for one in _event_times(ledger, rule.event, rule.property):
        found = True
        for at in np.unique(one.known_us):
            if (first is not None and at < first) or (after is not None and at >= after):
                continue
            ahead = int(np.searchsorted(one.at_us, at, side="right"))
            if ahead == len(one.at_us):
                if rule.end:  # counts as known at once: the time of "no more events" is unknown
                    yield LabelledMoment(one.customer_id, int(at), index[rule.end], int(at))
            elif (value := one.values[ahead]) in index:
                next_us = int(one.at_us[ahead])
                yield LabelledMoment(one.customer_id, int(at), index[value], next_us)
    if not found:
        raise _no_events()


class _ActiveCustomer(NamedTuple):
    """An active customer at a moment, and whether its next event came in time."""

    customer_id: str
    at_us: int
    returned: bool
    value: str


def _active_customers(
    ledger: Ledger,
    domain: Domain,
    shift: timedelta,
    event_type: str,
    active_days: float,
    ahead_days: float,
    prop: str = "",
) -> Iterator[_ActiveCustomer]:
    active_us, ahead_us = int(active_days * DAY_US), int(ahead_days * DAY_US)
    events = list(_event_times(ledger, event_type, prop))
    for moment in _moment_times(domain, shift, events, active_us, ahead_us):
        for one in events:
            seen = int(np.searchsorted(one.at_us, moment, side="right"))
            if not _is_known_since(one, seen, moment - active_us, moment):
                continue
            returned = seen < len(one.at_us) and bool(one.at_us[seen] <= moment + ahead_us)
            value = one.values[seen] if returned and prop else ""
            yield _ActiveCustomer(one.customer_id, moment, returned, value)


def _is_known_since(one: _EventTimes, seen: int, since: int, moment: int) -> bool:
    """Return whether one of the first ``seen`` events, from ``since`` on, was known by then."""
    if seen == 0 or one.at_us[seen - 1] < since:
        return False
    if one.known_us[seen - 1] <= moment:
        return True
    recent = int(np.searchsorted(one.at_us, since))
    return bool((one.known_us[recent:seen] <= moment).any())


class _EventTimes(NamedTuple):
    """The events of one type of a customer, in order of time.

    Attributes
    ----------
    at_us, known_us : shape (n,)
        The times at which the events occurred, and from which they were known.
    values : n texts, or none
        One property of each.
    """

    customer_id: str
    at_us: NDArray[np.int64]
    known_us: NDArray[np.int64]
    values: list[str]


def _event_times(ledger: Ledger, event_type: str, prop: str = "") -> Iterator[_EventTimes]:
    """Yield the times of each customer's events of one type, and one property of each."""
    columns = tables.events.c
    at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
    query = (
        sa.select(columns.customer_id, at, KNOWN_AT, columns.properties)
        .where(columns.type == event_type)
        .order_by(columns.customer_id, columns.occurred_at, columns.event_id)
    )
    rows = ledger.read(lambda connection: connection.execute(query).all())
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or rows[end][0] != rows[start][0]:
            part = rows[start:end]
            values = [from_json(row[3]).get(prop, "") for row in part] if prop else []
            at_us, known_us = np.array([row[1:3] for row in part], dtype=np.int64).T
            # A caller's clock may be ahead of ours: nothing is known before it occurs.
            yield _EventTimes(rows[start][0], at_us, np.maximum(at_us, known_us), values)
            start = end


def _moment_times(
    domain: Domain, shift: timedelta, events: list[_EventTimes], active_us: int, ahead_us: int
) -> list[int]:
    """The times of the domain's protocol, or each 14 days of the time that the ledger spans."""
    if not events:
        raise _no_events()
    # A label that looks past the end of the ledger would call every customer silent.
    settled = max(int(one.at_us[-1]) for one in events) - ahead_us
    first = min(int(one.at_us[0]) for one in events) + active_us
    last, step = settled, EVERY_DAYS * DAY_US
    plan = domain.moments
    if plan and plan.first and plan.last and plan.every_days:
        first, step = midnight(plan.first, shift), plan.every_days * DAY_US
        last = min(midnight(plan.last, shift), settled)
    if last < first:
        raise InvalidData(
            "The ledger is too short: no moment has both a past and a settled future.",
            expected=f"more than {(active_us + ahead_us) / DAY_US:g} days of events",
            remedy="Load a longer history, or shorten the spans in the domain file.",
        )
    return list(range(first, last + 1, step))


def _no_events() -> InvalidData:
    return InvalidData(
        "The ledger holds no events to learn from.",
        expected="events of the type that churn and intent name",
        remedy="Load some: 'nba load FOLDER'.",
    )


def _frame(moments: Iterable[LabelledMoment]) -> pd.DataFrame:
    names = ["customer_id", "event_timestamp", "label", "settled_at"]
    frame = pd.DataFrame(moments, columns=names)
    for name in ("event_timestamp", "settled_at"):
        frame[name] = pd.to_datetime(frame[name], unit="us", utc=True)
    return frame
