"""Snapshots of the bandit in the ledger: servers, explanations and replay read them.

A snapshot is a reward model. `SnapshotPublisher` writes them: the numbers of an action are a row of
`snapshot_actions`, written when they change; what seldom changes is stored once for all snapshots
that share it. A snapshot that is written whole is large, so its rows are stored as such parts, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from features.ledger import tables
from serving.models.model_arrays import of_parts
from serving.models.snapshot_rows import Bytes, from_rows, row_bytes
from training.arrays import Indices, unpack
from training.bandit.reward_model import RewardModel

PARTS = "parts"  # key in the note of a snapshot: digests of the parts that are stored apart
NAMES = "names"  # the part with the texts of the note
ROWS = "rows"  # begins the name of a part with rows
UNFINISHED = ""  # base of a snapshot whose rows are being written
LAYOUT = "layout"  # key in the note: the layout of rows


class Snapshot(NamedTuple):
    """A published reward model.

    Attributes
    ----------
    sequence
        Its number.
    base
        Version of the bandit that the learner built on.
    since
        Number of the snapshot that was the last one written whole; None: of an earlier release.
    parts
        Digest and content of each part, but for those with rows.
    """

    sequence: int
    base: str
    model: RewardModel
    since: int | None
    parts: Mapping[str, tuple[str, Any]]


def newest_snapshot(
    connection: sa.Connection, base: str | None, after: int, held: Snapshot | None = None
) -> Snapshot | None:
    """The newest snapshot of one base, or of any; None if none is newer than ``after``.

    Parameters
    ----------
    connection
        In a transaction that sees one state of the ledger.
    held
        An earlier snapshot; only what is another since is read.
    """
    columns = tables.snapshots.c
    query = _finished().where(columns.sequence > after)
    if base is not None:
        query = query.where(columns.base == base)
    return _read(connection, query.order_by(columns.sequence.desc()).limit(1), held)


def snapshot_numbered(connection: sa.Connection, sequence: int) -> Snapshot | None:
    """A snapshot by its number; None if it is no longer kept."""
    columns = tables.snapshots.c
    return _read(connection, _finished().where(columns.sequence == sequence))


def nearest_number(connection: sa.Connection, sequence: int) -> int | None:
    """Number of the newest kept snapshot whose number is not above one; None if there is none."""
    columns = tables.snapshots.c
    mine = (columns.sequence <= sequence) & (columns.base != UNFINISHED)
    query = sa.select(columns.sequence).where(mine).order_by(columns.sequence.desc()).limit(1)
    return connection.execute(query).scalar()


def _finished() -> sa.Select[Any]:
    return sa.select(tables.snapshots).where(tables.snapshots.c.base != UNFINISHED)


def _read(
    connection: sa.Connection, query: sa.Select[Any], held: Snapshot | None = None
) -> Snapshot | None:
    row = connection.execute(query).first()
    if row is None:
        return None
    note, numbers = unpack(row.payload)
    digests = note.pop(PARTS, {})
    of_rows = {name: digests.pop(name) for name in [*digests] if name.startswith(ROWS)}
    before = held.parts if held is not None else {}
    parts = {name: before[name] for name in digests if before.get(name, ("",))[0] == digests[name]}
    contents = _contents(connection, [digests[name] for name in digests.keys() - parts])
    parts |= {name: (one, contents[one]) for name, one in digests.items() if name not in parts}
    for name, (_, content) in parts.items():
        if name == NAMES:
            note |= content[0]
        else:
            numbers[name] = content[1]["part"]
    same = all(parts.get(name) is before[name] for name in before) and len(before) == len(parts)
    like, places = held.model if held is not None and same else None, None
    if row.since is not None:
        if like and held and held.since == row.since and held.sequence <= row.sequence:
            places, rows = _changed_rows(connection, note, held.sequence + 1, row.sequence)
        else:
            rows = _rows(connection, row, note, of_rows)
        numbers |= from_rows(note[LAYOUT], rows)
    return Snapshot(row.sequence, row.base, of_parts(note, numbers, like, places), row.since, parts)


def _contents(
    connection: sa.Connection, digests: Iterable[str]
) -> dict[str, tuple[dict[str, Any], Any]]:
    """Note and arrays of some parts, by their digest."""
    columns = tables.snapshot_parts.c
    query = sa.select(columns.digest, columns.payload).where(columns.digest.in_([*digests]))
    return {part.digest: unpack(part.payload) for part in connection.execute(query)}


def _rows(
    connection: sa.Connection,
    snapshot: sa.Row[Any],
    note: Mapping[str, Any],
    of_rows: Mapping[str, str],
) -> Bytes:
    """Rows of all actions of a snapshot, shape (n_actions, n_bytes)."""
    rows = np.zeros((len(note["actions"]), row_bytes(note[LAYOUT])), dtype=np.uint8)
    begin, contents = 0, _contents(connection, of_rows.values())
    for number in range(len(of_rows)):
        found = contents[of_rows[f"{ROWS} {number}"]][1]["part"]
        rows[begin : begin + len(found)] = found
        begin += len(found)
    places, changed = _changed_rows(connection, note, snapshot.since, snapshot.sequence)
    rows[places] = changed
    return rows


def _changed_rows(
    connection: sa.Connection, note: Mapping[str, Any], first: int, last: int
) -> tuple[Indices, Bytes]:
    """The newest row of each action in some snapshots: places of the actions, and their rows.

    Shapes (n,) and (n, n_bytes).
    """
    columns = tables.snapshot_actions.c
    newest = (
        sa.select(columns.action_id, sa.func.max(columns.sequence).label("sequence"))
        .where(columns.sequence >= first, columns.sequence <= last)
        .group_by(columns.action_id)
        .subquery()
    )
    query = sa.select(columns.action_id, columns.payload).join(
        newest,
        (newest.c.action_id == columns.action_id) & (newest.c.sequence == columns.sequence),
    )
    place = {action: number for number, action in enumerate(note["actions"])}
    found = [(place[name], payload) for name, payload in connection.execute(query)]
    rows = np.frombuffer(b"".join(payload for _, payload in found), dtype=np.uint8)
    places = np.array([number for number, _ in found], dtype=np.intp)
    return places, rows.reshape(len(found), row_bytes(note[LAYOUT]))
