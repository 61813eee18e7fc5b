"""Journey states in the ledger: advanced at an event, refolded if the event is late.

They are stored for customers with events since the last `nba build`. A state that is missing or
outdated is folded again from all events.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from pydantic_core import from_json

from features.customers.profiles import ACCOUNT, attributes_of, members_of
from features.journeys.events import Event
from features.journeys.fold import Fold
from features.journeys.state import State
from features.ledger import tables

MICROS = 1e6
STATES_PER_WRITE = 500  # states that one transaction writes to the online store


# Built once: building the expressions would take longer than the database takes to answer them.
_OF_KEYS = tables.journey_states.c.customer_id.in_(sa.bindparam("keys", expanding=True))
_STATES_OF = sa.select(tables.journey_states).where(_OF_KEYS)
_NOT_CHANGED = tables.journey_states.c.customer_id.not_in(sa.bindparam("changed", expanding=True))
_UNPUBLISHED = (
    sa.select(tables.journey_states).where(tables.unpublished, _NOT_CHANGED).limit(STATES_PER_WRITE)
)
_MARK_PUBLISHED = (
    sa.update(tables.journey_states).where(_OF_KEYS).values(online=True, profile_online=True)
)


class OnlineStore(Protocol):
    """The methods of the feature store that are used here."""

    def write_packed(
        self, customer_ids: Sequence[str], packed: Sequence[list[float]], at: Sequence[datetime]
    ) -> None: ...
    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None: ...


class FoldedState(NamedTuple):
    """A state and its last event; both None for a customer without events."""

    state: State
    last_at: datetime | None
    last_event_id: str | None


@dataclass(frozen=True)
class JourneyStates:
    """Updates the table `journey_states`, inside a transaction of the ledger's writer.

    Parameters
    ----------
    fold
    online_state
        Reads the state of a customer from the online store. A customer without events since the
        last build has no row in the table; this state spares folding all their events again.
    """

    fold: Fold
    online_state: Callable[[str], State | None] = lambda key: None

    def advance(
        self, connection: sa.Connection, new_events: Mapping[str, list[Event]], now: datetime
    ) -> None:
        """Fold new events that are in the ledger already.

        Parameters
        ----------
        new_events
            By key of a customer or an account, its new events in any order.
        """
        found = connection.execute(_STATES_OF, {"keys": list(new_events)})
        stored = {row.customer_id: row for row in found}
        rows = [
            self._advanced(connection, key, stored.get(key), sorted(events, key=_order), now)
            for key, events in new_events.items()
        ]
        tables.upsert(connection, tables.journey_states, rows)
        _mark_changed(connection, new_events)

    def refold(self, connection: sa.Connection, key: str) -> tuple[FoldedState, list[str]]:
        """Fold all events of a customer or account; return the state and the ids of the events."""
        state, last_at, ids = self.fold.empty(), None, []
        for event_id, kind, channel, at_us, properties in events_of(connection, key):
            state = self.fold.advance(state, kind, channel, at_us / MICROS, from_json(properties))
            last_at = at_us
            ids.append(event_id)
        at = None if last_at is None else tables.from_micros(last_at)
        return FoldedState(state, at, ids[-1] if ids else None), ids

    def _advanced(
        self, connection: sa.Connection, key: str, row: Any, events: Sequence[Event], now: datetime
    ) -> dict[str, Any]:
        late = False
        state = self._from_online(connection, key, events) if row is None else self._usable(row)
        if state is not None and row is not None:
            state = state if (row.last_at, row.last_event_id) < events[0].order else None
        if state is not None:
            for event in events:
                at_s = tables.micros(event.occurred_at) / MICROS
                state = self.fold.advance(state, event.type, event.channel, at_s, event.properties)
            newest = FoldedState(state, *events[-1].order)
        else:
            newest, ids = self.refold(connection, key)
            late = ids[-len(events) :] != [event.event_id for event in events]
        return {
            "customer_id": key,
            "state": to_bytes(self.fold, newest.state),
            "last_at": newest.last_at,
            "last_event_id": newest.last_event_id,
            "online": False,
            "profile_online": True if row is None else row.profile_online,
            "restated_at": now if late else (row and row.restated_at),
        }

    def _from_online(
        self, connection: sa.Connection, key: str, events: Sequence[Event]
    ) -> State | None:
        """Read the online state, and check by count that it is the state before these events."""
        state = None if key.startswith(ACCOUNT) else self.online_state(key)
        if state is None or self.fold.events_n(state) == 0:
            return None
        last_us = round(self.fold.last_at(state) * MICROS)
        columns = tables.events.c
        at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
        before = sa.func.sum(sa.case((at <= last_us, 1), else_=0))
        query = sa.select(sa.func.count(), before).where(columns.customer_id == key)
        n = self.fold.events_n(state)
        fits = tuple(connection.execute(query).one()) == (n + len(events), n)
        return state if fits and tables.micros(events[0].occurred_at) > last_us else None

    def _usable(self, row: Any) -> State | None:
        if row is None or row.state is None or row.last_at is None:
            return None
        return from_bytes(self.fold, row.state)


def request_refold(connection: sa.Connection, keys: Iterable[str], now: datetime) -> None:
    """Drop the states of customers whose events or keys changed, so that they are refolded."""
    blank: dict[str, Any] = {
        "state": None,
        "last_at": None,
        "last_event_id": None,
        "restated_at": now,
    }
    blank |= {"online": False, "profile_online": False}
    rows = [{"customer_id": key, **blank} for key in dict.fromkeys(keys)]
    tables.upsert(connection, tables.journey_states, rows)
    _mark_changed(connection, [row["customer_id"] for row in rows])


def _mark_changed(connection: sa.Connection, keys: Iterable[str]) -> None:
    connection.info.setdefault(tables.CHANGED_STATES, set()).update(keys)


def delete_states(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Delete the states of customers who do not exist any more."""
    gone = tables.journey_states.c.customer_id.in_(list(keys))
    connection.execute(sa.delete(tables.journey_states).where(gone))


