"""Shared by the tests of live events: a small business, a store in memory, events, folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import yaml
from pydantic_core import from_json

from features.business.domain import Domain
from features.customers.profiles import ACCOUNT, members_of, update_account_members
from features.identity.links import resolve
from features.ingest.live_events import Ingest
from features.journeys.fold import Fold, State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.checkpoints import from_bytes
from features.states.journey_states import JourneyStates
from features.store.feast_store import FeatureStore

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SHOP = Domain.model_validate(
    yaml.safe_load(
        """
        name: shop
        currency: eur
        channels: [web, till]
        account: company
        identifiers:
          email: {normalize: lower, kind: personal}
          phone: {normalize: digits, kind: personal}
          card: {kind: strong}
          cookie: {kind: anonymous}
        attributes:
          plan: {type: category, values: [basic, plus]}
          age_years: {type: number}
        journeys:
          support:
            problem: true
            lapse_days: 30
            case: ticket
            ends_when: score >= 9
            expected:
              version: 1
              promises: {not_again: {never: complaint, after: complaint, within_days: 20}}
          purchase:
            expected:
              - version: 1
                promises: {soon_bought: {after: view, comes: order, within_days: 8}}
              - version: 2
                since: 2026-11-01
                promises: {soon_bought: {after: view, comes: order, within_days: 2}}
        events:
          view:
            {description: Looked, journey: purchase, stage: interest, touchpoint: internal,
             signal: passive}
          order:
            description: Bought
            journey: purchase
            stage: action
            step: ends
            touchpoint: internal
            signal: passive
            properties:
              amount_eur: {type: number, min: 0, measures: spend}
              size: {type: category, values: [small, big]}
          complaint:
            description: Complained
            journey: support
            stage: use
            step: starts
            touchpoint: internal
            signal: direct
            properties:
              score: {type: number, min: 0, max: 10, measures: nps}
              words: {type: text}
              ticket: {type: text}
        half_lives_days: [7, 28]
        """
    )
)
FOLD = Fold(SHOP)


def same_states(one: State | None, other: State | None) -> bool:
    """Compare two states to the last bit, with the memories in them."""
    return repr(one) == repr(other)  # which takes nan for nan


class InMemoryOnlineStore:
    """An online store in memory; `broken` makes it fail as a real one would."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.at: dict[str, datetime] = {}
        self.profiles: dict[str, Mapping[str, str]] = {}
        self.broken = False
        self.asked: list[str] = []

    def write_packed(
        self, customer_ids: Sequence[str], packed: Sequence[list[float]], at: Sequence[datetime]
    ) -> None:
        if self.broken:
            raise OSError("the disk is full")
        states = [FOLD.unpack(one) or [] for one in packed]
        self.states |= dict(zip(customer_ids, states, strict=True))
        self.at |= dict(zip(customer_ids, at, strict=True))

    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None:
        self.profiles |= profiles

    def state(self, key: str) -> State | None:
        self.asked.append(key)
        return self.states.get(key)


PURPOSES = ("marketing", "research")  # of the catalogue


class FeastOnlineStore:
    """The part of a real feature store that live writes use."""

    def __init__(self, store: FeatureStore) -> None:
        self.write_packed, self.write_profiles = store.write_packed, store.write_profiles
        self._store = store

    def state(self, key: str) -> State | None:
        known = self._store.online(key)
        return known.state if known else None


def live(
    ledger: Ledger, shown: InMemoryOnlineStore | FeastOnlineStore, domain: Domain = SHOP
) -> Ingest:
    """Make the ingestion of one worker."""
    states = JourneyStates(Fold(domain), shown.state)
    return Ingest(ledger, shown, domain, states, lambda: PURPOSES)


