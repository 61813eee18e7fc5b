"""Folds stored events again, from the last checkpoint on: a few under the lock, many outside.

`refold_tail` runs inside a transaction of the ledger's writer, and gives up if there are too many
events. `Refold` then folds them page by page without the lock. What it has folded is verified when
it is committed: checkpoints before which no event came or went meanwhile are kept, and the few
events after them are folded under the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.customers.profiles import ACCOUNT
from features.journeys.fold import Fold
from features.journeys.state import State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import Row, Statement
from features.states.checkpoints import (
    EVERY,
    Checkpoint,
    add_checkpoint,
    from_bytes,
    is_stored,
    keep_checkpoints,
    latest_checkpoint,
)
from features.states.stored_events import MICROS, START, Position, count_events, events_after

TAIL = 256  # events of one customer that are folded under the lock at most
TAILS = 1_000  # events that one transaction folds again at most: 20 ms
PAGE = 500  # events that are folded without a pause: 10 ms
PAGES_OF_ACCOUNT = 20  # read at once
PAGES_TO_COMMIT = 20  # a long history is committed after so many


class CannotFold(Exception):
    """An event of a customer cannot be folded; the message is a sentence without the values."""

    @classmethod
    def of(cls, event_id: str, kind: str, error: Exception) -> CannotFold:
        """Make the error of an event, from that of the fold."""
        reason = type(error).__name__
        return cls(f"Its event {event_id!r} of type {kind!r} cannot be folded ({reason}).")


class FoldedState(NamedTuple):
    """A state and its last event; both None for a customer without events."""

    state: State
    last_at: datetime | None
    last_event_id: str | None


class Tail(NamedTuple):
    """The newest state of a customer, and the ids of the events folded since a checkpoint."""

    newest: FoldedState
    event_ids: list[str]


_GENERATION = Statement(
    sa.select(tables.journey_states.c.generation).where(
        tables.journey_states.c.customer_id == sa.bindparam("key", type_=sa.Text)
    )
)


def fold_rows(fold: Fold, state: State, rows: Sequence[Row]) -> State:
    """Fold stored events; see `events_after` for the rows.

    Raises
    ------
    CannotFold
        Names the event.
    """
    for event_id, kind, channel, at_us, properties in rows:
        try:
            state = fold.advance(state, kind, channel, at_us / MICROS, from_json(properties))
        except Exception as error:
            raise CannotFold.of(event_id, kind, error) from error
    return state


def refold_tail(connection: sa.Connection, fold: Fold, key: str) -> Tail | None:
    """Fold the events of a customer or account since the last checkpoint, under the lock.

    Returns
    -------
    Tail or None
        None if there are too many events, for this customer or for this transaction.

    Raises
    ------
    CannotFold
        If an event cannot be folded.
    """
    folded = connection.info.get(tables.FOLDED_EVENTS, 0)
    most = min(TAIL, TAILS - folded)
    if most <= 0:
        return None
    position, state = begin_after(fold, latest_checkpoint(connection, key))
    rows = events_after(connection, key, position, most + 1)
    if len(rows) > most:
        return None
    connection.info[tables.FOLDED_EVENTS] = folded + len(rows)
    state = fold_rows(fold.of(key), state, rows)
    last = position_of(rows[-1]) if rows else position
    at = None if last == START else tables.from_micros(last.at_us)
    newest = FoldedState(state, at, last.event_id or None)
    return Tail(newest, [row[0] for row in rows])


class Refold:
    """Folds the events of one customer or account in steps, each without the lock.

    Call `step` until it returns False, then `commit` in a transaction of the ledger's writer. If a
    history `is_due`, it is committed in between, followed by `go_on`: verifying takes time.
    """

    def __init__(self, ledger: Ledger, fold: Fold, key: str) -> None:
        self._ledger = ledger
        self._fold = fold.of(key)
        self._key = key
        self._generation: int | None = None
        self._base: Checkpoint | None = None
        self._at = START
        self._state = fold.empty()
        self._rows_n = 0  # folded since the base
        self._pages_n = 0  # folded since the base
        self._read: list[Row] = []  # and not folded yet
        self._found: list[Checkpoint] = []
        self._rows_until: dict[Position, int] = {}

    def step(self) -> bool:
        """Fold some more events; return False if there were no more.

        Raises
        ------
        CannotFold
            If an event cannot be folded.
        LedgerDown
            If the database does not answer.
        """
        if self._generation is None:
            self._ledger.read(self._find_base)
        rows = self._next_page()
        # Packing a state takes as long as folding two events: many states only near the end.
        every = PAGE if len(rows) == PAGE else EVERY
        for begin in range(0, len(rows), every):
            some = rows[begin : begin + every]
            self._state = fold_rows(self._fold, self._state, some)
            self._at = position_of(some[-1])
            self._rows_n += len(some)
            self._keep()
        self._pages_n += 1
        return len(rows) == PAGE

    @property
    def is_due(self) -> bool:
        """True if so much is folded that it is committed before the next step."""
        return self._pages_n >= PAGES_TO_COMMIT

    def is_current(self, connection: sa.Connection) -> bool:
        """Return False if the customer was merged, split or erased since the first step."""
        return _generation(connection, self._key) == self._generation

    def commit(self, connection: sa.Connection) -> bool:
        """Store the checkpoints that hold, if the customer was not merged or split meanwhile.

        Returns
        -------
        bool
            Whether all of them hold, so that this refold may go on.
        """
        if not self.is_current(connection):
            return False
        if self._base and not is_stored(connection, self._key, self._base):
            return False
        after, before_n = self._base.position if self._base else START, 0
        valid: list[Checkpoint] = []
        for checkpoint in self._found:
            rows_n = self._rows_until[checkpoint.position]
            # Rows are never changed, so equal numbers mean equal events.
            if count_events(connection, self._key, after, checkpoint.position) != rows_n - before_n:
                break
            valid.append(checkpoint)
            after, before_n = checkpoint.position, rows_n
        keep_checkpoints(connection, self._key, valid, self._fold.events_n(self._state))
        return len(valid) == len(self._found)

    def go_on(self) -> None:
        """Continue after the last checkpoint, which `commit` has stored."""
        self._base = self._found[-1]
        self._found, self._rows_until, self._rows_n, self._pages_n = [], {}, 0, 0

    def _next_page(self) -> list[Row]:
        if not self._read:
            # The database sorts all later events of an account for each query.
            most = PAGES_OF_ACCOUNT * PAGE if self._key.startswith(ACCOUNT) else PAGE
            self._read = self._ledger.read(lambda c: events_after(c, self._key, self._at, most))
        page, self._read = self._read[:PAGE], self._read[PAGE:]
        return page

    def _find_base(self, connection: sa.Connection) -> None:
        self._generation = _generation(connection, self._key)
        self._base = latest_checkpoint(connection, self._key)
        self._at, self._state = begin_after(self._fold, self._base)
        if self._at == START:  # none, or of another domain file
            self._base = None

    def _keep(self) -> None:
        add_checkpoint(self._found, self._fold, self._at, self._state)
        self._rows_until[self._at] = self._rows_n


def begin_after(fold: Fold, checkpoint: Checkpoint | None) -> tuple[Position, State]:
    """Return where to begin and the state there; a checkpoint of another domain file is no use."""
    state = None if checkpoint is None else from_bytes(fold, checkpoint.packed)
    if checkpoint is None or state is None:
        return START, fold.empty()
    return checkpoint.position, state


def _generation(connection: sa.Connection, key: str) -> int:
    row = _GENERATION.first(connection, {"key": key})
    return -1 if row is None else int(row[0])


def position_of(row: Row) -> Position:
    return Position(row[3], row[0])
