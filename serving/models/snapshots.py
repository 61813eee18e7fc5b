"""Snapshots of the bandit in the ledger: what the learner publishes, servers swap in, replay finds.

A snapshot is a reward model. What of it seldom changes, the encoder and the trees, is kept once for
all snapshots that share it: thousands are kept, so that decisions can be repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from training.bandit.reward_model import LASTING, RewardModel
from training.bandit.serialization import pack, unpack

KEPT = 10_000  # snapshots
LEFT_OUT = "parts"  # in the note of a snapshot: digests of what is kept apart, by name


class Snapshot(NamedTuple):
    """A published reward model."""

    sequence: int
    base: str
    model: RewardModel


class PackedModel(NamedTuple):
    """A reward model made ready to be published, outside of any transaction."""

    payload: bytes
    parts: Mapping[str, bytes]


def pack_model(model: RewardModel) -> PackedModel:
    """Take apart what is kept once."""
    note, arrays = unpack(model.to_bytes())
    apart = {name: pack({}, part=arrays.pop(name)) for name in LASTING if name in arrays}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in apart.items()}
    parts = {digests[name]: content for name, content in apart.items()}
    return PackedModel(pack({**note, LEFT_OUT: digests}, **arrays), parts)


def publish(connection: sa.Connection, base: str, ready: PackedModel, now: datetime) -> int:
    """Append a snapshot, let go of those that are too old, and say which number it has."""
    insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
    row = {"base": base, "published_at": now, "payload": ready.payload}
    sequence: int = connection.execute(insert, row).scalar_one()
    columns = tables.snapshot_parts.c
    for digest, content in ready.parts.items():
        used = tables.snapshot_parts.update().where(columns.digest == digest)
        if not connection.execute(used.values(last_sequence=sequence)).rowcount:
            new = {"digest": digest, "last_sequence": sequence, "payload": content}
            connection.execute(tables.snapshot_parts.insert(), new)
    oldest = sequence - KEPT
    for table, column in (
        (tables.snapshots, tables.snapshots.c.sequence),
        (tables.snapshot_parts, columns.last_sequence),
    ):
        connection.execute(table.delete().where(column <= oldest))
    return sequence


def newest_snapshot(connection: sa.Connection, base: str | None, after: int) -> Snapshot | None:
    """The latest snapshot, of one base or of any; None if none is newer than ``after``."""
    columns = tables.snapshots.c
    query = sa.select(tables.snapshots).where(columns.sequence > after)
    if base is not None:
        query = query.where(columns.base == base)
    return _read(connection, query.order_by(columns.sequence.desc()).limit(1))


def snapshot_numbered(connection: sa.Connection, sequence: int) -> Snapshot | None:
    """A snapshot by its number; None if it is no longer kept."""
    columns = tables.snapshots.c
    return _read(connection, sa.select(tables.snapshots).where(columns.sequence == sequence))


def _read(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> Snapshot | None:
    row = connection.execute(query).first()
    if row is None:
        return None
    note, arrays = unpack(row.payload)
    digests = note.pop(LEFT_OUT, {})
    columns = tables.snapshot_parts.c
    wanted = sa.select(columns.digest, columns.payload).where(columns.digest.in_(digests.values()))
    found = {part.digest: part.payload for part in connection.execute(wanted)}
    for name, digest in digests.items():
        arrays[name] = unpack(found[digest])[1]["part"]
    return Snapshot(row.sequence, row.base, RewardModel.from_bytes(pack(note, **arrays)))
