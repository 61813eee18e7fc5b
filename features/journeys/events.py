"""Events as channels send them, checked against the domain file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import isfinite
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.config import JsonDict

from features.business.domain import Domain
from features.business.event_types import EventType, Property
from features.customers.consents import check_consent, spell_consent
from features.errors import InvalidEvent, InvalidKey, quoted
from features.identity.keys import ID_LENGTH, ID_PATTERN, KeyNormalizer
from features.identity.spelling import one_spelling, spelled_alike

FIRST_YEAR, LAST_YEAR = 1970, 2199  # a time outside is a mistake
MAX_CLOCK_SKEW = timedelta(minutes=5)  # a caller's clock may be ahead of ours by this much
MAX_TEXT = 10_000  # characters of one text property
MAX_NUMBER = 1e15  # absolute value of a property, so that sums stay finite and exact enough
MAX_KEYS = 20
# Scores that count answers by their whole number: 6.5 is neither a detractor nor a passive.
WHOLE_SCORES = ("nps", "csat", "ces")


def as_utc(moment: datetime) -> datetime:
    """Convert a moment to UTC.

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


UtcTime = Annotated[AwareDatetime, AfterValidator(as_utc)]
Id = Annotated[str, Field(min_length=1, max_length=ID_LENGTH, pattern=ID_PATTERN)]
# Blanks around a customer id are not part of it.
CustomerId = Annotated[
    Id, BeforeValidator(lambda sent: one_spelling(sent) if isinstance(sent, str) else sent)
]
# Channels are compared without case and surrounding blanks.
ChannelName = Annotated[
    str,
    Field(min_length=1, max_length=60),
    BeforeValidator(lambda sent: spelled_alike(sent) if isinstance(sent, str) else sent),
]
# In a JSON schema: a customer id, or at least one identifier.
CUSTOMER_ID_OR_IDENTIFIERS: JsonDict = {
    "anyOf": [
        {"required": ["customer_id"], "properties": {"customer_id": {"type": "string"}}},
        {"required": ["identifiers"], "properties": {"identifiers": {"minItems": 1}}},
    ]
}


