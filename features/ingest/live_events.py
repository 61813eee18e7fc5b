"""Ingests live events: checks them, resolves customers, appends, folds and publishes states.

There are two short transactions. The first appends and folds. The second writes the states of the
caller's customers to Feast's online store (`publishing`). Only then is the caller answered. A crash
between the two leaves waiting states; the next event of the customer, or the background, publishes
them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.domain import Domain
from features.errors import InvalidData, InvalidEvent
from features.identity.device_links import link_device, unlink_device
from features.identity.keys import KeyNormalizer
from features.identity.links import link, resolve_each, unlink
from features.identity.reassignment import Reassignment
from features.identity.tombstones import refuse_forgotten
from features.ingest.append_events import append_events
from features.ingest.ingest_result import AppendedEvents, IngestResult, Rejection, not_visible
from features.journeys.events import Event, parse_event
from features.ledger.ledger import Ledger
from features.outcomes.harm_marks import HarmEvents, mark_harm
from features.rewards.event_days import EventRules, mark_events
from features.states.journey_states import JourneyStates
from features.states.publishing import OnlineStore
from features.states.restating import Restating
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
    purposes
        Returns the purposes of the catalogue of now: a consent for another one is refused. Without
        a catalogue there are none.
    harm
        Returns the events that the guardrails of the catalogue of now count.
    """

    def __init__(
        self,
        ledger: Ledger,
        online: OnlineStore,
        domain: Domain,
        states: JourneyStates,
        purposes: Callable[[], Collection[str]] = tuple,
        harm: Callable[[], HarmEvents] = HarmEvents,
    ) -> None:
        self._ledger = ledger
        self._domain = domain
        self._purposes = purposes
        self._harm = harm
        self._normalizer = KeyNormalizer(domain)
        self._event_rules = EventRules.of(domain)
        self._states = states
        self._restating = Restating(states, bool(domain.account))
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
        InvalidData
            If both keys are anonymous.
        """

        def join(connection: sa.Connection, pair: tuple[str, str]) -> _Change:
            if before is not None:
                before(connection)
            refuse_forgotten(connection, pair)
            if self._normalizer.is_anonymous(pair[0]):
                return self._link_device(connection, pair, cause, now)
            merged = link(connection, self._normalizer, pair, cause, now, again=True)
            restated = self._restating.after_changes(
                connection, [merged] if merged else [], [], {}, now
            )
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
        """Run ``change`` on two keys and show the customers; whether anything was changed.

        If one of the keys is a device, it is the first one.
        """
        left, right = sorted(
            self._normalizer.each(keys), key=lambda key: not self._normalizer.is_anonymous(key)
        )
        if self._normalizer.is_anonymous(right):
            raise InvalidData(
                f"keys are {left!r} and {right!r}, which are both anonymous.",
                expected="a device and the customer id or identifier of a person",
                remedy="Link each device with the customer who uses it.",
            )
        done = await self._ledger.write(lambda connection: change(connection, pair=(left, right)))
        await self.publisher.show(done.restated, now)
        return done.changed

    def _checked(
        self, sent: Sequence[Any], begin: int, now: datetime
    ) -> tuple[dict[int, Event], list[Rejection]]:
        """Parse events, the first of which has the number ``begin`` in its call."""
        good, rejected, purposes = {}, [], self._purposes()
        for place, one in enumerate(sent, start=begin):
            try:
                good[place] = parse_event(one, self._domain, self._normalizer, now, purposes)
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
        mark_harm(connection, self._harm(), done.new_events, now)
        touched = self._restating.after_changes(
            connection, done.merges, done.reassigned, done.new_events, now
        )
        new_events = self._restating.add_accounts(connection, done.new_events)
        new_events = {key: new for key, new in new_events.items() if key not in touched}
        if new_events:
            self._states.advance(connection, new_events, now)
        result = AppendedEvents(touched={*touched, *new_events})
        result.refused = {places[position]: error for position, error in done.refused.items()}
        if done.duplicates:  # they must be visible, too
            subjects = {places[one]: subject for one, subject in done.duplicates.items()}
            owners = resolve_each(connection, subjects.values())
            for place, subject in subjects.items():
                result.duplicates[place] = owners.get(subject, subject)
            result.touched |= {*result.duplicates.values()}
        customer_of = {one.event_id: key for key, new in done.new_events.items() for one in new}
        for place in events.keys() - result.refused.keys() - result.duplicates.keys():
            result.accepted[place] = customer_of[events[place].event_id]
        return result

    def _link_device(
        self, connection: sa.Connection, pair: tuple[str, str], cause: str, now: datetime
    ) -> _Change:
        done = link_device(connection, self._normalizer, pair, cause, now)
        merges = [done.merge] if done.merge else []
        restated = self._restating.after_changes(connection, merges, done.reassigned, {}, now)
        return _Change(done.changed, restated)

    def _split(
        self, connection: sa.Connection, pair: tuple[str, str], cause: str, now: datetime
    ) -> _Change:
        # A device is one with its holder, or is not linked with that one at all.
        named = pair[1:] if self._normalizer.is_anonymous(pair[0]) else pair
        before = {*resolve_each(connection, named).values()}
        before |= self._restating.accounts_of(connection, before)
        parts, reassigned = self._unlink(connection, pair, cause, now)
        restated = self._restating.after_split(connection, before, parts, reassigned, now)
        return _Change(bool(parts or restated), restated)

    def _unlink(
        self, connection: sa.Connection, pair: tuple[str, str], cause: str, now: datetime
    ) -> tuple[list[str], list[Reassignment]]:
        if self._normalizer.is_anonymous(pair[0]):
            return unlink_device(connection, pair, cause, now)
        return unlink(connection, pair, cause, now), []


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
