"""The timeline of a customer: events, decisions and outcomes in one order, read in pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.decided_actions import decided_actions
from features.business.domain import Domain
from features.errors import InvalidRequest, quoted
from features.identity.holders import base_key
from features.identity.relocation import belongs_to, is_any_relocating
from features.ledger import tables


@dataclass(frozen=True, slots=True, order=True)
class TimelineCursor:
    """The position of an item in a timeline: its time, kind and id, compared in this order."""

    at_us: int
    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.at_us}:{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> TimelineCursor:
        """Read a cursor that `str` wrote.

        Raises
        ------
        InvalidRequest
            If the text is not a cursor.
        """
        at, _, rest = text.partition(":")
        kind, _, name = rest.partition(":")
        at_us = tables.parse_micros(at)
        if at_us is None or not kind or not name:
            raise InvalidRequest(
                f"before is {quoted(text)}.",
                expected="what an earlier answer gave as 'next'",
                remedy="Send it exactly as it was answered, or leave it out for the newest.",
            )
        return cls(at_us, kind, name)


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """An event, a decision or an outcome of a customer."""

    cursor: TimelineCursor
    content: dict[str, Any]


def timeline(
    connection: sa.Connection,
    customer_id: str,
    domain: Domain,
    limit: int,
    before: TimelineCursor | None,
) -> tuple[list[TimelineItem], TimelineCursor | None]:
    """Read a page of the timeline, the newest item first.

    Returns
    -------
    items, next
        ``next`` is the cursor at which the next page begins; None if this is the last page.
    """
    items = [
        *_events(connection, customer_id, domain, limit, before),
        *_decisions(connection, customer_id, limit, before),
        *_outcomes(connection, customer_id, limit, before),
    ]
    found = [item for item in items if before is None or item.cursor < before]
    found.sort(key=lambda item: item.cursor, reverse=True)
    more = len(found) > limit
    return found[:limit], found[limit - 1].cursor if more else None


def has_events(connection: sa.Connection, customer_id: str) -> bool:
    """Return whether a customer has at least one event."""
    events = sa.select(sa.literal(1)).where(_of(connection, tables.events, customer_id))
    return connection.execute(events.limit(1)).first() is not None


def _events(
    connection: sa.Connection,
    customer_id: str,
    domain: Domain,
    limit: int,
    before: TimelineCursor | None,
) -> Iterable[TimelineItem]:
    columns = tables.events.c
    query = sa.select(tables.events).where(_of(connection, tables.events, customer_id))
    for row in _newest(connection, query, columns.occurred_at, columns.event_id, limit, before):
        cursor = TimelineCursor(tables.micros(row.occurred_at), "event", row.event_id)
        yield TimelineItem(cursor, _event_content(row, domain))


def _event_content(row: Any, domain: Domain) -> dict[str, Any]:
    content = {
        "type": row.type,
        "channel": row.channel,
        "key": base_key(row.subject),
        "properties": from_json(row.properties),
    }
    if known := domain.events.get(row.type):
        content |= {"journey": known.journey, "stage": known.stage}
        content |= {"touchpoint": known.touchpoint, "signal": known.signal}
    return content


def _decisions(
    connection: sa.Connection, customer_id: str, limit: int, before: TimelineCursor | None
) -> Iterable[TimelineItem]:
    columns = tables.decisions.c
    query = sa.select(tables.decisions).where(_of(connection, tables.decisions, customer_id))
    for row in _newest(connection, query, columns.decided_at, columns.decision_id, limit, before):
        cursor = TimelineCursor(tables.micros(row.decided_at), "decision", row.decision_id)
        content = {
            "channel": row.channel,
            "key": base_key(row.subject),
            "actions": decided_actions(row),
        }
        yield TimelineItem(cursor, content)


def _outcomes(
    connection: sa.Connection, customer_id: str, limit: int, before: TimelineCursor | None
) -> Iterable[TimelineItem]:
    columns = tables.outcomes.c
    mine = tables.decisions.c.decision_id == columns.decision_id
    query = sa.select(tables.outcomes).join(tables.decisions, mine)
    query = query.where(_of(connection, tables.decisions, customer_id))
    names = ("decision_id", "action_id", "outcome", "value", "retracts")
    for row in _newest(connection, query, columns.occurred_at, columns.outcome_id, limit, before):
        cursor = TimelineCursor(tables.micros(row.occurred_at), "outcome", row.outcome_id)
        yield TimelineItem(cursor, {name: getattr(row, name) for name in names})


def _of(connection: sa.Connection, table: sa.Table, customer_id: str) -> sa.ColumnElement[bool]:
    """Make the condition that an event or a decision is of a customer."""
    if is_any_relocating(connection):  # rows are stored under other customers than their own
        return belongs_to(table, sa.select(sa.literal(customer_id)))
    return table.c.customer_id == customer_id


def _newest(
    connection: sa.Connection,
    query: Any,
    at: sa.Column[datetime],
    name: sa.Column[str],
    limit: int,
    before: TimelineCursor | None,
) -> Sequence[Any]:
    """Read the newest rows up to a cursor: one more than a page, and all rows at its time."""
    query = query.order_by(at.desc(), name.desc())
    if before is None:
        return list(connection.execute(query.limit(limit + 1)))
    moment = tables.from_micros(before.at_us)
    same = list(connection.execute(query.where(at == moment)))
    older = connection.execute(query.where(at < moment).limit(limit + 1))
    return [*same, *older]
