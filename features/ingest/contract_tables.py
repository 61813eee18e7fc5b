"""Rules for the rows of the four contract tables, and their conversion to ledger rows.

Each reader takes one row. It raises `InvalidData` if the row breaks a rule; otherwise it adds the
ledger rows to a `ParsedRows`. The same readers check a table and load it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import sqlalchemy as sa

from features.business.catalog import NO_ACTION, Catalog
from features.business.domain import EVENT_COLUMNS, Domain
from features.identity.keys import KeyNormalizer
from features.identity.spelling import spelled_alike
from features.ingest.cells import (
    Row,
    as_text,
    bad_cell,
    read_customer_id,
    read_id,
    read_identifiers,
    read_number,
    read_text,
    read_time,
    required,
)
from features.journeys.events import (
    MAX_NUMBER,
    Event,
    check_event,
    normalize_properties,
)
from features.ledger import tables


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
    customer_id = business.normalizer.customer(read_customer_id(row))
    attributes, known = {}, domain.attributes
    for name, rule in known.items():
        value = row.get(name)
        if value is None:
            continue
        if rule.type == "category" and as_text(value) not in rule.values:
            raise bad_cell(name, value, f"one of {', '.join(rule.values)}, or empty")
        attributes[name] = str(read_number(row, name)) if rule.type == "number" else as_text(value)
    account = read_text(row, domain.account) if domain.account else None
    if account is not None:
        attributes[str(domain.account)] = account  # stored with the attributes; no model reads it
    identifiers = business.normalizer.keys(None, read_identifiers(row))
    told: Row = {
        "customer_id": customer_id,
        "attributes": json.dumps(attributes),
        "account": account,
    }
    if "as_of" in row and "as_of" not in known:  # the time from which the attributes hold
        told["as_of"] = read_time(row, "as_of")
    parsed.rows.setdefault(tables.customers, []).append(told)
    parsed.links += [(customer_id, identifier) for identifier in identifiers]
    parsed.keys.update((customer_id, *identifiers))


def _read_event(row: Row, business: Business, parsed: ParsedRows) -> None:
    domain = business.domain
    event_type = domain.events.get(str(required(row, "type")))
    known = event_type.properties if event_type else {}
    properties = {
        name: read_number(row, name)
        if name in known and known[name].type == "number"
        else as_text(value)
        for name, value in row.items()
        if name not in EVENT_COLUMNS
    }
    named = read_customer_id(row) if "customer_id" in row else None
    event = Event(
        read_id(row, "event_id"),
        business.normalizer.keys(named, read_identifiers(row)),
        str(row["type"]),
        read_time(row, "occurred_at"),
        spelled_alike(str(required(row, "channel"))),
        normalize_properties(properties, event_type),
    )
    check_event(event, domain, business.catalog.purposes)
    parsed.events.append(event)
    parsed.keys.update(event.keys)


def _read_decision(row: Row, business: Business, parsed: ParsedRows) -> None:
    domain, catalog = business.domain, business.catalog
    action_id = read_id(row, "action_id")
    channel = spelled_alike(str(required(row, "channel")))
    if channel not in domain.channels:
        raise bad_cell("channel", channel, f"one of {', '.join(domain.channels)}")
    probability = read_number(row, "probability")
    if probability is not None and not 0 < probability <= 1:
        raise bad_cell(
            "probability", probability, "a number in (0, 1], or empty if it was not logged"
        )
    decided_at = read_time(row, "decided_at")
    subject = business.normalizer.customer(read_customer_id(row))
    parsed.keys.add(subject)
    parsed.rows.setdefault(tables.decisions, []).append(
        {
            "decision_id": read_id(row, "decision_id"),
            "subject": subject,
            "customer_id": subject,  # until the key is resolved to a customer
            "decided_at": decided_at,
            "activated_at": decided_at,
            "channel": channel,
            "action_id": action_id,
            "probability": probability,
            "arm": None,
            "served": False,
            "window_ends_at": decided_at + timedelta(days=_window_days(action_id, catalog)),
        }
    )


def is_retired(action_id: str, catalog: Catalog) -> bool:
    """Return whether the catalogue does not have an action any more."""
    return action_id != NO_ACTION and action_id not in catalog.actions


def _window_days(action_id: str, catalog: Catalog) -> float:
    """The days in which outcomes count: of a retired action, the most that the catalogue has."""
    if action_id == NO_ACTION:
        return 0.0
    action = catalog.actions.get(action_id)
    longest = max(one.attribution_days for one in catalog.actions.values())
    return action.attribution_days if action else longest


def _read_outcome(row: Row, business: Business, parsed: ParsedRows) -> None:
    catalog = business.catalog
    decision_id, outcome = read_id(row, "decision_id"), str(required(row, "outcome"))
    if outcome not in catalog.outcomes:
        raise bad_cell("outcome", outcome, f"one of {', '.join(catalog.outcomes)}")
    value, unnamed = read_number(row, "value"), f"{decision_id}:{outcome}"
    if value is not None and abs(value) > MAX_NUMBER:
        raise bad_cell("value", value, f"a number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}")
    occurred_at = read_time(row, "occurred_at")
    parsed.rows.setdefault(tables.outcomes, []).append(
        {
            "outcome_id": read_id(row, "outcome_id") if "outcome_id" in row else unnamed,
            "decision_id": decision_id,
            "action_id": read_text(row, "action_id") or "",
            "outcome": outcome,
            "value": value,
            "occurred_at": occurred_at,
            "received_at": occurred_at,
            "shared_id": read_id(row, "shared_id") if "shared_id" in row else None,
            "learned": True,  # the warm start learns from imported decisions
        }
    )


def contacts_of(decisions: Sequence[Row], catalog: Catalog) -> list[Row]:
    """Make rows of the contact history from imported decisions.

    A retired action has the group "", so it counts in the caps of all actions and of its channel.
    """
    groups = catalog.groups_of
    return [
        {name: row[name] for name in ("decision_id", "action_id", "subject", "customer_id")}
        | {"shown_at": row["activated_at"], "channel": row["channel"]}
        | {"action_group": groups.get(row["action_id"], "")}
        for row in decisions
        if row["action_id"] != NO_ACTION
    ]


READERS: dict[str, Reader] = {
    "customers": _read_customer,
    "events": _read_event,
    "decisions": _read_decision,
    "outcomes": _read_outcome,
}
