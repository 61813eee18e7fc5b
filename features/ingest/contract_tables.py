"""Rules for the rows of the four contract tables, and their conversion to ledger rows.

Each reader takes one row. It raises `InvalidData` if the row breaks a rule; otherwise it adds the
ledger rows to a `ParsedRows`. The same readers check a table and load it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from features.business.catalog import NO_ACTION, Catalog
from features.business.domain import EVENT_COLUMNS, Domain
from features.customers.keys import ID_LENGTH, ID_PATTERN, KeyNormalizer
from features.errors import InvalidData
from features.journeys.events import (
    MAX_NUMBER,
    Event,
    as_utc,
    check_event,
    is_finite_number,
    normalize_properties,
)
from features.ledger import tables

Row = dict[str, Any]


@dataclass(frozen=True)
class Business:
    """The domain and the catalogue that rows are checked against."""

    domain: Domain
    catalog: Catalog

    @cached_property
    def normalizer(self) -> KeyNormalizer:
        """The rules by which identifiers are normalised."""
        return KeyNormalizer(self.domain)


@dataclass
class ParsedRows:
    """Rows for the ledger, pairs of keys to link, and events.

    ``keys`` holds every customer id and identifier that the rows name.
    """

    rows: dict[sa.Table, list[Row]] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


Reader = Callable[[Row, Business, ParsedRows], None]


def _read_customer(row: Row, business: Business, parsed: ParsedRows) -> None:
    domain = business.domain
    customer_id = business.normalizer.customer(_id(row, "customer_id"))
    attributes = {}
    for name, known in domain.attributes.items():
        value = row.get(name)
        if value is None:
            continue
        if known.type == "category" and _text(value) not in known.values:
            raise _bad(name, value, f"one of {', '.join(known.values)}, or empty")
        attributes[name] = str(_number(row, name)) if known.type == "number" else _text(value)
    account = _optional_text(row, domain.account) if domain.account else None
    if account is not None:
        attributes[str(domain.account)] = account  # stored with the attributes; no model reads it
    identifiers = business.normalizer.keys(None, _identifiers(row))
    parsed.rows.setdefault(tables.customers, []).append(
        {
            "customer_id": customer_id,
            "attributes": json.dumps(attributes),
            "account": account,
        }
    )
    parsed.links += [(customer_id, identifier) for identifier in identifiers]
    parsed.keys.update((customer_id, *identifiers))


def _read_event(row: Row, business: Business, parsed: ParsedRows) -> None:
    domain = business.domain
    event_type = domain.events.get(str(_need(row, "type")))
    known = event_type.properties if event_type else {}
    properties = {
        name: _number(row, name) if name in known and known[name].type == "number" else _text(value)
        for name, value in row.items()
        if name not in EVENT_COLUMNS
    }
    named = _id(row, "customer_id") if "customer_id" in row else None
    event = Event(
        _id(row, "event_id"),
        business.normalizer.keys(named, _identifiers(row)),
        str(row["type"]),
        _time(row, "occurred_at"),
        str(_need(row, "channel")),
        normalize_properties(properties, event_type),
    )
    check_event(event, domain)
    parsed.events.append(event)
    parsed.keys.update(event.keys)


def _read_decision(row: Row, business: Business, parsed: ParsedRows) -> None:
    domain, catalog = business.domain, business.catalog
    action_id, channel = str(_need(row, "action_id")), str(_need(row, "channel"))
    if action_id != NO_ACTION and action_id not in catalog.actions:
        raise _bad("action_id", action_id, f"one of {', '.join(catalog.actions)}, {NO_ACTION}")
    if channel not in domain.channels:
        raise _bad("channel", channel, f"one of {', '.join(domain.channels)}")
    probability = _number(row, "probability")
    if probability is not None and not 0 < probability <= 1:
        raise _bad("probability", probability, "a number in (0, 1], or empty if it was not logged")
    decided_at = _time(row, "decided_at")
    action = catalog.actions.get(action_id)
    subject = business.normalizer.customer(_id(row, "customer_id"))
    parsed.keys.add(subject)
    parsed.rows.setdefault(tables.decisions, []).append(
        {
            "decision_id": _id(row, "decision_id"),
            "subject": subject,
            "customer_id": subject,  # until the key is resolved to a customer
            "decided_at": decided_at,
            "activated_at": decided_at,
            "channel": channel,
            "action_id": action_id,
            "probability": probability,
            "arm": None,
            "served": False,
            "window_ends_at": decided_at + timedelta(days=action.attribution_days if action else 0),
        }
    )


def _read_outcome(row: Row, business: Business, parsed: ParsedRows) -> None:
    catalog = business.catalog
    decision_id, outcome = _id(row, "decision_id"), str(_need(row, "outcome"))
    if outcome not in catalog.outcomes:
        raise _bad("outcome", outcome, f"one of {', '.join(catalog.outcomes)}")
    value, unnamed = _number(row, "value"), f"{decision_id}:{outcome}"
    if value is not None and abs(value) > MAX_NUMBER:
        raise _bad("value", value, f"a number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}")
    occurred_at = _time(row, "occurred_at")
    parsed.rows.setdefault(tables.outcomes, []).append(
        {
            "outcome_id": _id(row, "outcome_id") if "outcome_id" in row else unnamed,
            "decision_id": decision_id,
            "action_id": _optional_text(row, "action_id") or "",
            "outcome": outcome,
            "value": value,
            "occurred_at": occurred_at,
            "received_at": occurred_at,
            "shared_id": _id(row, "shared_id") if "shared_id" in row else None,
            "learned": True,  # the warm start learns from imported decisions
        }
    )


def contacts_of(decisions: Sequence[Row], catalog: Catalog) -> list[Row]:
    """Make rows of the contact history from imported decisions."""
    return [
        {name: row[name] for name in ("decision_id", "action_id", "subject", "customer_id")}
        | {"shown_at": row["activated_at"], "channel": row["channel"]}
        | {"action_group": catalog.actions[row["action_id"]].group}
        for row in decisions
        if row["action_id"] != NO_ACTION
    ]


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
    """An id that the API accepts, too."""
    value = _text(_need(row, column))
    if len(value) > ID_LENGTH or not re.fullmatch(ID_PATTERN, value):
        raise _bad(column, value, f"at most {ID_LENGTH} characters and no spaces")
    return value


def _identifiers(row: Row) -> list[str]:
    """Identifiers from a cell: separated by spaces, as in CSV, or a list, as in parquet."""
    cell = row.get("identifiers", "")
    return [_text(one) for one in cell] if isinstance(cell, list) else str(cell).split()


def _text(value: object) -> str:
    """A cell as a text; pandas makes 7.0 of a 7 in a column with gaps."""
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:.0f}" if whole else str(value)


def _optional_text(row: Row, column: str) -> str | None:
    """A cell as an unchanged text; None if it is empty."""
    if column not in row:
        return None
    value = _text(row[column])
    if "\0" in value:
        raise _bad(column, value, "a text without the character NUL, which PostgreSQL cannot keep")
    return value


def _number(row: Row, column: str) -> float | None:
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, str | Decimal):  # CSV has texts only, parquet may have decimals
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
        # To the microsecond, as the ledger keeps it; a Timestamp of pandas may be finer.
        return tables.from_micros(tables.micros(as_utc(value)))
    except ValueError as error:
        raise _bad(column, value, str(error)) from None


def _bad(column: str, value: object, expected: str) -> InvalidData:
    return InvalidData(
        f"{column} is {value!r}.", expected=expected, remedy="Correct the table and load it again."
    )
