"""The journey states that the ledger keeps: moved on at an event, refolded if it came late.

Kept for customers who were heard of since the last `nba build`. The events are the truth; a
state that is missing or not to be trusted is folded from them anew.
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
STATES_PER_WRITE = 500  # states written online in one transaction


# Made once: putting the expressions together would take longer than the database does.
_AMONG = tables.journey_states.c.customer_id.in_(sa.bindparam("keys", expanding=True))
_KEPT = sa.select(tables.journey_states).where(_AMONG)
_OTHERS = tables.journey_states.c.customer_id.not_in(sa.bindparam("fresh", expanding=True))
_WAITING = (
    sa.select(tables.journey_states).where(tables.unpublished, _OTHERS).limit(STATES_PER_WRITE)
)
_SHOWN = sa.update(tables.journey_states).where(_AMONG).values(online=True, profile_online=True)


class OnlineStore(Protocol):
    """What we ask of the feature store here."""

    def write_packed(
        self, customer_ids: Sequence[str], packed: Sequence[list[float]], at: Sequence[datetime]
    ) -> None: ...
    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None: ...


class FoldedState(NamedTuple):
    """A state, and the event it ends with (none for a customer without events)."""

    state: State
    last_at: datetime | None
    last_event_id: str | None


@dataclass(frozen=True)
class JourneyStates:
    """Keeps `journey_states`. All methods run inside a transaction of the ledger's writer.

    Parameters
    ----------
    fold
    shown
        What the online store shows of a customer. Somebody of whom nothing was heard since the
        last build has no row here; that spares folding their whole past at their first event.
    """

    fold: Fold
    shown: Callable[[str], State | None] = lambda key: None

    def advance(
        self, connection: sa.Connection, news: Mapping[str, list[Event]], now: datetime
    ) -> None:
        """Fold new events, which are in the ledger already.

        Parameters
        ----------
        news
            By key (a customer, or an account), its new events in any order.
        """
        found = connection.execute(_KEPT, {"keys": list(news)})
        kept = {row.customer_id: row for row in found}
        rows = [
            self._advanced(connection, key, kept.get(key), sorted(events, key=_order), now)
            for key, events in news.items()
        ]
        tables.upsert(connection, tables.journey_states, rows)
        _note_fresh(connection, news)

    def refold(self, connection: sa.Connection, key: str) -> tuple[FoldedState, list[str]]:
        """The state after all events of a customer or account, and the ids of those."""
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
        state = self._seeded(connection, key, events) if row is None else self._usable(row)
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

    def _seeded(self, connection: sa.Connection, key: str, events: Sequence[Event]) -> State | None:
        """What is shown online, if it is the state before these events: trusted, but counted."""
        state = None if key.startswith(ACCOUNT) else self.shown(key)
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
    """Have customers folded anew: their past, or who they are, has changed."""
    blank: dict[str, Any] = {
        "state": None,
        "last_at": None,
        "last_event_id": None,
        "restated_at": now,
    }
    blank |= {"online": False, "profile_online": False}
    rows = [{"customer_id": key, **blank} for key in dict.fromkeys(keys)]
    tables.upsert(connection, tables.journey_states, rows)
    _note_fresh(connection, [row["customer_id"] for row in rows])


def _note_fresh(connection: sa.Connection, keys: Iterable[str]) -> None:
    connection.info.setdefault(tables.CHANGED_STATES, set()).update(keys)


def delete_states(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Forget the states of customers who are no more."""
    gone = tables.journey_states.c.customer_id.in_(list(keys))
    connection.execute(sa.delete(tables.journey_states).where(gone))


def publish_states(
    connection: sa.Connection, online: OnlineStore, states: JourneyStates, now: datetime
) -> int:
    """Write states that wait to the online store; how many, at most `STATES_PER_WRITE`.

    The caller holds the ledger's write lock meanwhile, so newer is never overwritten with older.
    States that a neighbour in the same transaction has just moved wait for the next one.
    """
    # Not those of this very transaction: if it were cut off now, they would be shown, and gone.
    fresh = list(connection.info.get(tables.CHANGED_STATES, ()))
    rows = connection.execute(_WAITING, {"fresh": fresh}).all()
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
    connection.execute(_SHOWN, {"keys": [row.customer_id for row in rows]})
    return len(rows)


def _note_refolded(
    connection: sa.Connection, fold: Fold, refolded: Mapping[str, FoldedState], rows: Sequence[Any]
) -> None:
    anew = [
        {**row._mapping, **newest._asdict(), "state": to_bytes(fold, newest.state)}
        for row in rows
        if (newest := refolded.get(row.customer_id))
    ]
    tables.upsert(connection, tables.journey_states, anew)


def to_bytes(fold: Fold, state: State) -> bytes:
    """A state as the ledger keeps it."""
    return array("d", fold.pack(state)).tobytes()


def from_bytes(fold: Fold, kept: bytes) -> State | None:
    """What `to_bytes` wrote; None if it was of another fold."""
    return fold.unpack(_packed(kept))


def _packed(kept: bytes) -> list[float]:
    packed = array("d")
    packed.frombytes(kept)
    return packed.tolist()


def _order(event: Event) -> tuple[datetime, str]:
    return event.order


def events_of(connection: sa.Connection, key: str) -> Iterator[Any]:
    """Id, type, channel, time (microseconds) and properties, in the order of folding."""
    columns = tables.events.c
    who = members_of(connection, key) if key.startswith(ACCOUNT) else [key]
    at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
    query = (
        sa.select(columns.event_id, columns.type, columns.channel, at, columns.properties)
        .where(columns.customer_id.in_(who))
        .order_by(columns.occurred_at, columns.event_id)
    )
    yield from connection.execute(query)


def events_in_fold_order() -> Any:
    """Customer, type, channel, time (microseconds) and properties of events, as they are folded."""
    columns = tables.events.c
    # Times as the integers they are: 10 million datetimes would take longer than the fold.
    at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
    query = sa.select(columns.customer_id, columns.type, columns.channel, at, columns.properties)
    return query.order_by(columns.customer_id, columns.occurred_at, columns.event_id)