class SentEvent(BaseModel):
    """An event as a channel sends it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra=CUSTOMER_ID_OR_IDENTIFIERS
    )

    event_id: Id = Field(examples=["till-7-20261122-0815"])
    type: Annotated[str, Field(max_length=60)] = Field(examples=["visit"])
    occurred_at: UtcTime
    channel: ChannelName = Field(examples=["app"])
    customer_id: CustomerId | None = Field(None, examples=["h1"])
    identifiers: Annotated[tuple[str, ...], Field(max_length=MAX_KEYS)] = ()
    properties: dict[str, Any] = {}


@dataclass(frozen=True)
class Event:
    """Something that happened to a customer; immutable.

    Attributes
    ----------
    keys : tuple of str
        Customer id and identifiers of one person. The event is stored under the first one.
    occurred_at : aware UTC
    """

    event_id: str
    keys: tuple[str, ...]
    type: str
    occurred_at: datetime
    channel: str
    properties: Mapping[str, Any]

    @property
    def subject(self) -> str:
        """The key under which the event is stored; it does not change with the customer."""
        return self.keys[0]

    @property
    def order(self) -> tuple[datetime, str]:
        """The sort key of the order in which events are folded."""
        return self.occurred_at, self.event_id

    @cached_property
    def properties_json(self) -> str:
        """The properties as the ledger stores them."""
        return json.dumps(self.properties, sort_keys=True)


def parse_event(
    sent: Any,
    domain: Domain,
    normalizer: KeyNormalizer,
    now: datetime,
    purposes: Collection[str] | None = None,
) -> Event:
    """Check an event of a channel, and normalize its keys and properties.

    Parameters
    ----------
    purposes
        The purposes of the catalogue, for which consent is given or withdrawn; None: the caller has
        no catalogue.

    Raises
    ------
    InvalidEvent
        If it is invalid; names the field, its value and the remedy.
    """
    try:
        one = SentEvent.model_validate(sent)
    except ValidationError as error:
        raise _broken(error) from None
    if one.occurred_at > now + MAX_CLOCK_SKEW:
        raise _invalid("occurred_at", one.occurred_at.isoformat(), "a time that has passed")
    try:
        keys = normalizer.keys(one.customer_id, one.identifiers)
    except InvalidKey as error:
        raise InvalidEvent(error.field, str(error)) from None
    properties = normalize_properties(one.properties, domain.events.get(one.type))
    event = Event(one.event_id, keys, one.type, one.occurred_at, one.channel, properties)
    check_event(event, domain, purposes)
    return event


def normalize_properties(
    properties: Mapping[str, Any], event_type: EventType | None
) -> dict[str, Any]:
    """Convert numbers to floats, so that 5 and 5.0 are the same content; spell a consent."""
    known = event_type.properties if event_type else {}
    if event_type and event_type.consent:
        properties = spell_consent(properties, event_type)
    return {
        name: float(value)
        if name in known and known[name].type == "number" and is_finite_number(value)
        else value
        for name, value in properties.items()
    }


def check_event(event: Event, domain: Domain, purposes: Collection[str] | None = None) -> None:
    """Refuse an event that the domain does not describe, and a consent that would have no effect.

    Parameters
    ----------
    purposes
        See `parse_event`.

    Raises
    ------
    InvalidEvent
        Names the field, its value and the remedy.
    """
    if not event.keys:
        raise _invalid("customer_id", None, "a customer_id, or at least one of identifiers")
    event_type = domain.events.get(event.type)
    if event_type is None:
        raise _invalid("type", event.type, f"one of {', '.join(domain.events)}")
    if event.channel not in domain.channels:
        raise _invalid("channel", event.channel, f"one of {', '.join(domain.channels)}")
    if event.occurred_at.utcoffset() != UTC.utcoffset(None):
        raise _invalid("occurred_at", event.occurred_at, "a time with a time zone, in UTC")
    _check_properties(event, event_type)
    if event_type.consent and purposes is not None:
        check_consent(event.properties, purposes, domain.channels)


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
    if known.type == "text":
        if not isinstance(value, str):
            raise _invalid(field, value, "a text")
        if len(value) > MAX_TEXT:
            raise _invalid(field, value, f"at most {MAX_TEXT:,} characters")
        if not _is_unicode(value):
            raise _invalid(field, value, "a text in Unicode, without halves of characters")
    if known.type == "number":
        if not is_finite_number(value):
            raise _invalid(field, value, "a finite number")
        if abs(value) > MAX_NUMBER:
            raise _invalid(field, value, f"a number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}")
        if known.measures and known.measures in WHOLE_SCORES and not float(value).is_integer():
            raise _invalid(field, value, f"a whole number from {known.min:g} to {known.max:g}")
        if known.min is not None and value < known.min:
            raise _invalid(field, value, f"at least {known.min:g}")
        if known.max is not None and value > known.max:
            raise _invalid(field, value, f"at most {known.max:g}")


def is_finite_number(value: object) -> bool:
    """Return True for finite numbers, but not for True, False or 10**400."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def is_amount(value: object) -> bool:
    """Return True for numbers that a property may have: finite, and at most `MAX_NUMBER`."""
    return is_finite_number(value) and abs(value) <= MAX_NUMBER  # type: ignore[arg-type]


def _is_unicode(text: str) -> bool:
    """Return True if a text can be encoded; one with a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _invalid(field: str, value: object, expected: str) -> InvalidEvent:
    remedy = "Correct the event, or describe it in the domain file."
    return InvalidEvent(field, f"{field} is {quoted(value)}. Expected {expected}. {remedy}")


def _broken(error: ValidationError) -> InvalidEvent:
    """Make an error from the first finding of pydantic."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the event"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return InvalidEvent(field, f"{field} is missing. Send it.")
    if first["type"] == "extra_forbidden":
        return InvalidEvent(field, f"{field} is not a field of an event. Leave it out.")
    reason = f"{message[:1].lower()}{message[1:]}"
    value = quoted(first["input"])
    return InvalidEvent(field, f"{field} is {value}: {reason}. Correct it and send it again.")
