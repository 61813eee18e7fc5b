"""Appends events to the ledger: tells new ones from duplicates, and links their keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.customers.consents import is_respelled
from features.errors import InvalidEvent
from features.identity.erasing import reopen_devices
from features.identity.holders import FORGOTTEN, base_key, nodes_at
from features.identity.joining import join_keys
from features.identity.keys import KeyNormalizer
from features.identity.links import Merge, resolve_each
from features.identity.logins import Login
from features.identity.reassignment import Reassignment
from features.identity.tombstones import forgotten, forgotten_error
from features.journeys.events import Event
from features.ledger import tables
from features.ledger.derived_tables import mark_journeys
from features.ledger.statements import Statement, as_json, texts_of

_EVENTS = tables.events.c
_STORED = Statement(
    sa.select(
        *(_EVENTS.event_id, _EVENTS.subject, _EVENTS.type),
        *(_EVENTS.occurred_at, _EVENTS.channel, _EVENTS.properties),
    ).where(_EVENTS.event_id.in_(sa.select(texts_of("event_ids").c.value)))
)


class AppendResult(NamedTuple):
    """The result of appending events that broke no rule."""

    new_events: dict[str, list[Event]]  # by customer
    duplicates: dict[int, str]  # by position, the key or node under which the event is stored
    refused: dict[int, InvalidEvent]  # by position
    merges: list[Merge]  # in their order
    reassigned: list[Reassignment]


def append_events(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    events: Sequence[Event],
    now: datetime,
    *,
    imported: bool = False,
) -> AppendResult:
    """Append new events, each to its customer, and link the keys that an event names together.

    A device that an event names with a named key is from then on in the hands of that customer.
    A repeated event links the named keys that it did not name before; it moves no device.

    Parameters
    ----------
    imported
        The events count as if they had been received when they occurred, and not now.
    """
    fresh, duplicates, refused = _classify(connection, normalizer, events)
    naming = [(event.subject, event) for event in fresh.values()]
    # A repeated event may name more people's keys than before. What was linked once stays as it is.
    naming += [(base_key(subject), events[place]) for place, subject in duplicates.items()]
    causes, logins = _causes(naming, normalizer), _logins(fresh.values(), normalizer)
    joined = join_keys(connection, normalizer, causes, logins, now)
    subjects = _subjects(connection, normalizer, fresh)
    customer_of = resolve_each(connection, {*subjects.values()}) if fresh else {}
    new_events: dict[str, list[Event]] = {}
    rows = []
    for position, event in fresh.items():
        subject = subjects[position]
        if subject == FORGOTTEN:
            refused[position] = _is_forgotten(event.subject)
            continue  # its duplicates in this call are refused below
        customer_id = customer_of.get(subject, subject)
        new_events.setdefault(customer_id, []).append(event)
        rows.append(_row(event, subject, customer_id, None if imported else now))
    tables.insert_new(connection, tables.events, rows)
    mark_journeys(connection, new_events)
    gone = {events[one].event_id for one in refused if one in fresh}
    for position in [one for one in duplicates if events[one].event_id in gone]:
        del duplicates[position]
        refused[position] = _is_forgotten(events[position].subject)
    return AppendResult(new_events, duplicates, refused, *joined)


def _causes(
    naming: Iterable[tuple[str, Event]], normalizer: KeyNormalizer
) -> dict[tuple[str, str], str]:
    """Return the pairs of named keys that events link, each with its first cause.

    Each event comes with the key under which it is stored.
    """
    causes: dict[tuple[str, str], str] = {}
    for subject, event in naming:
        named = [key for key in event.keys if not normalizer.is_anonymous(key)]
        if subject in named:
            for other in named:
                if other != subject:
                    causes.setdefault((subject, other), f"event {event.event_id}")
    return causes


def _logins(events: Iterable[Event], normalizer: KeyNormalizer) -> Iterator[Login]:
    """Yield the logins on devices: events that name a device after a named key."""
    for event in events:
        if len(event.keys) > 1 and not normalizer.is_anonymous(event.subject):
            at_us = tables.micros(event.occurred_at)
            for key in event.keys[1:]:
                if normalizer.is_anonymous(key):
                    cause = f"event {event.event_id}"
                    yield Login(key, at_us, event.event_id, event.subject, cause)


def _subjects(
    connection: sa.Connection, normalizer: KeyNormalizer, events: Mapping[int, Event]
) -> dict[int, str]:
    """Find the key, or the node of a device, under which each event is stored."""
    on_devices = {
        place: (event.subject, event.occurred_at)
        for place, event in events.items()
        if normalizer.is_anonymous(event.subject)
    }
    held = nodes_at(connection, on_devices.values())
    return {
        place: held[on_devices[place]] if place in on_devices else event.subject
        for place, event in events.items()
    }


def _classify(
    connection: sa.Connection, normalizer: KeyNormalizer, events: Sequence[Event]
) -> tuple[dict[int, Event], dict[int, str], dict[int, InvalidEvent]]:
    """Divide events by position: the new ones, duplicates, and errors."""
    earlier = _stored(connection, [event.event_id for event in events])
    erased = forgotten(connection, {key for event in events for key in event.keys})
    reopened: set[str] = set()
    fresh: dict[int, Event] = {}
    duplicates: dict[int, str] = {}
    refused: dict[int, InvalidEvent] = {}
    for position, event in enumerate(events):
        logs_in = not normalizer.is_anonymous(event.subject)
        gone = [key for key in event.keys if key in erased]
        # Somebody else may log in on the device of a forgotten customer.
        devices = {key for key in gone if logs_in and normalizer.is_anonymous(key)}
        gone = [key for key in gone if key not in devices]
        if gone:
            refused[position] = _is_forgotten(gone[0])
        elif event.event_id not in earlier:
            earlier[event.event_id] = (event.subject, _content(event))
            fresh[position] = event
            reopened |= devices
            erased -= devices
        elif _is_same(event, *earlier[event.event_id]):
            duplicates[position] = earlier[event.event_id][0]
        else:
            refused[position] = InvalidEvent(
                "event_id",
                f"event_id is {event.event_id!r}, which is there with another content. "
                "Expected one id for one event. Send a new event_id.",
            )
    reopen_devices(connection, reopened)
    return fresh, duplicates, refused


def _is_forgotten(key: str) -> InvalidEvent:
    return InvalidEvent("identifiers", str(forgotten_error(key)))


def _stored(connection: sa.Connection, event_ids: Sequence[str]) -> dict[str, tuple[str, Any]]:
    """Read the key and the content of the events that are in the ledger, by event id."""
    found = _STORED.rows(connection, {"event_ids": as_json(event_ids)})
    return {event_id: (subject, content) for event_id, subject, *content in found}


def _is_same(event: Event, subject: str, content: list[Any]) -> bool:
    """Tell a duplicate from another event with its id, whichever of its keys it is stored under."""
    *mine, properties = _content(event)
    return (
        base_key(subject) in event.keys
        and content[:-1] == mine
        and (content[-1] == properties or is_respelled(content[-1], event.properties))
    )


def _content(event: Event) -> list[Any]:
    """The content of an event, without its keys."""
    return [event.type, tables.micros(event.occurred_at), event.channel, event.properties_json]


def _row(
    event: Event, subject: str, customer_id: str, received_at: datetime | None
) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "occurred_at": event.occurred_at,
        "event_id": event.event_id,
        "subject": subject,
        "type": event.type,
        "channel": event.channel,
        "properties": event.properties_json,
        "received_at": received_at,
    }
