"""Ingests live events: checks them, resolves customers, appends, folds and publishes states.

There are two short transactions. The first appends and folds. The second writes the waiting states
to Feast's online store *while it holds the ledger's write lock*, so that two workers cannot
overwrite newer states with older ones. Only then is the caller answered. A crash between the two
leaves waiting states; the next write, or the next start, publishes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.identity import link, resolve_each, unlink
from features.customers.keys import KeyNormalizer
from features.customers.profiles import accounts_of, all_accounts_of, update_account_members
from features.customers.tombstones import refuse_forgotten
from features.errors import InvalidEvent, NbaError, NotVisible
from features.ingest.append_events import AppendResult, append_events
from features.journeys.events import Event, parse_event
from features.journeys.journey_states import (
    STATES_PER_WRITE,
    JourneyStates,
    OnlineStore,
    delete_states,
    publish_states,
    request_refold,
)
from features.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """An event that was rejected: its index in the call, the wrong field, and the reason."""

    index: int
    field: str
    error: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The result of ingesting the events of one call."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


class Ingest:
    """Ingests events and links of identifiers while the service runs.

    Parameters
    ----------
    ledger
        Events are appended to it.
    online
        States are published to it.
    """

    def __init__(
        self, ledger: Ledger, online: OnlineStore, domain: Domain, states: JourneyStates
    ) -> None:
        self._ledger = ledger
        self._online = online
        self._domain = domain
        self._normalizer = KeyNormalizer(domain)
        self._states = states
        # The transaction in which all waiting states were published.
        self._published_in: sa.RootTransaction | None = None

    async def ingest(self, sent: Sequence[Any], now: datetime) -> IngestResult:
        """Ingest events; when this returns, the next decision on any worker sees them.

        Raises
        ------
        NotVisible
            If the feature store is down. The events are in the ledger; the same call may be
            repeated.
        """
        good, rejected = self._checked(sent, now)
        appended = None
        if good:
            events = list(good.values())
            appended = await self._ledger.write(lambda c: self._append(c, events, now))
            places = list(good)
            for position, error in appended.refused.items():
                rejected.append(Rejection(places[position], error.field, str(error)))
        await self.publish(now)
        return IngestResult(
            sum(map(len, appended.new_events.values())) if appended else 0,
            appended.duplicates if appended else 0,
            sorted(rejected),
        )

    async def link(self, keys: tuple[str, str], cause: str, now: datetime) -> bool:
        """Link two keys of one person.

        Returns
        -------
        bool
            Whether two customers were merged.

        Raises
        ------
        CustomerForgotten
            If one of the keys belongs to a forgotten customer.
        """

        def join(connection: sa.Connection, pair: tuple[str, str]) -> bool:
            refuse_forgotten(connection, pair)
            merged = link(connection, self._normalizer, pair, cause, now, again=True)
            if merged:
                restated = {merged.survivor} if merged.loser_had_data else set()
                self._restate(connection, restated, {merged.loser}, now)
            return merged is not None

        return await self._change_link(keys, join, now)

    async def unlink(self, keys: tuple[str, str], cause: str, now: datetime) -> bool:
        """Undo a link of two keys.

        Returns
        -------
        bool
            Whether a customer was split in two.

        Raises
        ------
        IdentityUnknown
            If there is no such link.
        """

        def split(connection: sa.Connection, pair: tuple[str, str]) -> bool:
            before = set(resolve_each(connection, pair).values())
            customers = unlink(connection, pair, cause, now)
            if customers:  # otherwise other links still connect the keys
                self._restate(connection, {*customers}, before - {*customers}, now)
            return bool(customers)

        return await self._change_link(keys, split, now)

    async def _change_link(
        self,
        keys: tuple[str, str],
        change: Callable[[sa.Connection, tuple[str, str]], bool],
        now: datetime,
    ) -> bool:
        """Run ``change`` on two keys and publish the states; the result of ``change``."""
        left, right = self._normalizer.each(keys)
        changed = await self._ledger.write(lambda connection: change(connection, (left, right)))
        await self.publish(now)
        return changed

    async def publish(self, now: datetime) -> None:
        """Write every waiting state to the online store.

        Raises
        ------
        NotVisible
            If the feature store is down.
        """
        try:
            while (
                await self._ledger.write(partial(self._publish_some, now=now)) == STATES_PER_WRITE
            ):
                pass
        except NbaError:
            raise
        except Exception as error:
            raise NotVisible(
                f"The feature store cannot be written ({type(error).__name__}).",
                expected="a store that shows events to the next decision",
                remedy="The events are kept. Send them again when /readyz names no problem.",
            ) from error

    def _publish_some(self, connection: sa.Connection, now: datetime) -> int:
        transaction = connection.get_transaction()
        if transaction is self._published_in:  # an earlier write of this group commit did it
            return 0
        count = publish_states(connection, self._online, self._states, now)
        self._published_in = transaction if count < STATES_PER_WRITE else None
        return count

    def _checked(
        self, sent: Sequence[Any], now: datetime
    ) -> tuple[dict[int, Event], list[Rejection]]:
        good, rejected = {}, []
        for index, one in enumerate(sent):
            try:
                good[index] = parse_event(one, self._domain, self._normalizer, now)
            except InvalidEvent as error:
                rejected.append(Rejection(index, error.field, str(error)))
        return good, rejected

    def _append(
        self, connection: sa.Connection, events: list[Event], now: datetime
    ) -> AppendResult:
        done = append_events(connection, self._normalizer, events, now)
        self._restate(connection, done.restated, done.merged_away, now)
        new_events = {key: new for key, new in done.new_events.items() if key not in done.restated}
        for customer_id, account in self._accounts(connection, new_events).items():
            new_events.setdefault(account, []).extend(new_events[customer_id])
        if new_events:
            self._states.advance(connection, new_events, now)
        return done

    def _restate(
        self, connection: sa.Connection, customers: set[str], merged_away: set[str], now: datetime
    ) -> None:
        if self._domain.account:
            update_account_members(connection, customers | merged_away)
        if merged_away:
            delete_states(connection, merged_away)
        if customers:
            accounts = all_accounts_of(connection, customers) if self._domain.account else set()
            request_refold(connection, [*customers, *sorted(accounts)], now)

    def _accounts(self, connection: sa.Connection, customers: Iterable[str]) -> dict[str, str]:
        return accounts_of(connection, list(customers)) if self._domain.account else {}
