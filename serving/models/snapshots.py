"""Snapshots of the bandit in the ledger: the learner publishes them, servers and replay read them.

A snapshot is a reward model. Its encoder, axes and trees seldom change, so they are stored once for
all snapshots that share them. Thousands of snapshots are kept, so that decisions can be repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from training.arrays import pack, unpack
from training.bandit.reward_model import LASTING, RewardModel

KEPT = 10_000  # snapshots; older ones are deleted
PARTS = "parts"  # key in the note of a snapshot: digests of the parts that are stored apart


class Snapshot(NamedTuple):
    """A published reward model."""

    sequence: int
    base: str
    model: RewardModel


class PackedModel(NamedTuple):
    """A serialized reward model, ready to be published.

    ``parts`` holds the encoder, the axes and the trees by their digest.
    """

    payload: bytes
    parts: Mapping[str, bytes]


def pack_model(model: RewardModel) -> PackedModel:
    """Serialize a reward model; this takes long, so call it outside of any transaction."""
    note, arrays = unpack(model.to_bytes())
    shared = {name: pack({}, part=arrays.pop(name)) for name in LASTING if name in arrays}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in shared.items()}
    parts = {digests[name]: content for name, content in shared.items()}
    return PackedModel(pack({**note, PARTS: digests}, **arrays), parts)


def publish(connection: sa.Connection, base: str, packed: PackedModel, now: datetime) -> int:
    """Append a snapshot, delete those beyond `KEPT`, and return the number of the new one."""
    insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
    row = {"base": base, "published_at": now, "payload": packed.payload}
    sequence: int = connection.execute(insert, row).scalar_one()
    columns = tables.snapshot_parts.c
    for digest, content in packed.parts.items():
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
    """The newest snapshot of one base, or of any; None if none is newer than ``after``."""
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
    digests = note.pop(PARTS, {})
    columns = tables.snapshot_parts.c
    query_parts = sa.select(columns.digest, columns.payload).where(
        columns.digest.in_(digests.values())
    )
    found = {part.digest: part.payload for part in connection.execute(query_parts)}
    for name, digest in digests.items():
        arrays[name] = unpack(found[digest])[1]["part"]
    return Snapshot(row.sequence, row.base, RewardModel.from_bytes(pack(note, **arrays)))
