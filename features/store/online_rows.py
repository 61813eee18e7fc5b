"""Feast's SQLite online store: rows of all views are read in one query, and erased.

Feast reads each view by itself, and makes a `datetime` of each row's time, which nobody uses. That
is two thirds of the time of reading a customer. Rows are written by Feast alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.ledger.compaction import vacuum
from features.store.free_space import wipe_sqlite

BUSY_S = 0.1  # a decision waits for a lock on the file so long; writers do not lock readers out


class OnlineRows:
    """Reads the rows of some tables of one SQLite file.

    Parameters
    ----------
    path
        The file of Feast's online store.
    tables
        The tables of the views; Feast names them by project and view.
    """

    def __init__(self, path: Path, tables: Sequence[str]) -> None:
        # Several threads read; SQLite lets one after the other.
        self._opened = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        each = (
            f'SELECT feature_name, value FROM "{name}" WHERE entity_key = ?1' for name in tables
        )
        self._query = " UNION ALL ".join(each)

    def of(self, key: bytes) -> list[tuple[str, bytes]]:
        """The names and values of an entity, in the order of the tables.

        Parameters
        ----------
        key
            As Feast serialises it; so are the values.

        Raises
        ------
        sqlite3.Error
            If there is no such file or table, or it cannot be read.
        """
        return self._opened.execute(self._query, (key,)).fetchall()


def plain(value: Any) -> str | list[float] | None:
    """Unpack a value of Feast: a text, a state, or None."""
    kind = value.WhichOneof("val")
    if kind == "double_list_val":
        return list(value.double_list_val.val)
    return str(value.string_val) if kind == "string_val" else None


def use_write_ahead_log(path: Path) -> None:
    """Let readers and a writer of a SQLite file work at the same time; the file keeps the mode."""
    with contextlib.closing(sqlite3.connect(path)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")


def erase_rows(
    path: Path, tables: Sequence[str], keys: Sequence[bytes], at_most: int | None
) -> bool:
    """Delete the rows of some entities, and overwrite their bytes.

    Parameters
    ----------
    keys
        As Feast serialises them.
    at_most : int, bytes
        A larger file is not written anew; some bytes may then remain in its free space. None: a
        file of any size is, and others wait meanwhile.

    Returns
    -------
    bool
        Whether no bytes remain for sure.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as opened:
        opened.execute("PRAGMA secure_delete=ON")
        opened.execute("BEGIN IMMEDIATE")
        for table in tables:
            opened.executemany(
                f'DELETE FROM "{table}" WHERE entity_key = ?', [(key,) for key in keys]
            )
        opened.execute("COMMIT")
        cursor = opened.cursor()
        if at_most is not None:
            return wipe_sqlite(cursor, at_most)
        try:
            return vacuum(cursor)
        except sqlite3.OperationalError:  # somebody writes for long
            return False
