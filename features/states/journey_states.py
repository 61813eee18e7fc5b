"""Journey states in the ledger: advanced at an event, folded from a checkpoint if it is late.

They are stored for customers with events since the last `nba build`. A state that is missing is
folded from the events: here if they are few, else by `Refold` without the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from features.customers.profiles import ACCOUNT
from features.journeys.events import Event
from features.journeys.fold import Fold
from features.journeys.state import State
from features.ledger import tables
from features.states.checkpoints import (
    EVERY,
    MANY,
    Checkpoint,
    delete_checkpoints,
    from_bytes,
    keep_checkpoints,
    to_bytes,
)
from features.states.refolding import CannotFold, FoldedState, fold_rows, refold_tail
from features.states.set_aside import set_aside
from features.states.state_rows import drop_states, stored_states
from features.states.stored_events import MICROS, Position, events_of

NO_STATE: dict[str, Any] = {"state": None, "last_at": None, "last_event_id": None}


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
        stored = stored_states(connection, new_events)
        rows = [
            self._advanced(connection, key, stored.get(key), sorted(events, key=_order), now)
            for key, events in new_events.items()
        ]
        tables.upsert(connection, tables.journey_states, rows)

    def restate(self, connection: sa.Connection, keys: Iterable[str], now: datetime) -> None:
        """Fold the events of customers again whose past has changed, if it takes no time.

        The checkpoints that do not hold any more are deleted already.
        """
        keys = list(dict.fromkeys(keys))
        drop_states(connection, keys, now)
        for key in keys:
            self.fold_waiting(connection, key)

    def fold_waiting(self, connection: sa.Connection, key: str) -> bool:
        """Fold the state of a customer or account that waits for it.

        Returns
        -------
        bool
            False if the state still waits, because too many events follow the last checkpoint.
        """
        row = stored_states(connection, [key]).get(key)
        if row is None or row.state is not None or row.problem is not None:
            return True
        try:
            tail = refold_tail(connection, self.fold, key)
        except CannotFold as error:
            set_aside(connection, key, str(error))
            return True
        if tail is not None:
            folded = {**tail.newest._asdict(), "state": to_bytes(self.fold, tail.newest.state)}
            tables.upsert(connection, tables.journey_states, [{**row._mapping, **folded}])
        return tail is not None

    def refold(self, connection: sa.Connection, key: str) -> FoldedState:
        """Fold all events of a customer or account, from the first one on."""
        rows = [tuple(row) for row in events_of(connection, key)]
        state = fold_rows(self.fold.of(key), self.fold.empty(), rows)
        if not rows:
            return FoldedState(state, None, None)
        return FoldedState(state, tables.from_micros(rows[-1][3]), rows[-1][0])

    def _advanced(
        self, connection: sa.Connection, key: str, row: Any, events: Sequence[Event], now: datetime
    ) -> dict[str, Any]:
        """Return the row of a customer after new events."""
        kept = {
            "customer_id": key,
            "online": False,
            "profile_online": True if row is None else row.profile_online,
            "restated_at": row and row.restated_at,
            "generation": 0 if row is None else row.generation,
            "problem": row and row.problem,
        }
        state = self._from_online(connection, key, events) if row is None else self._usable(row)
        if (
            state is not None
            and row is not None
            and (row.last_at, row.last_event_id) > events[0].order
        ):
            state = None
        try:
            if state is not None:
                return kept | self._in_order(connection, key, state, events)
            return kept | self._late(connection, key, row, events, now)
        except CannotFold as error:
            return kept | NO_STATE | {"problem": str(error)}

    def _in_order(
        self, connection: sa.Connection, key: str, state: State, events: Sequence[Event]
    ) -> dict[str, Any]:
        fold, before_n = self.fold.of(key), self.fold.events_n(state)
        for event in events:
            at_s = tables.micros(event.occurred_at) / MICROS
            try:
                state = fold.advance(state, event.type, event.channel, at_s, event.properties)
            except Exception as error:
                raise CannotFold.of(event.event_id, event.type, error) from error
        last_at, event_id = events[-1].order
        packed, after_n = to_bytes(self.fold, state), self.fold.events_n(state)
        if after_n // EVERY > before_n // EVERY:
            position = Position(tables.micros(last_at), event_id)
            keep_checkpoints(connection, key, [Checkpoint(position, after_n, packed)], after_n)
        return {"state": packed, "last_at": last_at, "last_event_id": event_id}

    def _late(
        self, connection: sa.Connection, key: str, row: Any, events: Sequence[Event], now: datetime
    ) -> dict[str, Any]:
        """Fold events that are late, or of a customer whose state is not stored."""
        delete_checkpoints(connection, key, tables.micros(events[0].occurred_at))
        if row is not None and row.problem is not None:
            return NO_STATE
        tail = refold_tail(connection, self.fold, key)
        late = tail is None or tail.event_ids[-len(events) :] != [one.event_id for one in events]
        restated = {"restated_at": now} if late else {}
        if tail is None:
            return NO_STATE | restated
        return restated | tail.newest._asdict() | {"state": to_bytes(self.fold, tail.newest.state)}

    def _from_online(
        self, connection: sa.Connection, key: str, events: Sequence[Event]
    ) -> State | None:
        """Read the online state, and check by count that it is the state before these events.

        A build has stored a checkpoint for whoever has so many events that counting takes long.
        """
        state = None if key.startswith(ACCOUNT) else self.online_state(key)
        if state is None or not 0 < self.fold.events_n(state) < MANY:
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
        if row.state is None or row.last_at is None:
            return None
        return from_bytes(self.fold, row.state)


def _order(event: Event) -> tuple[datetime, str]:
    return event.order
