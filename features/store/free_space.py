"""Wipes deleted data from the free space of databases while others use them.

SQLite overwrites deleted rows with zeros (``secure_delete``). Two kinds of copies may remain: in
the write-ahead log, which is truncated here, and in the gaps of pages from which SQLite has moved
a row to a neighbouring page before it was deleted. Measured: 3 copies after four runs that each
deleted some 150 of 7,500 rows. ``VACUUM`` wipes the gaps, too. It takes the lock for some 5 ms a
megabyte, so it is done here for small files only; `nba compact` does it for all.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.compaction import truncate_log

AT_ONCE = 8_000_000  # bytes; rewriting a file of so many takes some 40 ms
BRIEF_MS = 20  # a checkpoint that waits for readers holds up writers so long at most


class Storage(NamedTuple):
    """The size of the database, and its free space that new rows will use; in bytes."""

    total: int
    free: int | None  # None: unknown (PostgreSQL)


def measure_storage(connection: sa.Connection) -> Storage:
    """Measure the database of a ledger."""
    if connection.dialect.name != "sqlite":
        size = "SELECT pg_database_size(current_database())"
        return Storage(connection.exec_driver_sql(size).scalar_one(), None)
    pages, free, page_bytes = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("page_count", "freelist_count", "page_size")
    )
    return Storage(pages * page_bytes, free * page_bytes)


def wipe_free_space(engine: sa.Engine, at_most: int = AT_ONCE) -> bool:
    """Wipe deleted data of the ledger without holding up others for long.

    On PostgreSQL a plain ``VACUUM`` makes the space usable again; the bytes are overwritten by
    new rows, or by `nba compact`.

    Parameters
    ----------
    at_most : int, bytes
        A larger SQLite file is not rewritten.

    Returns
    -------
    bool
        Whether no deleted data is left for sure.
    """
    try:
        # Outside of any transaction, which SQLAlchemy would begin.
        with contextlib.closing(engine.raw_connection()) as connection:
            connection.detach()  # its settings are changed below
            cursor = connection.cursor()
            if engine.dialect.name == "sqlite":
                return wipe_sqlite(cursor, at_most)
            names = ", ".join(table.name for table in tables.metadata.sorted_tables)
            cursor.execute(f"VACUUM {names}")
            return False
    except engine.dialect.loaded_dbapi.OperationalError:
        return False


def is_wiped_at_once(connection: sa.Connection) -> bool:
    """Return whether `wipe_free_space` leaves no deleted data: in a small SQLite file."""
    if connection.dialect.name != "sqlite":
        return False
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    page_bytes = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    return bool(pages * page_bytes <= AT_ONCE)


def wipe_sqlite(cursor: Any, at_most: int) -> bool:
    """Truncate the write-ahead log of an SQLite file, and rewrite the file if it is small.

    Returns
    -------
    bool
        Whether no deleted data is left for sure.
    """
    (pages,) = cursor.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = cursor.execute("PRAGMA page_size").fetchone()
    small = bool(pages * page_bytes <= at_most)
    if small:
        try:
            cursor.execute("VACUUM")
        except sqlite3.OperationalError:  # somebody writes for long
            small = False
    return truncate_log(cursor, BRIEF_MS) and small
