"""The four contract tables: what a row must hold, and what it becomes in the ledger.

Each reader takes one row, refuses it by raising `InvalidData`, or says which ledger rows it
makes. The same rules check a table and load it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from features import ledger as tables
from features.catalog import NO_ACTION, Catalog
from features.domain import EVENT_COLUMNS, Domain
from features.errors import InvalidData
from features.events import Event, as_utc, check_event, is_finite_number
from features.identity import ID_LENGTH, ID_PATTERN, IDENTIFIER

Row = dict[str, Any]
LedgerRow = tuple[sa.Table, Row]
Reader = Callable[[Row, Domain, Catalog], Iterable[LedgerRow]]


def _read_customer(row: Row, domain: Domain, _: Catalog) -> Iterable[LedgerRow]:
    customer_id = _id(row, "customer_id")
    attributes = {}
    for name, known in domain.attributes.items():
        value = row.get(name)
        if value is None:
            continue
        if known.type == "category" and str(value) not in known.values:
            raise _bad(name, value, f"one of {', '.join(known.values)}, or empty")
        attributes[name] = str(_number(row, name) if known.type == "number" else value)
    yield tables.customers, {"customer_id": customer_id, "attributes": json.dumps(attributes)}
    for identifier in str(row.get("identifiers", "")).split():
        if not IDENTIFIER.fullmatch(identifier):
            raise _bad("identifiers", identifier, "namespace:value, such as card:123")
        yield tables.identifiers, {"identifier": identifier, "customer_id": customer_id}


def _read_event(row: Row, domain: Domain, _: Catalog) -> Iterable[LedgerRow]:
    event_type = str(_need(row, "type"))
    known = domain.events[event_type].properties if event_type in domain.events else {}
    properties = {
        name: _number(row, name) if name in known and known[name].type == "number" else str(value)
        for name, value in row.items()
        if name not in EVENT_COLUMNS
    }
    event = Event(
        _id(row, "event_id"),
        _id(row, "customer_id"),
        event_type,
        _time(row, "occurred_at"),
        str(_need(row, "channel")),
        properties,
    )
    check_event(event, domain)
    yield (
        tables.events,
        {
            "event_id": event.event_id,
            "customer_id": event.customer_id,
            "type": event.type,
            "occurred_at": event.occurred_at,
            "channel": event.channel,
            "properties": json.dumps(properties),
        },
    )


def _read_decision(row: Row, domain: Domain, catalog: Catalog) -> Iterable[LedgerRow]:
    action_id, channel = str(_need(row, "action_id")), str(_need(row, "channel"))
    if action_id != NO_ACTION and action_id not in catalog.actions:
        raise _bad("action_id", action_id, f"one of {', '.join(catalog.actions)}, {NO_ACTION}")
    if channel not in domain.channels:
        raise _bad("channel", channel, f"one of {', '.join(domain.channels)}")
    probability = _number(row, "probability")
    if probability is not None and not 0 < probability <= 1:
        raise _bad("probability", probability, "a number in (0, 1], or empty if nobody logged it")
    decided_at = _time(row, "decided_at")
    action = catalog.actions.get(action_id)
    yield (
        tables.decisions,
        {
            "decision_id": _id(row, "decision_id"),
            "customer_id": _id(row, "customer_id"),
            "decided_at": decided_at,
            "channel": channel,
            "action_id": action_id,
            "probability": probability,
            "served": False,
            "window_ends_at": decided_at + timedelta(days=action.attribution_days if action else 0),
        },
    )


def _read_outcome(row: Row, _: Domain, catalog: Catalog) -> Iterable[LedgerRow]:
    decision_id, outcome = _id(row, "decision_id"), str(_need(row, "outcome"))
    if outcome not in catalog.outcomes:
        raise _bad("outcome", outcome, f"one of {', '.join(catalog.outcomes)}")
    value = _number(row, "value")
    occurred_at = _time(row, "occurred_at")
    yield (
        tables.outcomes,
        {
            "outcome_id": str(row.get("outcome_id", f"{decision_id}:{outcome}")),
            "decision_id": decision_id,
            "action_id": str(row.get("action_id", "")),
            "outcome": outcome,
            "value": value,
            "occurred_at": occurred_at,
            "received_at": occurred_at,
            "learned": True,  # by the warm start, which reads imported decisions as a whole
        },
    )


READERS: dict[str, Reader] = {
    "customers": _read_customer,
    "events": _read_event,
    "decisions": _read_decision,
    "outcomes": _read_outcome,
}


def _need(row: Row, column: str) -> Any:
    if column not in row:
        raise _bad(column, None, "a value in every row")
    return row[column]


def _id(row: Row, column: str) -> str:
    """An id that can also be asked for through the API."""
    value = str(_need(row, column))
    if len(value) > ID_LENGTH or not re.match(ID_PATTERN, value):
        raise _bad(column, value, f"at most {ID_LENGTH} characters and no spaces")
    return value


def _number(row: Row, column: str) -> float | None:
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, str | Decimal):  # CSV has texts only, Parquet may have decimals
        try:
            value = float(value)
        except ValueError:
            raise _bad(column, value, "a finite number, or empty") from None
    if not is_finite_number(value):
        raise _bad(column, value, "a finite number, or empty")
    return float(value)


def _time(row: Row, column: str) -> datetime:
    value = _need(row, column)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _bad(
                column, value, "a time with a time zone, such as 2026-11-22T10:00:00Z"
            ) from None
    if not isinstance(value, datetime):
        raise _bad(column, value, "a time with a time zone, such as 2026-11-22T10:00:00Z")
    try:
        return as_utc(value)
    except ValueError as error:
        raise _bad(column, value, str(error)) from None


def _bad(column: str, value: object, expected: str) -> InvalidData:
    return InvalidData(
        f"{column} is {value!r}.", expected=expected, remedy="Correct the table and load it again."
    )
