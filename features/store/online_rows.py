"""Feast's SQLite online store, read in one question for all views.

Feast asks for each view apart, and makes a `datetime` of every row's time, which nobody reads: two
thirds of what knowing a customer costs. Only reading is done here; Feast alone writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class OnlineRows:
    """The rows of some tables of one file.

    Parameters
    ----------
    path
        Where Feast keeps its online store.
    tables
        Those of the views, named by Feast: project and view.
    """

    def __init__(self, path: Path, tables: Sequence[str]) -> None:
        # Several threads read; SQLite lets one after the other.
        self._opened = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        each = (
            f'SELECT feature_name, value FROM "{name}" WHERE entity_key = ?1' for name in tables
        )
        self._question = " UNION ALL ".join(each)

    def of(self, key: bytes) -> list[tuple[str, bytes]]:
        """Names and values, as Feast has serialised both key and values, in the order of tables.

        Raises
        ------
        sqlite3.Error
            If there is no such file or table, or it cannot be read.
        """
        return self._opened.execute(self._question, (key,)).fetchall()


def plain(value: Any) -> str | list[float] | None:
    """What Feast has packed: a text, a state, or nothing."""
    kind = value.WhichOneof("val")
    if kind == "double_list_val":
        return list(value.double_list_val.val)
    return str(value.string_val) if kind == "string_val" else None
