"""Deletes snapshots of the bandit as they grow older, in small pieces.

The newest `NEWEST` are kept; of the earlier ones the last of each hour for two days, of each day
for twice the longest attribution window, and of each month later. What was believed of a decision's
candidates is kept with the decision, so only explanations read a snapshot of its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa

from features.ledger import tables
from serving.models.snapshots import UNFINISHED

NEWEST = 200
HOURLY = timedelta(days=2)
AT_ONCE = 10  # snapshots that are deleted in one transaction, at most
ROWS_AT_ONCE = 100  # rows of actions; no further snapshot is deleted after so many
BYTES_AT_ONCE = 1024 * 1024  # of payloads; one of an earlier release has all numbers of all actions
PARTS_AT_ONCE = 8

Published = tuple[int, datetime, str]  # number, time and base of a snapshot


def thin_snapshots(connection: sa.Connection, chosen: Sequence[int]) -> int:
    """Delete some of the snapshots that are too many, and what no other snapshot has of theirs.

    Parameters
    ----------
    chosen
        Numbers of `superfluous`, the oldest first. They are chosen before the transaction: a home
        of an earlier release has thousands of snapshots, and every decision waits meanwhile. What
        is too many remains so.

    Returns
    -------
    Number of the snapshots that were deleted.
    """
    with _without_overwriting(connection):
        return _delete(connection, chosen)


def read_published(connection: sa.Connection) -> list[Published]:
    """Read number, time and base of all snapshots, in the order of their numbers."""
    columns = tables.snapshots.c
    query = sa.select(columns.sequence, columns.published_at, columns.base)
    return sorted((row.sequence, row.published_at, row.base) for row in connection.execute(query))


@contextmanager
def _without_overwriting(connection: sa.Connection) -> Iterator[None]:
    """Do not overwrite pages of SQLite that become free: a model is no customer's data.

    Overwriting them takes as long as writing the rows did, while every decision waits.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    connection.exec_driver_sql("PRAGMA secure_delete=FAST")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _delete(connection: sa.Connection, chosen: Sequence[int]) -> int:
    """Delete the first of some snapshots; return how many were deleted."""
    columns = tables.snapshots.c
    deleted: list[int] = []
    n_rows = n_bytes = 0
    for sequence in chosen[:AT_ONCE]:
        if n_rows >= ROWS_AT_ONCE or n_bytes >= BYTES_AT_ONCE:
            break
        mine = columns.sequence == sequence
        length = connection.execute(sa.select(sa.func.length(columns.payload)).where(mine)).scalar()
        if length is None:  # another learner has deleted it
            continue
        connection.execute(tables.snapshots.delete().where(mine))
        before = sa.select(sa.func.max(columns.sequence)).where(columns.sequence < sequence)
        after = sa.select(sa.func.min(columns.sequence)).where(columns.sequence > sequence)
        around = connection.execute(before).scalar() or 0, connection.execute(after).scalar_one()
        n_rows += _delete_rows(connection, *around)
        n_bytes += length
        deleted.append(sequence)
    if deleted:
        _delete_parts(connection, deleted)
    return len(deleted)


def superfluous(found: Sequence[Published], now: datetime, longest_days: float) -> list[int]:
    """Numbers of the snapshots that are too many, the oldest first.

    Parameters
    ----------
    found
        All snapshots by their number. Those of one base are thinned apart from those of others.
        One that was not finished before a later one was, never will be.
    """
    daily = timedelta(days=2 * longest_days)
    last: dict[tuple[str, str], int] = {}
    for sequence, at, base in found:
        age = now - at
        period = "%Y-%m-%d %H" if age < HOURLY else "%Y-%m-%d" if age < daily else "%Y-%m"
        last[base, at.strftime(period)] = sequence
    finished = [sequence for sequence, _, base in found if base != UNFINISHED]
    kept = {*last.values(), *finished[-NEWEST:]}
    ended = range(finished[-1] if finished else 0)
    return [
        sequence
        for sequence, _, base in found
        if (sequence in ended if base == UNFINISHED else sequence not in kept)
    ]


def _delete_rows(connection: sa.Connection, before: int, after: int) -> int:
    """Delete the rows of actions between two snapshots in a row that neither of them has."""
    rows, snapshots = tables.snapshot_actions.c, tables.snapshots.c
    whole = sa.select(snapshots.since).where(snapshots.sequence == after)
    since = connection.execute(whole).scalar_one() or 0
    query = sa.select(rows.sequence, rows.action_id).where(
        rows.sequence > before, rows.sequence <= after
    )
    later: set[str] = set()
    unused = []
    for sequence, action_id in sorted(map(tuple, connection.execute(query)), reverse=True):
        if sequence < after and (sequence < since or action_id in later):
            unused.append({"number": sequence, "action": action_id})
        later.add(action_id)
    if unused:
        this = (rows.sequence == sa.bindparam("number")) & (
            rows.action_id == sa.bindparam("action")
        )
        connection.execute(tables.snapshot_actions.delete().where(this), unused)
    return len(unused)


def _delete_parts(connection: sa.Connection, deleted: Sequence[int]) -> None:
    """Delete parts that no snapshot has; the others are deleted the next time if they are many."""
    parts, uses = tables.snapshot_parts.c, tables.snapshot_part_uses.c
    snapshots = tables.snapshots.c
    used = snapshots.sequence.between(uses.first_sequence, uses.last_sequence)
    connection.execute(
        tables.snapshot_part_uses.delete().where(
            uses.first_sequence <= max(deleted),
            uses.last_sequence >= min(deleted),
            ~sa.exists(sa.select(snapshots.sequence).where(used)),
        )
    )
    unnamed = sa.except_(sa.select(parts.digest), sa.select(uses.digest))
    digests = connection.execute(unnamed).scalars().all()
    if not digests:
        return
    # A part of an earlier release is named by its last snapshot only.
    earlier = sa.exists(
        sa.select(snapshots.sequence).where(snapshots.sequence <= parts.last_sequence)
    )
    query = sa.select(parts.digest).where(parts.digest.in_(digests), ~earlier).limit(PARTS_AT_ONCE)
    gone = connection.execute(query).scalars().all()
    connection.execute(tables.snapshot_parts.delete().where(parts.digest.in_(gone)))
