"""Keeps account of erasures in the ledger: when they were asked for, and when they were finished.

The keys of a forgotten customer are kept in plain text until the files are clean, and then deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.ledger import tables

RETRY = timedelta(minutes=1)  # between two attempts to clean a file that cannot be read
# Kinds of ids. `HELD`: JSON of a customer and a key of the forgotten one; rows of the key are still
# stored under that customer, after a merge.
KEY, DECISION, HELD = "key", "decision", "held"


@dataclass(frozen=True, slots=True)
class UnfinishedErasure:
    """An erasure whose rows or files are not all clean yet.

    Attributes
    ----------
    keys, decision_ids
        In plain text, as they stand in rows and files.
    problems : mapping
        By name of a file, why it could not be cleaned; empty before the first attempt.
    """

    erasure_id: str
    rows_erased: bool
    tried: bool
    keys: Sequence[str]
    decision_ids: Sequence[str]
    problems: Mapping[str, str]


class ErasureStatus(NamedTuple):
    """The times of an erasure, and the files that could not be cleaned."""

    erasure_id: str
    asked_at: datetime
    finished_at: datetime | None
    problems: Mapping[str, str]

    def __str__(self) -> str:
        """Say how far the erasure is, as half a sentence."""
        if self.finished_at is not None:
            return f"erasure {self.erasure_id} finished at {self.finished_at.isoformat()}"
        if self.problems:
            return f"erasure {self.erasure_id} waits for {', '.join(sorted(self.problems))}"
        return f"erasure {self.erasure_id} is still cleaning files"


def unfinished_erasures(connection: sa.Connection, now: datetime) -> list[UnfinishedErasure]:
    """Read the erasures to continue: new ones, and those whose last attempt is `RETRY` ago."""
    columns = tables.erasures.c
    due = columns.tried_at.is_(None) | (columns.tried_at <= now - RETRY)
    query = sa.select(tables.erasures).where(columns.finished_at.is_(None), due)
    found = []
    for row in connection.execute(query.order_by(columns.asked_at)).all():
        found.append(
            UnfinishedErasure(
                row.erasure_id,
                row.rows_erased_at is not None,
                row.tried_at is not None,
                noted_ids(connection, row.erasure_id, KEY),
                noted_ids(connection, row.erasure_id, DECISION),
                from_json(row.problems),
            )
        )
    return found


def is_erasing_rows(connection: sa.Connection, erasure_id: str) -> bool:
    """Return whether rows of an erasure may be left in the ledger."""
    columns = tables.erasures.c
    unfinished = (columns.erasure_id == erasure_id) & columns.rows_erased_at.is_(None)
    return bool(connection.execute(sa.select(sa.exists().where(unfinished))).scalar())


def note_problems(
    connection: sa.Connection, erasure_id: str, problems: Mapping[str, str], now: datetime
) -> None:
    """Note the files of an erasure that could not be cleaned at ``now``."""
    update_erasures(connection, [erasure_id], tried_at=now, problems=json.dumps(dict(problems)))


def finish_erasures(connection: sa.Connection, erasure_ids: Sequence[str], now: datetime) -> None:
    """Note that erasures are finished, and delete their keys in plain text."""
    update_erasures(connection, erasure_ids, finished_at=now, tried_at=now, problems="{}")
    noted = tables.erasure_keys.c.erasure_id.in_(erasure_ids)
    connection.execute(sa.delete(tables.erasure_keys).where(noted))


def erasure_statuses(
    connection: sa.Connection, where: sa.ColumnElement[bool]
) -> list[ErasureStatus]:
    """Read the status of some erasures, the oldest first."""
    columns = tables.erasures.c
    query = sa.select(columns.erasure_id, columns.asked_at, columns.finished_at, columns.problems)
    found = connection.execute(query.where(where).order_by(columns.asked_at, columns.erasure_id))
    return [ErasureStatus(*row[:3], from_json(row.problems)) for row in found]


def add_erasure(connection: sa.Connection, asked_at: datetime, **values: Any) -> str:
    """Add an erasure and return its new id."""
    erasure_id = os.urandom(8).hex()
    row = {"erasure_id": erasure_id, "asked_at": asked_at, "problems": "{}", **values}
    connection.execute(tables.erasures.insert(), row)
    return erasure_id


def note_ids(connection: sa.Connection, erasure_id: str, kind: str, values: Iterable[str]) -> None:
    """Note keys or decision ids of an erasure in plain text, until it is finished."""
    rows = [{"erasure_id": erasure_id, "kind": kind, "value": value} for value in values]
    if rows:
        tables.insert_new(connection, tables.erasure_keys, rows)


def noted_ids(connection: sa.Connection, erasure_id: str, kind: str) -> list[str]:
    """Read the keys, or the decision ids, of an unfinished erasure."""
    columns = tables.erasure_keys.c
    query = sa.select(columns.value)
    query = query.where(columns.erasure_id == erasure_id, columns.kind == kind)
    return list(connection.execute(query).scalars())


def update_erasures(connection: sa.Connection, erasure_ids: Sequence[str], **values: Any) -> None:
    """Set columns of some erasures."""
    which = tables.erasures.c.erasure_id.in_(erasure_ids)
    connection.execute(sa.update(tables.erasures).where(which).values(**values))