def publish_states(
    connection: sa.Connection, online: OnlineStore, states: JourneyStates, now: datetime
) -> int:
    """Write unpublished states to the online store, at most `STATES_PER_WRITE`; return the number.

    The caller holds the ledger's write lock, so an older state never overwrites a newer one. States
    that this transaction has changed are left for the next one.
    """
    # If this transaction failed now, its states would be online without their events.
    changed_here = list(connection.info.get(tables.CHANGED_STATES, ()))
    rows = connection.execute(_UNPUBLISHED, {"changed": changed_here}).all()
    if not rows:
        return 0
    refolded = {
        row.customer_id: states.refold(connection, row.customer_id)[0]
        for row in rows
        if row.state is None
    }
    online.write_packed(
        [row.customer_id for row in rows],
        [
            states.fold.pack(refolded[row.customer_id].state)
            if row.state is None
            else _packed(row.state)
            for row in rows
        ],
        [refolded.get(row.customer_id, row).last_at or now for row in rows],
    )
    changed = [row.customer_id for row in rows if not row.profile_online]
    if changed:
        online.write_profiles({one: attributes_of(connection, one) for one in changed}, now)
    _note_refolded(connection, states.fold, refolded, rows)
    connection.execute(_MARK_PUBLISHED, {"keys": [row.customer_id for row in rows]})
    return len(rows)


def _note_refolded(
    connection: sa.Connection, fold: Fold, refolded: Mapping[str, FoldedState], rows: Sequence[Any]
) -> None:
    updated = [
        {**row._mapping, **newest._asdict(), "state": to_bytes(fold, newest.state)}
        for row in rows
        if (newest := refolded.get(row.customer_id))
    ]
    tables.upsert(connection, tables.journey_states, updated)


def to_bytes(fold: Fold, state: State) -> bytes:
    """Encode a state as the ledger stores it."""
    return array("d", fold.pack(state)).tobytes()


def from_bytes(fold: Fold, kept: bytes) -> State | None:
    """Decode a state that `to_bytes` encoded; None if it is of another fold."""
    return fold.unpack(_packed(kept))


def _packed(kept: bytes) -> list[float]:
    packed = array("d")
    packed.frombytes(kept)
    return packed.tolist()


def _order(event: Event) -> tuple[datetime, str]:
    return event.order


def events_of(connection: sa.Connection, key: str) -> Iterator[Any]:
    """Read the events of a customer or account in the order of folding.

    Rows are id, type, channel, time (microseconds since 1970) and properties (JSON).
    """
    columns = tables.events.c
    customers = members_of(connection, key) if key.startswith(ACCOUNT) else [key]
    at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
    query = (
        sa.select(columns.event_id, columns.type, columns.channel, at, columns.properties)
        .where(columns.customer_id.in_(customers))
        .order_by(columns.occurred_at, columns.event_id)
    )
    yield from connection.execute(query)


def events_in_fold_order() -> Any:
    """Make the query for all events in the order of folding.

    Rows are customer, type, channel, time (microseconds since 1970) and properties (JSON).
    """
    columns = tables.events.c
    # Times as integers: making 10 million datetimes would take longer than the fold.
    at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
    query = sa.select(columns.customer_id, columns.type, columns.channel, at, columns.properties)
    return query.order_by(columns.customer_id, columns.occurred_at, columns.event_id)
