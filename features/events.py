"""The event: something that happened to a customer, checked against the domain at the border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from features.domain import Domain, EventType, Property
from features.errors import InvalidData

FIRST_YEAR, LAST_YEAR = 1970, 2199  # outside, a time is a mistake; windows reach past its end


def as_utc(moment: datetime) -> datetime:
    """The same moment in UTC.

    Raises
    ------
    ValueError
        If it has no time zone, or lies outside of `FIRST_YEAR` to `LAST_YEAR`.
    """
    if moment.tzinfo is None:
        raise ValueError("a time with a time zone, such as 2026-11-22T10:00:00Z")
    if not FIRST_YEAR < moment.year < LAST_YEAR:
        raise ValueError(f"a time between the years {FIRST_YEAR} and {LAST_YEAR}")
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """Immutable. ``occurred_at`` is aware UTC."""

    event_id: str
    customer_id: str
    type: str
    occurred_at: datetime
    channel: str
    properties: Mapping[str, Any]


def check_event(event: Event, domain: Domain) -> None:
    """Refuse an event that the domain does not describe.

    Raises
    ------
    InvalidData
        Names the field, its value and what to do.
    """
    if not event.event_id or not event.customer_id:
        raise _invalid("event_id and customer_id", "", "two texts that are not empty")
    event_type = domain.events.get(event.type)
    if event_type is None:
        raise _invalid("type", event.type, f"one of {', '.join(domain.events)}")
    if event.channel not in domain.channels:
        raise _invalid("channel", event.channel, f"one of {', '.join(domain.channels)}")
    if event.occurred_at.utcoffset() != UTC.utcoffset(None):
        raise _invalid("occurred_at", event.occurred_at, "a time with a time zone, in UTC")
    _check_properties(event, event_type)


def _check_properties(event: Event, event_type: EventType) -> None:
    for name, known in event_type.properties.items():
        if name in event.properties:
            _check_value(f"properties.{name}", event.properties[name], known)
        elif known.required:
            raise _invalid(f"properties.{name}", None, f"a {known.type}")
    for name in event.properties:
        if name not in event_type.properties:
            known_names = ", ".join(event_type.properties) or "none"
            raise _invalid(f"properties.{name}", event.properties[name], f"one of: {known_names}")


def _check_value(field: str, value: Any, known: Property) -> None:
    if known.type == "category" and value not in known.values:
        raise _invalid(field, value, f"one of {', '.join(known.values)}")
    if known.type == "text" and not isinstance(value, str):
        raise _invalid(field, value, "a text")
    if known.type == "number":
        if not is_finite_number(value):
            raise _invalid(field, value, "a finite number")
        if known.min is not None and value < known.min:
            raise _invalid(field, value, f"at least {known.min:g}")
        if known.max is not None and value > known.max:
            raise _invalid(field, value, f"at most {known.max:g}")


def is_finite_number(value: object) -> bool:
    """Whether a value can be counted with; True and False cannot, nor can 10**400."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _invalid(field: str, value: object, expected: str) -> InvalidData:
    return InvalidData(
        f"{field} is {value!r}.",
        expected=expected,
        remedy="Correct the event, or describe it in the domain file.",
    )
