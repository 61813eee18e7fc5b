"""Appends events to the ledger: tells new ones from duplicates, and links their keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.customers.identity import link, resolve_each
from features.customers.keys import KeyNormalizer
from features.customers.tombstones import forgotten, forgotten_error
from features.errors import InvalidEvent
from features.journeys.events import Event
from features.ledger import tables
from features.ledger.statements import select_in_batches


class AppendResult(NamedTuple):
    """The result of appending events that broke no rule."""

    new_events: dict[str, list[Event]]  # by customer
    duplicates: int
    refused: dict[int, InvalidEvent]  # by position
    restated: set[str]  # customers who gained events of another customer by a merge
    merged_away: set[str]  # customers who became part of another


def append_events(
    connection: sa.Connection, normalizer: KeyNormalizer, events: Sequence[Event], now: datetime
) -> AppendResult:
    """Append new events, each to its customer, and link the keys that an event names together."""
    fresh, duplicates, refused = _classify(connection, events)
    restated: set[str] = set()
    merged_away: set[str] = set()
    for event in fresh:
        for other in event.keys[1:]:
            pair = (event.subject, other)
            merged = link(connection, normalizer, pair, f"event {event.event_id}", now)
            if merged:
                # A customer to refold who is merged away becomes part of the survivor.
                refold = merged.loser_had_data or merged.loser in restated
                restated = (restated | ({merged.survivor} if refold else set())) - {merged.loser}
                merged_away.add(merged.loser)
    customer_of = resolve_each(connection, {event.subject for event in fresh}) if fresh else {}
    new_events: dict[str, list[Event]] = {}
    for event in fresh:
        new_events.setdefault(customer_of.get(event.subject, event.subject), []).append(event)
    rows = [_row(event, customer_id) for customer_id, new in new_events.items() for event in new]
    tables.insert_new(connection, tables.events, rows)
    return AppendResult(new_events, duplicates, refused, restated, merged_away)


def _classify(
    connection: sa.Connection, events: Sequence[Event]
) -> tuple[list[Event], int, dict[int, InvalidEvent]]:
    """Divide events: the new ones, the number of duplicates, and errors by position."""
    earlier = _stored(connection, [event.event_id for event in events])
    erased = forgotten(connection, {key for event in events for key in event.keys})
    fresh: list[Event] = []
    duplicates, refused = 0, {}
    for position, event in enumerate(events):
        content = _content(event)
        if erased and (key := next((key for key in event.keys if key in erased), None)):
            refused[position] = InvalidEvent("identifiers", str(forgotten_error(key)))
        elif event.event_id not in earlier:
            earlier[event.event_id] = content
            fresh.append(event)
        elif earlier[event.event_id] == content:
            duplicates += 1
        else:
            refused[position] = InvalidEvent(
                "event_id",
                f"event_id is {event.event_id!r}, which is there with another content. "
                "Expected one id for one event. Send a new event_id.",
            )
    return fresh, duplicates, refused


def _stored(connection: sa.Connection, event_ids: Sequence[str]) -> dict[str, Any]:
    columns = tables.events.c
    content = (columns.subject, columns.type, columns.occurred_at, columns.channel)
    query = sa.select(columns.event_id, *content, columns.properties)
    found = select_in_batches(connection, query, columns.event_id, event_ids)
    return {row[0]: tuple(row[1:]) for row in found}


def _content(event: Event) -> Any:
    """The content of an event, by which a duplicate is told from another event with its id."""
    return event.subject, event.type, event.occurred_at, event.channel, event.properties_json


def _row(event: Event, customer_id: str) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "occurred_at": event.occurred_at,
        "event_id": event.event_id,
        "subject": event.subject,
        "type": event.type,
        "channel": event.channel,
        "properties": event.properties_json,
    }