def event(
    number: object, *keys: str, at: datetime = NOW - DAY, kind: str = "view", **more: Any
) -> dict[str, Any]:
    """An event as a channel sends it; keyword arguments it does not know are its properties."""
    sent = {"event_id": f"e{number}", "type": kind, "occurred_at": at.isoformat()}
    sent |= {"channel": more.pop("channel", "web"), "properties": more}
    named = [key for key in keys if ":" not in key]
    sent |= {"customer_id": named[0]} if named else {}
    return sent | {"identifiers": [key for key in keys if ":" in key]}


def events_in(connection: sa.Connection, key: str) -> list[Any]:
    """Events of a customer or an account, in the order of folding; read without our own help."""
    who = members_of(connection, key) if key.startswith(ACCOUNT) else [key]
    query = sa.select(tables.events).where(tables.events.c.customer_id.in_(who))
    return sorted(connection.execute(query), key=lambda row: (row.occurred_at, row.event_id))


def folded(
    ledger: Ledger, key: str, until: datetime | None = None, fold: Fold = FOLD
) -> list[float]:
    """The state of a customer or an account, folded from the events that were known by a time."""
    fold, state = fold.of(key), fold.empty()
    for row in ledger.read(lambda connection: events_in(connection, key)):
        if until is None or max(row.occurred_at, row.received_at or row.occurred_at) <= until:
            at_s = tables.micros(row.occurred_at) / 1e6
            state = fold.of(key).advance(
                state, row.type, row.channel, at_s, from_json(row.properties)
            )
    return state


def rows(ledger: Ledger, table: sa.Table) -> list[Any]:
    """All of a table."""
    return ledger.read(lambda connection: list(connection.execute(sa.select(table))))


def kept(ledger: Ledger) -> dict[str, Any]:
    """The rows of `journey_states` by customer."""
    return {row.customer_id: row for row in rows(ledger, tables.journey_states)}


def kept_state(ledger: Ledger, key: str) -> State:
    """The state that the ledger keeps of a customer."""
    return from_bytes(FOLD, kept(ledger)[key].state)


def customer(ledger: Ledger, *keys: str) -> str:
    """The customer that some keys belong to."""
    return ledger.read(lambda connection: resolve(connection, keys))


def decision(number: object, key: str, customer_id: str, **changed: Any) -> dict[str, Any]:
    """A row of decisions."""
    row = {"decision_id": f"d{number}", "subject": key, "customer_id": customer_id}
    row |= {"decided_at": NOW, "channel": "web", "action_id": "call", "served": True}
    return row | {"window_ends_at": NOW + DAY} | changed


def person(key: str, company: str | None = None, **attributes: str) -> dict[str, Any]:
    """A row of customers; the account is among the attributes too, as the tables are read."""
    told = attributes | ({"company": company} if company else {})
    return {"customer_id": key, "attributes": json.dumps(told), "account": company}


def add(ledger: Ledger, table: sa.Table, *new: Mapping[str, Any]) -> None:
    """Write rows straight into the ledger."""

    def write(connection: sa.Connection) -> None:
        tables.insert_new(connection, table, new)
        if table is tables.customers:
            update_account_members(connection, [str(row["customer_id"]) for row in new])

    ledger.write_now(write)


def stored(event_id: str, customer: str, at: datetime, **changed: Any) -> dict[str, Any]:
    """A row of events: somebody looked."""
    row = {"event_id": event_id, "customer_id": customer, "subject": customer, "occurred_at": at}
    return row | {"type": "view", "channel": "web", "properties": "{}"} | changed


def odd(customer: str, at: datetime) -> dict[str, Any]:
    """A row of events that cannot be folded."""
    return stored("odd", customer, at, type="order", properties='{"amount_eur": "many"}')


def past(ledger: Ledger, customer: str, count: int) -> None:
    """Write events of a customer straight into the ledger, a minute apart; nobody folds them."""
    times = (NOW - DAY - n * MINUTE for n in range(count))
    add(
        ledger,
        tables.events,
        *(stored(f"{customer}{n}", customer, at) for n, at in enumerate(times)),
    )
