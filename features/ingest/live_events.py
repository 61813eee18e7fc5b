"""Ingests live events: checks them, resolves customers, appends, folds and publishes states.

There are two short transactions. The first appends and folds. The second writes the states of the
caller's customers to Feast's online store (`publishing`). Only then is the caller answered. A crash
between the two leaves waiting states; the next event of the customer, or the background, publishes
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.profiles import accounts_of, update_account_members
from features.errors import InvalidEvent
from features.identity.keys import KeyNormalizer
from features.identity.links import Merge, link, resolve_each, restated_by, unlink
from features.identity.tombstones import refuse_forgotten
from features.ingest.append_events import append_events
from features.ingest.ingest_result import AppendedEvents, IngestResult, Rejection, not_visible
from features.journeys.events import Event, parse_event
from features.ledger.ledger import Ledger
from features.ledger.tables import micros
from features.outcomes.event_days import EventRules, mark_events
from features.states.checkpoints import (
    delete_all_checkpoints,
    delete_checkpoints,
    merge_checkpoints,
)
from features.states.journey_states import JourneyStates
from features.states.publishing import OnlineStore
from features.states.state_rows import delete_states
from features.states.visibility import StatePublisher

PIECE = 100  # keys of the events that one transaction appends; then others may write


class _Change(NamedTuple):
    """The result of a link or of its undoing: whether it changed customers, and whose past."""

    changed: bool
    restated: set[str]


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
        self._domain = domain
        self._normalizer = KeyNormalizer(domain)
        self._event_rules = EventRules.of(domain)
        self._states = states
        self.publisher = StatePublisher(ledger, online, states)

    async def ingest(self, sent: Sequence[Any], now: datetime) -> IngestResult:
        """Ingest events; when this returns, the next decision on any worker sees them.

        A long call is appended in several transactions, so that others write between them.

        Raises
        ------
        NotVisible
            If the feature store is down. The events are in the ledger; the same call may be
            repeated.
        """
        total, rejected = AppendedEvents(), list[Rejection]()
        for begin, some in _pieces(sent):
            good, wrong = self._checked(some, begin, now)
            rejected += wrong
            if good:
                unit = partial(self._append, events=good, now=now)
                total.add(await self._ledger.write(unit, begun=begin > 0))
        problems = await self.publisher.show(total.touched, now)
        rejected += [Rejection(at, one.field, str(one)) for at, one in total.refused.items()]
        for places in (total.accepted, total.duplicates):
            for place, key in list(places.items()):
                if key in problems:
                    del places[place]
                    rejected.append(not_visible(place, key, problems[key]))
        return IngestResult(len(total.accepted), len(total.duplicates), sorted(rejected))

    async def link(
        self,
        keys: tuple[str, str],
        cause: str,
        now: datetime,
        before: Callable[[sa.Connection], None] | None = None,
    ) -> bool:
        """Link two keys of one person.

        Parameters
        ----------
        before
            Called first in the same transaction; if it raises, nothing is written.

        Returns
        -------
        bool
            Whether two customers were merged.

        Raises
        ------
        CustomerForgotten
            If one of the keys belongs to a forgotten customer.
        """

        def join(connection: sa.Connection, pair: tuple[str, str]) -> _Change:
            refuse_forgotten(connection, pair)
            if before is not None:
                before(connection)
            merged = link(connection, self._normalizer, pair, cause, now, again=True)
            restated = self._restate(connection, [merged] if merged else [], {}, now)
            return _Change(merged is not None, restated)

        self._normalizer.refuse_placeholders(keys, "keys")
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

        return await self._change_link(keys, partial(self._split, cause=cause, now=now), now)

    async def _change_link(
        self,
        keys: tuple[str, str],
        change: Callable[..., _Change],
        now: datetime,
    ) -> bool:
        """Run ``change`` on two keys and show the customers; whether anything was changed."""
        left, right = self._normalizer.each(keys)
        done = await self._ledger.write(lambda connection: change(connection, pair=(left, right)))
        await self.publisher.show(done.restated, now)
        return done.changed

    def _checked(
        self, sent: Sequence[Any], begin: int, now: datetime
    ) -> tuple[dict[int, Event], list[Rejection]]:
        """Parse events, the first of which has the number ``begin`` in its call."""
        good, rejected = {}, []
        for place, one in enumerate(sent, start=begin):
            try:
                good[place] = parse_event(one, self._domain, self._normalizer, now)
            except InvalidEvent as error:
                rejected.append(Rejection(place, error.field, str(error)))
        return good, rejected

    def _append(
        self, connection: sa.Connection, events: Mapping[int, Event], now: datetime
    ) -> AppendedEvents:
        """Append and fold events; ``events`` are by their place in the call."""
        places = list(events)
        done = append_events(connection, self._normalizer, list(events.values()), now)
        mark_events(connection, self._event_rules, done.new_events)
        touched = self._restate(connection, done.merges, done.new_events, now)
        new_events = self._with_accounts(connection, done.new_events)
        new_events = {key: new for key, new in new_events.items() if key not in touched}
        if new_events:
            self._states.advance(connection, new_events, now)
        result = AppendedEvents(touched={*touched, *new_events})
        result.refused = {places[position]: error for position, error in done.refused.items()}
        if done.duplicates:  # they must be visible, too
            subjects = {places[one]: events[places[one]].subject for one in done.duplicates}
            owners = resolve_each(connection, subjects.values())
            for place, subject in subjects.items():
                result.duplicates[place] = owners.get(subject, subject)
            result.touched |= {*result.duplicates.values()}
        customer_of = {one.event_id: key for key, new in done.new_events.items() for one in new}
        for place in events.keys() - result.refused.keys() - result.duplicates.keys():
            result.accepted[place] = customer_of[events[place].event_id]
        return result

    def _restate(
        self,
        connection: sa.Connection,
        merges: Sequence[Merge],
        new_events: Mapping[str, list[Event]],
        now: datetime,
    ) -> set[str]:
        """Fold merged customers and their accounts again; the keys whose past has changed."""
        if not merges:
            return set()
        for merge in merges:
            if merge.loser_had_data:
                survivor = merge.survivor, merge.survivor_first_at
                merge_checkpoints(connection, survivor, (merge.loser, merge.loser_first_at))
        restated = restated_by(merges)
        delete_states(connection, {merge.loser for merge in merges} - restated)
        accounts = self._change_accounts(connection, merges)
        if restated:
            restated |= accounts
            for key, new in self._with_accounts(connection, new_events).items():
                if key in restated:
                    delete_checkpoints(connection, key, min(micros(one.occurred_at) for one in new))
            self._states.restate(connection, sorted(restated), now)
        return restated

    def _change_accounts(self, connection: sa.Connection, merges: Sequence[Merge]) -> set[str]:
        """Move merged customers to the account of the survivor; the accounts that have changed."""
        if not self._domain.account:
            return set()
        names = {name for merge in merges for name in (merge.survivor, merge.loser)}
        before = accounts_of(connection, names)
        update_account_members(connection, names)
        owners = resolve_each(connection, names)
        after = accounts_of(connection, set(owners.values()))
        changed: set[str] = set()
        for merge in merges:
            now_in = after.get(owners[merge.survivor])
            moved = before.get(merge.survivor) != now_in
            firsts = (merge.loser_first_at, merge.survivor_first_at if moved else None)
            times = [micros(first_at) for first_at in firsts if first_at is not None]
            accounts = {before.get(merge.survivor), before.get(merge.loser), now_in} - {None}
            for account in accounts if times else ():
                delete_checkpoints(connection, str(account), min(times))
                changed.add(str(account))
        return changed

    def _split(
        self, connection: sa.Connection, pair: tuple[str, str], cause: str, now: datetime
    ) -> _Change:
        """Undo a link, and fold the customers and their accounts again."""
        before = set(resolve_each(connection, pair).values())
        accounts = set(self._accounts(connection, before).values())
        customers = set(unlink(connection, pair, cause, now))
        if not customers:  # other links still connect the keys
            return _Change(False, set())
        if self._domain.account:
            update_account_members(connection, before | customers)
        delete_states(connection, before - customers)
        restated = customers | accounts | set(self._accounts(connection, customers).values())
        delete_all_checkpoints(connection, restated)
        self._states.restate(connection, sorted(restated), now)
        return _Change(True, restated)

    def _with_accounts(
        self, connection: sa.Connection, events: Mapping[str, list[Event]]
    ) -> dict[str, list[Event]]:
        """Add the events of each account to those of the customers."""
        found = dict(events)
        for customer_id, account in self._accounts(connection, events).items():
            found[account] = [*found.get(account, []), *events[customer_id]]
        return found

    def _accounts(self, connection: sa.Connection, customers: Iterable[str]) -> dict[str, str]:
        return accounts_of(connection, list(customers)) if self._domain.account else {}


def _pieces(sent: Sequence[Any]) -> Iterator[tuple[int, Sequence[Any]]]:
    """Divide the events of a call: each piece is appended in a transaction of its own."""
    begin = weight = 0
    for place, one in enumerate(sent):
        named = one.get("identifiers") if isinstance(one, Mapping) else None
        keys = 1 + len(named) if isinstance(named, list) else 1
        if place > begin and weight + keys > PIECE:
            yield begin, sent[begin:place]
            begin, weight = place, 0
        weight += keys
    if sent:
        yield begin, sent[begin:]
