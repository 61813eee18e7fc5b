"""Appends events to the ledger: tells new ones from duplicates, and links their keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.errors import InvalidEvent
from features.identity.bulk_links import link_all
from features.identity.keys import KeyNormalizer
from features.identity.links import Merge, resolve_each
from features.identity.tombstones import forgotten, forgotten_error
from features.journeys.events import Event
from features.ledger import tables
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
    duplicates: list[int]  # by position
    refused: dict[int, InvalidEvent]  # by position
    merges: list[Merge]  # in their order


def append_events(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    events: Sequence[Event],
    now: datetime,
    *,
    imported: bool = False,
) -> AppendResult:
    """Append new events, each to its customer, and link the keys that an event names together.

    An event is known from ``now`` on; an ``imported`` one from the time at which it occurred.
    """
    fresh, duplicates, refused = _classify(connection, events)
    merges = link_all(connection, normalizer, _causes(fresh), now)
    customer_of = resolve_each(connection, {event.subject for event in fresh}) if fresh else {}
    new_events: dict[str, list[Event]] = {}
    for event in fresh:
        new_events.setdefault(customer_of.get(event.subject, event.subject), []).append(event)
    received_at = None if imported else now
    rows = [
        _row(event, customer_id, received_at)
        for customer_id, new in new_events.items()
        for event in new
    ]
    tables.insert_new(connection, tables.events, rows)
    return AppendResult(new_events, duplicates, refused, merges)


def _causes(events: Sequence[Event]) -> dict[tuple[str, str], str]:
    """Return the pairs of keys that the events link, each with its first cause."""
    causes: dict[tuple[str, str], str] = {}
    for event in events:
        for other in event.keys[1:]:
            causes.setdefault((event.subject, other), f"event {event.event_id}")
    return causes


def _classify(
    connection: sa.Connection, events: Sequence[Event]
) -> tuple[list[Event], list[int], dict[int, InvalidEvent]]:
    """Divide events: the new ones, the positions of duplicates, and errors by position."""
    earlier = _stored(connection, [event.event_id for event in events])
    erased = forgotten(connection, {key for event in events for key in event.keys})
    fresh: list[Event] = []
    duplicates: list[int] = []
    refused: dict[int, InvalidEvent] = {}
    for position, event in enumerate(events):
        content = _content(event)
        if erased and (key := next((key for key in event.keys if key in erased), None)):
            refused[position] = InvalidEvent("identifiers", str(forgotten_error(key)))
        elif event.event_id not in earlier:
            earlier[event.event_id] = content
            fresh.append(event)
        elif earlier[event.event_id] == content:
            duplicates.append(position)
        else:
            refused[position] = InvalidEvent(
                "event_id",
                f"event_id is {event.event_id!r}, which is there with another content. "
                "Expected one id for one event. Send a new event_id.",
            )
    return fresh, duplicates, refused


def _stored(connection: sa.Connection, event_ids: Sequence[str]) -> dict[str, Any]:
    found = _STORED.rows(connection, {"event_ids": as_json(event_ids)})
    return {event_id: content for event_id, *content in found}


def _content(event: Event) -> list[Any]:
    """The content of an event, by which a duplicate is told from another event with its id."""
    at_us = tables.micros(event.occurred_at)
    return [event.subject, event.type, at_us, event.channel, event.properties_json]


def _row(event: Event, customer_id: str, received_at: datetime | None) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "occurred_at": event.occurred_at,
        "event_id": event.event_id,
        "subject": event.subject,
        "type": event.type,
        "channel": event.channel,
        "properties": event.properties_json,
        "received_at": received_at,
    }
