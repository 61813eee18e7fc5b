"""Publishes snapshots of the bandit: of each one only what is another than in the last one.

`SnapshotPublisher.pack` serialises a model outside of the transaction in which it is published,
because that one holds the lock that every decision waits for. What is large is written before, in
small transactions; nobody reads it until the snapshot names it. So a snapshot is whole at every
moment, however the learner ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.examination import Looks
from serving.models.model_arrays import LASTING, parts_of
from serving.models.snapshot_rows import Bytes, Layout, changed_rows, to_rows
from serving.models.snapshots import LAYOUT, NAMES, PARTS, ROWS, UNFINISHED
from serving.models.thinning import read_published, superfluous, thin_snapshots
from training.arrays import pack
from training.bandit.bandit_state import BanditState
from training.bandit.reward_model import RewardModel

PART_BYTES = 256 * 1024  # are written in one transaction, at most; what is more is written before
WHOLE_SHARE = 0.75  # of the rows: if more have changed, and are many, all are written as parts

_TEXTS = ("actions", "features", "channels", "trees")  # of the note of a model, kept as a part
_SHARED = (*LASTING, "prior", "prior_weight")  # arrays that are kept as parts


class SnapshotConflict(RuntimeError):
    """Another learner has published since a snapshot was packed."""


class _Whole(NamedTuple):
    """The content of a snapshot, with which the next one is compared.

    Attributes
    ----------
    frame
        Base, actions and layout; snapshots in which they differ share no rows.
    since
        Number of the snapshot that was written whole; None: this one.
    parts : digests by name
    of_rows : digests by name
        Of the parts with the rows as they were in the snapshot that was written whole.
    """

    frame: tuple[str, tuple[str, ...], Layout]
    rows: Bytes
    since: int | None
    parts: Mapping[str, str]
    of_rows: Mapping[str, str]


class PackedSnapshot(NamedTuple):
    """A snapshot, ready to be published.

    Attributes
    ----------
    payload
        What is another in each snapshot.
    number
        Of the snapshot, if it is reserved: rows were written under it before. Else None.
    changed : bytes by action
        Rows that are written with the snapshot.
    contents : bytes by digest
        Of the parts that the last snapshot does not have.
    follows
        Number and time of the last snapshot; None: this one shares no rows with it.
    """

    whole: _Whole
    payload: bytes
    number: int | None
    changed: Mapping[str, bytes]
    contents: Mapping[str, bytes]
    follows: tuple[int, datetime] | None


class SnapshotPublisher:
    """Publishes the snapshots of one learner.

    Examples
    --------
    >>> packed = publisher.pack(state, catalog, base)
    >>> number = ledger.write_now(lambda c: publisher.publish(c, base, packed, now))
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._last: tuple[tuple[int, datetime], _Whole] | None = None

    def pack(self, state: BanditState, catalog: Catalog, base: str, looks: Looks) -> PackedSnapshot:
        """Serialise the model of a state for a catalogue, with its looks; see `pack_model`."""
        model = state.model(catalog.priors, catalog.groups_of, weights_first=True)
        return self.pack_model(replace(model, looks=looks), base)

    def pack_model(self, model: RewardModel, base: str) -> PackedSnapshot:
        """Serialise a model, and write what is large of it, in transactions of its own.

        This takes long, so call it outside of any transaction.
        """
        note, numbers = parts_of(model)
        layout, rows = to_rows(numbers)
        contents = {name: pack({}, part=numbers[name]) for name in _SHARED if name in numbers}
        contents[NAMES] = pack({name: note.pop(name) for name in _TEXTS})
        parts = {name: _digest(content) for name, content in contents.items()}
        whole = _Whole((base, model.actions, layout), rows, None, parts, {})
        last, follows = self._compared(whole.frame)
        chosen = [*range(len(rows))]
        if last is not None:
            chosen = changed_rows(rows, last.rows).tolist()
            whole = whole._replace(since=last.since, of_rows=last.of_rows)
        n_bytes, are_many = len(chosen) * rows.shape[1], len(chosen) > WHOLE_SHARE * len(rows)
        if n_bytes > PART_BYTES and (last is None or are_many):
            in_parts = _in_parts(rows)
            of_rows = {name: _digest(content) for name, content in in_parts.items()}
            whole = whole._replace(since=None, of_rows=of_rows)
            contents, chosen, n_bytes = contents | in_parts, [], 0
        known = {*last.parts.values()} if last is not None else {}
        new = {_digest(content): content for content in contents.values()}
        new = {digest: content for digest, content in new.items() if digest not in known}
        own = {name: numbers[name] for name in ("counted", "rate", "expert_weights")}
        payload = pack(note | {PARTS: {**parts, **whole.of_rows}, LAYOUT: layout}, **own)
        changed = {model.actions[number]: rows[number].tobytes() for number in chosen}
        number = None
        if sum(map(len, new.values())) + n_bytes > PART_BYTES:
            number = self._write_before(new, changed)
            changed = {} if number is not None else changed
        return PackedSnapshot(whole, payload, number, changed, new, follows)

    def publish(
        self, connection: sa.Connection, base: str, packed: PackedSnapshot, now: datetime
    ) -> int:
        """Append a snapshot, and return its number.

        Raises
        ------
        SnapshotConflict
            If another learner has published since the snapshot was packed.
        """
        newest = _newest(connection)
        number = packed.number
        is_late = newest is not None and number is not None and newest[0] > number
        if is_late or (packed.follows is not None and newest != packed.follows):
            raise SnapshotConflict("another learner has published to this ledger")
        whole, sequence = packed.whole, packed.number
        if sequence is None:
            sequence = _reserve(connection)
        since = sequence if whole.since is None else whole.since
        row = {"base": base, "published_at": now, "payload": packed.payload, "since": since}
        mine = tables.snapshots.c.sequence == sequence
        connection.execute(tables.snapshots.update().where(mine).values(row))
        _write_rows(connection, sequence, packed.changed)
        _write_parts(connection, packed.contents)
        digests = {*whole.parts.values(), *whole.of_rows.values()}
        _note_uses(connection, digests, sequence, newest[0] if newest is not None else 0)
        self._last = (sequence, now), whole._replace(since=since)
        return sequence

    def thin(self, catalog: Catalog, now: datetime) -> int:
        """Delete some snapshots that are too many, and return their number; see `thin_snapshots`.

        Reads first, so that the lock is taken only if there are some.
        """
        days = max((action.attribution_days for action in catalog.actions.values()), default=0.0)
        chosen = superfluous(self._ledger.read(read_published), now, days)
        return self._ledger.write_now(partial(thin_snapshots, chosen=chosen)) if chosen else 0

    def _write_before(
        self, contents: Mapping[str, bytes], changed: Mapping[str, bytes]
    ) -> int | None:
        """Write parts and rows, some in each transaction; return the number that rows have.

        It is reserved by a snapshot without a base, which nobody reads. Until this one is
        published, the publisher forgets the last one: the rows are between them.
        """
        for digest, content in contents.items():
            self._ledger.write_now(partial(_write_parts, contents={digest: content}))
        if not changed:
            return None
        self._last = None
        number = self._ledger.write_now(_reserve)
        rows = [*changed.items()]
        step = max(1, PART_BYTES // len(rows[0][1]))
        for start in range(0, len(rows), step):
            some = dict(rows[start : start + step])
            self._ledger.write_now(partial(_write_rows, sequence=number, changed=some))
        return number

    def forget(self) -> None:
        """Write the next snapshot whole: the last one may not have been committed."""
        self._last = None

    def _compared(
        self, frame: tuple[str, tuple[str, ...], Layout]
    ) -> tuple[_Whole | None, tuple[int, datetime] | None]:
        """The last snapshot, if the next one can share rows with it, with its number and time."""
        if self._last is None:
            return None, None
        follows, last = self._last
        if last.frame != frame or self._ledger.read(_newest) != follows:
            return None, None
        return last, follows


def _reserve(connection: sa.Connection) -> int:
    """Append a snapshot that nobody reads yet, and return its number."""
    insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
    row = {"base": UNFINISHED, "published_at": tables.EPOCH, "payload": b""}  # until it is
    sequence: int = connection.execute(insert, row).scalar_one()
    return sequence


def _write_rows(connection: sa.Connection, sequence: int, changed: Mapping[str, bytes]) -> None:
    """Write rows of actions under the number of a snapshot."""
    rows = [
        {"action_id": action, "sequence": sequence, "payload": content}
        for action, content in changed.items()
    ]
    if rows:
        connection.execute(tables.snapshot_actions.insert(), rows)


def _newest(connection: sa.Connection) -> tuple[int, datetime] | None:
    """Number and time of the newest snapshot."""
    columns = tables.snapshots.c
    query = sa.select(columns.sequence, columns.published_at).where(columns.base != UNFINISHED)
    row = connection.execute(query.order_by(columns.sequence.desc()).limit(1)).first()
    return None if row is None else (row.sequence, row.published_at)


def _in_parts(rows: Bytes) -> dict[str, bytes]:
    """Serialise rows in parts of `PART_BYTES`, by the names of these."""
    step = max(1, PART_BYTES // rows.shape[1])
    starts = range(0, len(rows), step)
    return {
        f"{ROWS} {number}": pack({}, part=rows[start : start + step])
        for number, start in enumerate(starts)
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_parts(connection: sa.Connection, contents: Mapping[str, bytes]) -> None:
    """Write the parts that are not there yet."""
    if not contents:
        return
    columns = tables.snapshot_parts.c
    query = sa.select(columns.digest).where(columns.digest.in_([*contents]))
    there = {*connection.execute(query).scalars()}
    rows: list[dict[str, Any]] = [
        {"digest": digest, "last_sequence": 0, "payload": content}
        for digest, content in contents.items()
        if digest not in there
    ]
    if rows:
        connection.execute(tables.snapshot_parts.insert(), rows)


def _note_uses(connection: sa.Connection, digests: set[str], sequence: int, before: int) -> None:
    """Note which parts the newest snapshot has, and which ones it does not have any more."""
    columns = tables.snapshot_part_uses.c
    query = sa.select(columns.digest).where(columns.last_sequence.is_(None))
    open_ones = {*connection.execute(query).scalars()}
    if ended := open_ones - digests:
        these = columns.digest.in_([*ended]) & columns.last_sequence.is_(None)
        update = tables.snapshot_part_uses.update().where(these)
        connection.execute(update.values(last_sequence=before))
    if begun := sorted(digests - open_ones):
        rows = [{"digest": digest, "first_sequence": sequence} for digest in begun]
        connection.execute(tables.snapshot_part_uses.insert(), rows)
