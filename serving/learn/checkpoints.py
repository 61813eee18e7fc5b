"""Keeps the learner's sums in files of the home, and in the ledger the steps after them.

The files are written outside of the ledger's lock. A checkpoint holds the state as of one step. It
is valid if the ledger has that step with the same token: a file of another ledger, or of a ledger
that was replaced by its backup, is not. The table `learned_steps` has the steps after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from training.arrays import Floats, pack, unpack
from training.bandit.bandit_state import OutcomeBatch

FOLDER = "learner"  # in the home
KEPT = 2  # so that there is one if the last one is damaged
_NAME = re.compile(r"checkpoint-([0-9]{12})")
_UNFINISHED = ".unfinished"
DROPPED_AT_ONCE = 5  # steps that one transaction deletes: some 0.5 MB
_STEPS = tables.learned_steps.c


class StateCheckpoint(NamedTuple):
    """The head of a checkpoint.

    Attributes
    ----------
    path : Path
    revision : int
        The number of the learner's step after which the state was like this.
    token : str
        The random name of that step.
    base : str
        The version of the bandit on which the state builds.
    digest : str
        BLAKE2b of the serialised state.
    """

    path: Path
    revision: int
    token: str
    base: str
    digest: str


class CheckpointFolder:
    """Writes and finds checkpoints; only their owner may read them.

    Parameters
    ----------
    path : Path or None
        Created at the first checkpoint. None: none are kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()  # two threads of the learner write checkpoints

    @property
    def exists(self) -> bool:
        """True if checkpoints are kept."""
        return self._path is not None

    def write(self, revision: int, token: str, base: str, payload: bytes) -> None:
        """Write a checkpoint, and remove those before the last two.

        A process that is killed leaves the earlier ones as they were.

        Raises
        ------
        OSError
            If it cannot be written, as when the disk is full.
        """
        if self._path is None:
            return
        digest = hashlib.blake2b(payload).hexdigest()
        head = {"revision": revision, "token": token, "base": base, "digest": digest}
        with self._lock:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in self._path.glob(f"*{_UNFINISHED}"):
                old.unlink(missing_ok=True)
            paths = self._paths()
            number = 1 + max((int(path.name[-12:]) for path in paths), default=0)
            path = self._path / f"checkpoint-{number:012}"
            _write_whole(path, json.dumps(head).encode() + b"\n", payload)
            _keep_names(self._path)
            for old in [*paths, path][:-KEPT]:
                old.unlink(missing_ok=True)

    def newest_first(self) -> Iterator[StateCheckpoint]:
        """The checkpoints whose head can be read, the last written first."""
        for path in reversed(self._paths()):
            try:
                with path.open("rb") as file:
                    head = json.loads(file.readline())
                yield StateCheckpoint(path, **head)
            except (OSError, ValueError, TypeError):
                continue

    def _paths(self) -> list[Path]:
        """The finished checkpoints in the order in which they were written."""
        if self._path is None:
            return []
        return sorted(one for one in self._path.glob("checkpoint-*") if _NAME.fullmatch(one.name))


def read_checkpoint(checkpoint: StateCheckpoint) -> bytes | None:
    """Read the serialised state; None if it is damaged."""
    try:
        with checkpoint.path.open("rb") as file:
            file.readline()
            payload = file.read()
    except OSError:
        return None
    return payload if hashlib.blake2b(payload).hexdigest() == checkpoint.digest else None


def _write_whole(path: Path, *parts: bytes) -> None:
    """Write a file that only its owner may read; it has its name once it is on the disk."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    opened = os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _keep_names(folder: Path) -> None:
    """Wait until the names of a folder's files are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Steps in the ledger ----------------------------------------------------------------------------


