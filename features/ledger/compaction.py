"""Rewrites a database without the deleted data in its free space."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import sqlalchemy as sa

from features.ledger import databases, tables

CHECKPOINTS = 40  # attempts to truncate the log, which a reader or another checkpoint prevents
PAUSE_S = 0.05  # between two attempts
PATIENCE_MS = 1_000  # each waits for readers so long at most
LOOKS = 5  # at the transactions that are older than a rewrite of tables


def compact(engine: sa.Engine) -> bool:
    """Rewrite a database, see `Ledger.compact`."""
    rewrite = vacuum if engine.dialect.name == "sqlite" else _rewrite_tables
    try:
        # Outside of any transaction, which SQLAlchemy would begin.
        with contextlib.closing(engine.raw_connection()) as connection:
            connection.detach()  # its lock timeout is changed below
            return rewrite(connection.cursor())
    except engine.dialect.loaded_dbapi.OperationalError:
        return False  # a long read holds it up; deleted bytes may stay, but others need not wait


def vacuum(cursor: Any) -> bool:
    """Rewrite an SQLite file, see `Ledger.compact`, and truncate its write-ahead log."""
    cursor.execute("VACUUM")
    return truncate_log(cursor, PATIENCE_MS)


def truncate_log(cursor: Any, busy_ms: int) -> bool:
    """Copy the write-ahead log of SQLite into its file, and truncate it.

    An attempt fails at once while another connection copies the log, as it does after a commit.

    Parameters
    ----------
    busy_ms : int
        An attempt waits for readers, and holds up writers, so long at most.

    Returns
    -------
    bool
        False if somebody reads for long: the file and the log may hold what was deleted.
    """
    cursor.execute(f"PRAGMA busy_timeout={busy_ms}")
    for _ in range(CHECKPOINTS):
        # The first checkpoint waits for nobody. It leaves the second one little to do.
        cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        (busy, *_) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        time.sleep(PAUSE_S)
    return False


def _rewrite_tables(cursor: Any) -> bool:
    """Rewrite the tables of PostgreSQL; its write-ahead log and its backups are not changed."""
    names = [table.name for table in tables.metadata.sorted_tables]
    if not _wait_for_readers(cursor):
        return False
    cursor.execute(f"SET lock_timeout = {databases.BUSY_MS}")
    cursor.execute(f"VACUUM (FULL, ANALYZE) {', '.join(names)}")
    return True


def _wait_for_readers(cursor: Any) -> bool:
    """Wait for transactions that still see deleted rows: VACUUM keeps those rows.

    Returns False if some transaction does not end.
    """
    (began,) = cursor.execute("SELECT clock_timestamp()").fetchone()
    older = (
        "SELECT count(*), pg_sleep(0.1) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %s"
    )
    counts = (cursor.execute(older, (began,)).fetchone()[0] for _ in range(LOOKS))
    return any(count == 0 for count in counts)
