"""What happens to an event: checked, put down to a customer, kept, folded, made visible.

Two short transactions: the first appends and folds, the second writes the states that wait to
Feast's online store *while it holds the ledger's write lock*, so that two workers cannot
overwrite newer with older; only then is the caller told. A crash between the two leaves states
that wait, and whoever writes next, or starts next, makes them visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.identity import link, resolve_each, unlink
from features.customers.keys import KeyNormalizer
from features.customers.profiles import accounts_of, all_accounts_of
from features.customers.tombstones import forgotten, forgotten_error, refuse_forgotten
from features.errors import InvalidEvent, NbaError, NotVisible
from features.journeys.events import Event, parse_event
from features.journeys.journey_states import (
    STATES_PER_WRITE,
    JourneyStates,
    OnlineStore,
    delete_states,
    publish_states,
    request_refold,
)
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import select_in_batches


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """An event that was not taken: which one of the call, which field, and why."""

    index: int
    field: str
    error: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of the events of one call."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


class AppendResult(NamedTuple):
    """What became of events that broke no rule."""

    news: dict[str, list[Event]]  # by customer
    duplicates: int
    refused: dict[int, InvalidEvent]  # by position
    restated: set[str]  # customers who gained a past
    gone: set[str]  # customers who became part of another


class Ingest:
    """Takes events in, and links, while the service runs.

    Parameters
    ----------
    ledger, online
        Where events are kept, and where their states are shown.
    """

    def __init__(
        self, ledger: Ledger, online: OnlineStore, domain: Domain, states: JourneyStates
    ) -> None:
        self._ledger = ledger
        self._online = online
        self._domain = domain
        self._spelling = KeyNormalizer(domain)
        self._states = states
        self._shown_in: sa.RootTransaction | None = None  # all that waits was shown in it

    async def take(self, sent: Sequence[Any], now: datetime) -> IngestResult:
        """Take events in; when this returns, the next decision on any worker sees them.

        Raises
        ------
        NotVisible
            If the feature store is down. The events are kept; the same call again is safe.
        """
        good, rejected = self._checked(sent, now)
        appended = None
        if good:
            events = list(good.values())
            appended = await self._ledger.write(lambda c: self._append(c, events, now))
            places = list(good)
            for position, error in appended.refused.items():
                rejected.append(Rejection(places[position], error.field, str(error)))
        await self.show(now)
        return IngestResult(
            sum(map(len, appended.news.values())) if appended else 0,
            appended.duplicates if appended else 0,
            sorted(rejected),
        )

    async def link(self, keys: tuple[str, str], cause: str, now: datetime) -> bool:
        """Say that two keys are one person; whether that merged two customers.

        Raises
        ------
        CustomerForgotten
            If one of them was.
        """

        def join(connection: sa.Connection, pair: tuple[str, str]) -> bool:
            refuse_forgotten(connection, pair)
            merged = link(connection, self._spelling, pair, cause, now, again=True)
            if merged:
                restated = {merged.survivor} if merged.loser_had_data else set()
                self._restate(connection, restated, {merged.loser}, now)
            return merged is not None

        return await self._relate(keys, join, now)

    async def unlink(self, keys: tuple[str, str], cause: str, now: datetime) -> bool:
        """Undo a link; whether that parted a customer in two.

        Raises
        ------
        IdentityUnknown
            If no such link holds.
        """

        def part(connection: sa.Connection, pair: tuple[str, str]) -> bool:
            before = set(resolve_each(connection, pair).values())
            customers = unlink(connection, pair, cause, now)
            if customers:  # else they hang together otherwise, and nothing changes for them
                self._restate(connection, {*customers}, before - {*customers}, now)
            return bool(customers)

        return await self._relate(keys, part, now)

    async def _relate(
        self,
        keys: tuple[str, str],
        change: Callable[[sa.Connection, tuple[str, str]], bool],
        now: datetime,
    ) -> bool:
        """Change how two keys hang together, and show what came of it; what ``change`` says."""
        left, right = self._spelling.each(keys)
        changed = await self._ledger.write(lambda connection: change(connection, (left, right)))
        await self.show(now)
        return changed

    async def show(self, now: datetime) -> None:
        """Write every state that waits to the online store."""
        try:
            while await self._ledger.write(partial(self._publish, now=now)) == STATES_PER_WRITE:
                pass
        except NbaError:
            raise
        except Exception as error:
            raise NotVisible(
                f"The feature store cannot be written ({type(error).__name__}).",
                expected="a store that shows events to the next decision",
                remedy="The events are kept. Send them again when /readyz names no problem.",
            ) from error

    def _publish(self, connection: sa.Connection, now: datetime) -> int:
        transaction = connection.get_transaction()
        if transaction is self._shown_in:  # a neighbour of the same group has shown everything
            return 0
        count = publish_states(connection, self._online, self._states, now)
        self._shown_in = transaction if count < STATES_PER_WRITE else None
        return count

    def _checked(
        self, sent: Sequence[Any], now: datetime
    ) -> tuple[dict[int, Event], list[Rejection]]:
        good, rejected = {}, []
        for index, one in enumerate(sent):
            try:
                good[index] = parse_event(one, self._domain, self._spelling, now)
            except InvalidEvent as error:
                rejected.append(Rejection(index, error.field, str(error)))
        return good, rejected

    def _append(
        self, connection: sa.Connection, events: list[Event], now: datetime
    ) -> AppendResult:
        done = append(connection, self._spelling, events, now)
        self._restate(connection, done.restated, done.gone, now)
        news = {key: new for key, new in done.news.items() if key not in done.restated}
        for customer_id, account in self._accounts(connection, news).items():
            news.setdefault(account, []).extend(news[customer_id])
        if news:
            self._states.advance(connection, news, now)
        return done

    def _restate(
        self, connection: sa.Connection, customers: set[str], gone: set[str], now: datetime
    ) -> None:
        if gone:
            delete_states(connection, gone)
        if customers:
            accounts = all_accounts_of(connection, customers) if self._domain.account else set()
            request_refold(connection, [*customers, *sorted(accounts)], now)

    def _accounts(self, connection: sa.Connection, customers: Iterable[str]) -> dict[str, str]:
        return accounts_of(connection, list(customers)) if self._domain.account else {}


def append(
    connection: sa.Connection, normalizer: KeyNormalizer, events: Sequence[Event], now: datetime
) -> AppendResult:
    """Keep events that are new, each under its customer, and the links that they tell of."""
    fresh, duplicates, refused = _sorted_out(connection, events)
    restated: set[str] = set()
    gone: set[str] = set()
    for event in fresh:
        for other in event.keys[1:]:
            pair = (event.subject, other)
            merged = link(connection, normalizer, pair, f"event {event.event_id}", now)
            if merged:
                # Who was to be folded anew, and was merged away, is part of the survivor.
                anew = merged.loser_had_data or merged.loser in restated
                restated = (restated | ({merged.survivor} if anew else set())) - {merged.loser}
                gone.add(merged.loser)
    behind = resolve_each(connection, {event.subject for event in fresh}) if fresh else {}
    news: dict[str, list[Event]] = {}
    for event in fresh:
        news.setdefault(behind.get(event.subject, event.subject), []).append(event)
    rows = [_row(event, customer_id) for customer_id, new in news.items() for event in new]
    tables.insert_new(connection, tables.events, rows)
    return AppendResult(news, duplicates, refused, restated, gone)


def _sorted_out(
    connection: sa.Connection, events: Sequence[Event]
) -> tuple[list[Event], int, dict[int, InvalidEvent]]:
    """The events that are new, how many are not, and those that cannot be taken."""
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
    """What an event says; two of one id must say the same."""
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