def pack_outcomes(outcomes: OutcomeBatch) -> bytes:
    """Serialise outcomes exactly, in few bytes; inverse of `unpack_outcomes`.

    They are of no customer that could be told: there is no id among them.
    """
    actions, channels = (sorted({*texts}) for texts in (outcomes.actions, outcomes.channels))
    n_experts = outcomes.expert_predictions.shape[1]
    note = {"actions": actions, "channels": channels, "shape": [*outcomes.rows.shape, n_experts]}
    numbers = {
        "action": np.array([actions.index(one) for one in outcomes.actions], dtype=np.float64),
        "channel": np.array([channels.index(one) for one in outcomes.channels], dtype=np.float64),
        "acceptance": outcomes.acceptance,
        "count": outcomes.count,
        "at": outcomes.at,
        # Equal bytes of one feature side by side take a third of the space.
        "rows": _shuffled(outcomes.rows.T),
        "experts": _shuffled(outcomes.expert_predictions.T),
    }
    return zlib.compress(pack(note, **numbers), level=1)


def unpack_outcomes(payload: bytes) -> OutcomeBatch:
    """Read what `pack_outcomes` wrote."""
    note, arrays = unpack(zlib.decompress(payload))
    n, n_features, n_experts = note["shape"]
    return OutcomeBatch(
        rows=_unshuffled(arrays["rows"], n_features, n),
        channels=[note["channels"][int(one)] for one in arrays["channel"]],
        actions=[note["actions"][int(one)] for one in arrays["action"]],
        acceptance=arrays["acceptance"],
        count=arrays["count"],
        at=arrays["at"],
        expert_predictions=_unshuffled(arrays["experts"], n_experts, n),
    )


def write_step(connection: sa.Connection, revision: int, token: str, payload: bytes | None) -> None:
    """Append a step.

    Parameters
    ----------
    payload
        The packed outcomes; None: the state was made anew, so only a checkpoint has it.
    """
    row = {"revision": revision, "token": token, "payload": payload}
    tables.upsert(connection, tables.learned_steps, [row])


def read_step_tokens(connection: sa.Connection) -> dict[int, tuple[str, bool]]:
    """Read of each step that is kept, by revision: its token, and if it has outcomes."""
    query = sa.select(_STEPS.revision, _STEPS.token, _STEPS.payload.is_not(None))
    return {
        revision: (token, bool(packed)) for revision, token, packed in connection.execute(query)
    }


def read_outcomes(connection: sa.Connection, revision: int) -> bytes | None:
    """Read the packed outcomes of a step; None if it has none."""
    query = sa.select(_STEPS.payload).where(_STEPS.revision == revision)
    found: bytes | None = connection.execute(query).scalar()
    return found


def drop_steps(ledger: Ledger, revision: int) -> None:
    """Delete the steps before one, in small pieces, and the outcomes of that one.

    That one stays, so that a checkpoint of it can be told from one of another ledger.
    """

    def drop(connection: sa.Connection) -> bool:
        query = sa.select(_STEPS.revision).where(_STEPS.revision < revision)
        old = connection.execute(query.order_by(_STEPS.revision).limit(DROPPED_AT_ONCE)).scalars()
        if last := max(old, default=0):
            connection.execute(tables.learned_steps.delete().where(_STEPS.revision <= last))
            return True
        mine = (_STEPS.revision == revision) & _STEPS.payload.is_not(None)
        connection.execute(tables.learned_steps.update().where(mine).values(payload=None))
        return False

    while ledger.write_now(drop):
        pass


def forgotten_at(connection: sa.Connection) -> datetime | None:
    """Read when a customer was last forgotten, which empties steps; None: never."""
    columns = tables.erasures.c
    query = sa.select(sa.func.max(columns.asked_at), sa.func.max(columns.rows_erased_at))
    times = [at for at in connection.execute(query).one() if at is not None]
    return max(times, default=None)


def _shuffled(array: Floats) -> Floats:
    """The bytes of float64 numbers: all first bytes, then all second ones, and so on."""
    content = np.ascontiguousarray(array, dtype="<f8").view(np.uint8).reshape(-1, 8)
    return np.ascontiguousarray(content.T).ravel()  # type: ignore[return-value]


def _unshuffled(content: Floats, n_columns: int, n_rows: int) -> Floats:
    numbers = np.ascontiguousarray(content.reshape(8, -1).T).view("<f8")
    found: Floats = np.ascontiguousarray(numbers.reshape(n_columns, n_rows).T, dtype=np.float64)
    return found
