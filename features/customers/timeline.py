"""One customer's story: events, decisions and outcomes in one order, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.errors import InvalidRequest
from features.ledger import tables


@dataclass(frozen=True, slots=True, order=True)
class TimelineCursor:
    """Where in a timeline an entry stands; entries of one instant are told apart by kind and id."""

    at_us: int
    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.at_us}:{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> TimelineCursor:
        """What `str` made.

        Raises
        ------
        InvalidRequest
            If it is something else.
        """
        at_us, _, rest = text.partition(":")
        kind, _, name = rest.partition(":")
        if not at_us.lstrip("-").isdigit() or len(at_us) > 18 or not kind or not name:
            raise InvalidRequest(
                f"before is {text!r}.",
                expected="what an earlier answer gave as 'next'",
                remedy="Send it exactly as it was answered, or leave it out for the newest.",
            )
        return cls(int(at_us), kind, name)


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """Something that happened, that we chose, or that followed."""

    cursor: TimelineCursor
    content: dict[str, Any]


# Of an outcome.
TOLD = ("decision_id", "action_id", "outcome", "value", "shared_id", "retracts", "revises")


def timeline(
    connection: sa.Connection,
    customer_id: str,
    domain: Domain,
    limit: int,
    before: TimelineCursor | None,
) -> tuple[list[TimelineItem], TimelineCursor | None]:
    """A page of the story, the newest first, and where the next page begins (None: nowhere)."""
    entries = [
        *_events(connection, customer_id, domain, limit, before),
        *_decisions(connection, customer_id, limit, before),
        *_outcomes(connection, customer_id, limit, before),
    ]
    found = [entry for entry in entries if before is None or entry.cursor < before]
    found.sort(key=lambda entry: entry.cursor, reverse=True)
    more = len(found) > limit
    return found[:limit], found[limit - 1].cursor if more else None


def _events(
    connection: sa.Connection,
    customer_id: str,
    domain: Domain,
    limit: int,
    before: TimelineCursor | None,
) -> Iterable[TimelineItem]:
    columns = tables.events.c
    query = sa.select(tables.events).where(columns.customer_id == customer_id)
    for row in _newest(connection, query, columns.occurred_at, columns.event_id, limit, before):
        cursor = TimelineCursor(tables.micros(row.occurred_at), "event", row.event_id)
        yield TimelineItem(cursor, _told(row, domain))


def _told(row: Any, domain: Domain) -> dict[str, Any]:
    told = {
        "type": row.type,
        "channel": row.channel,
        "key": row.subject,
        "properties": from_json(row.properties),
    }
    if known := domain.events.get(row.type):
        told |= {"journey": known.journey, "stage": known.stage}
        told |= {"touchpoint": known.touchpoint, "signal": known.signal}
    return told


def _decisions(
    connection: sa.Connection, customer_id: str, limit: int, before: TimelineCursor | None
) -> Iterable[TimelineItem]:
    columns = tables.decisions.c
    query = sa.select(tables.decisions).where(columns.customer_id == customer_id)
    for row in _newest(connection, query, columns.decided_at, columns.decision_id, limit, before):
        cursor = TimelineCursor(tables.micros(row.decided_at), "decision", row.decision_id)
        yield TimelineItem(
            cursor, {"channel": row.channel, "key": row.subject, "actions": _actions(row)}
        )


def _outcomes(
    connection: sa.Connection, customer_id: str, limit: int, before: TimelineCursor | None
) -> Iterable[TimelineItem]:
    columns = tables.outcomes.c
    mine = tables.decisions.c.decision_id == columns.decision_id
    query = sa.select(tables.outcomes).join(tables.decisions, mine)
    query = query.where(tables.decisions.c.customer_id == customer_id)
    names = ("decision_id", "action_id", "outcome", "value", "retracts")
    for row in _newest(connection, query, columns.occurred_at, columns.outcome_id, limit, before):
        cursor = TimelineCursor(tables.micros(row.occurred_at), "outcome", row.outcome_id)
        yield TimelineItem(cursor, {name: getattr(row, name) for name in names})


def _newest(
    connection: sa.Connection,
    query: Any,
    at: sa.Column[datetime],
    name: sa.Column[str],
    limit: int,
    before: TimelineCursor | None,
) -> Sequence[Any]:
    """Rows not after a place, newest first: one more than a page, beside those at its instant."""
    query = query.order_by(at.desc(), name.desc())
    if before is None:
        return list(connection.execute(query.limit(limit + 1)))
    moment = tables.from_micros(before.at_us)
    same = list(connection.execute(query.where(at == moment)))
    older = connection.execute(query.where(at < moment).limit(limit + 1))
    return [*same, *older]


def _actions(row: Any) -> list[str]:
    """All actions of a decision; an imported one has no answer and only one."""
    if not row.answer:
        return [row.action_id]
    return [action["action_id"] for action in from_json(row.answer)["actions"]]
