"""Keeps checkpoints of the fold, so that a late event refolds a few events and not the whole past.

A checkpoint is the state after all events up to a position. Checkpoints are dense near the end of
a history and sparse further back: there are at most two in each doubling of the distance to the
end. So a late event is folded from a checkpoint not much further back than the event itself.

Every stored checkpoint is valid. Whoever adds or removes an event of the past deletes, in the same
transaction, the checkpoints after it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.journeys.fold import Fold
from features.journeys.state import State
from features.ledger import tables
from features.ledger.statements import Statement, as_json, texts_of
from features.states.stored_events import Position

EVERY = 32  # events between two checkpoints
MANY = 256  # events of a customer; from so many on, a build stores checkpoints
IN_MEMORY = 64  # checkpoints of a history that is being folded; more are thinned


class Checkpoint(NamedTuple):
    """A position in a customer's events, with the state after the event there.

    Attributes
    ----------
    events_n : int
        Events of known types up to the position; see `Fold.events_n`.
    packed : bytes
        The state, as `to_bytes` encodes it.
    """

    position: Position
    events_n: int
    packed: bytes


_COLUMNS = tables.journey_checkpoints.c
_AT = sa.type_coerce(_COLUMNS.at, sa.BigInteger)
_KEY = _COLUMNS.customer_id == sa.bindparam("key", type_=sa.Text)
_AT_US = sa.bindparam("at_us", type_=sa.BigInteger)
_LATEST = Statement(
    sa.select(_AT, _COLUMNS.event_id, _COLUMNS.events_n, _COLUMNS.state)
    .where(_KEY)
    .order_by(_AT.desc(), _COLUMNS.event_id.desc())
    .limit(1)
)
_HERE = sa.and_(_KEY, _AT == _AT_US, _COLUMNS.event_id == sa.bindparam("event_id", type_=sa.Text))
_STATE = Statement(sa.select(_COLUMNS.state).where(_HERE))
_POSITIONS = Statement(
    sa.select(_AT, _COLUMNS.event_id, _COLUMNS.events_n)
    .where(_KEY)
    .order_by(_AT, _COLUMNS.event_id)
)
_DELETE = Statement(sa.delete(tables.journey_checkpoints).where(_HERE))
_DELETE_ALL = Statement(
    sa.delete(tables.journey_checkpoints).where(
        _COLUMNS.customer_id.in_(sa.select(texts_of("keys").c.value))
    )
)
_DELETE_SINCE = Statement(sa.delete(tables.journey_checkpoints).where(_KEY, _AT >= _AT_US))


def latest_checkpoint(connection: sa.Connection, key: str) -> Checkpoint | None:
    """Read the last checkpoint of a customer or account; None if there is none."""
    row = _LATEST.first(connection, {"key": key})
    return None if row is None else Checkpoint(Position(row[0], row[1]), row[2], bytes(row[3]))


def is_stored(connection: sa.Connection, key: str, checkpoint: Checkpoint) -> bool:
    """Return whether the ledger still has a checkpoint, with the same state."""
    at_us, event_id = checkpoint.position
    row = _STATE.first(connection, {"key": key, "at_us": at_us, "event_id": event_id})
    return row is not None and bytes(row[0]) == checkpoint.packed


def keep_checkpoints(
    connection: sa.Connection, key: str, new: Sequence[Checkpoint], events_n: int
) -> None:
    """Store checkpoints of a customer or account, and delete those that are too dense now.

    A checkpoint of another domain file at the same position is overwritten.

    Parameters
    ----------
    events_n : int
        The number of the customer's events now.
    """
    if not new:
        return
    rows = [
        {
            "customer_id": key,
            "at": tables.from_micros(one.position.at_us),
            "event_id": one.position.event_id,
            "events_n": one.events_n,
            "state": one.packed,
        }
        for one in new
    ]
    tables.upsert(connection, tables.journey_checkpoints, rows)
    stored = [
        (Position(at_us, event_id), number)
        for at_us, event_id, number in _POSITIONS.rows(connection, {"key": key})
    ]
    kept = {*thinned([number for _, number in stored], events_n)}
    for place, (position, _) in enumerate(stored):
        if place not in kept:
            values = {"key": key, "at_us": position.at_us, "event_id": position.event_id}
            _DELETE.run(connection, values)


def thinned(events_n: Sequence[int], now_n: int) -> list[int]:
    """Choose the checkpoints to keep: the first and the last in each doubling of the distance.

    Parameters
    ----------
    events_n : rising
        The number of events at each checkpoint.
    now_n : int
        The number of events now.

    Returns
    -------
    list of int
        Indices of ``events_n``.
    """
    doublings: dict[int, list[int]] = {}
    for place, number in enumerate(events_n):
        doublings.setdefault((max(now_n - number, 0) // EVERY).bit_length(), []).append(place)
    return sorted({one for places in doublings.values() for one in (places[0], places[-1])})


def add_checkpoint(found: list[Checkpoint], fold: Fold, position: Position, state: State) -> None:
    """Append a checkpoint to those of a history that is being folded, and thin the list."""
    number = fold.events_n(state)
    found.append(Checkpoint(position, number, to_bytes(fold, state)))
    if len(found) > IN_MEMORY:
        kept = thinned([one.events_n for one in found], number)
        found[:] = [found[place] for place in kept]


def delete_checkpoints(connection: sa.Connection, key: str, since_us: int) -> None:
    """Delete the checkpoints of a customer or account from a moment on."""
    _DELETE_SINCE.run(connection, {"key": key, "at_us": since_us})


def merge_checkpoints(
    connection: sa.Connection,
    survivor: tuple[str, datetime | None],
    loser: tuple[str, datetime | None],
) -> None:
    """Keep the checkpoints of a merge that hold for both customers together.

    Those of one customer hold until the first event of the other.

    Parameters
    ----------
    survivor, loser
        Each customer with the time of its first event before the merge; None: no event.
    """
    for (key, _), (_, other_first_at) in ((survivor, loser), (loser, survivor)):
        if other_first_at is not None:
            delete_checkpoints(connection, key, tables.micros(other_first_at))
    moved = sa.update(tables.journey_checkpoints).where(_COLUMNS.customer_id == loser[0])
    connection.execute(moved.values(customer_id=survivor[0]))


def delete_all_checkpoints(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Delete all checkpoints of some customers or accounts."""
    _DELETE_ALL.run(connection, {"keys": as_json(keys)})


def to_bytes(fold: Fold, state: State) -> bytes:
    """Encode a state as the ledger stores it."""
    return array("d", fold.pack(state)).tobytes()


def from_bytes(fold: Fold, kept: bytes) -> State | None:
    """Decode a state that `to_bytes` encoded; None if it is of another fold."""
    return fold.unpack(unpacked_numbers(kept))


def unpacked_numbers(kept: bytes) -> list[float]:
    """Decode the numbers that `Fold.pack` gave, of a state that `to_bytes` encoded."""
    packed = array("d")
    packed.frombytes(kept)
    return packed.tolist()
