"""Keeps the packed rows of rewards in memory, and reads only those that changed since.

Reading a hundred thousand rows takes the database and its driver longer than all the sums that
follow. Each row has the number of the step that wrote it, so a reader asks for later ones only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.statements import Statement

MOST_BYTES = 200_000_000  # kept in memory; of a larger table all rows are read each time
CUSTOMERS = 500  # rows given at a time: what they hold fits into the processor's cache

_COLUMNS = tables.reward_days.c
_DIFFER_US = sa.type_coerce(_COLUMNS.windows_differ_until, sa.BigInteger)
_NOW_US = sa.bindparam("now", type_=sa.BigInteger)
_WRITTEN_AFTER = Statement(
    sa.select(
        _COLUMNS.customer_id,
        _COLUMNS.days,
        sa.case((_DIFFER_US > _NOW_US, _COLUMNS.window_ends)),
        _COLUMNS.unknown_actions,
        _COLUMNS.step,
    ).where(_COLUMNS.step > sa.bindparam("step", type_=sa.BigInteger))
)
_COUNT = Statement(sa.select(sa.func.count()).select_from(tables.reward_days))


class PackedRow(NamedTuple):
    """The packed days of a customer.

    Attributes
    ----------
    window_ends : bytes or None
        None if no row of the customer has windows that end at different times from now on.
    unknown_actions : str or None
        JSON.
    """

    customer_id: str
    days: bytes
    window_ends: bytes | None
    unknown_actions: str | None
    step: int

    @property
    def size(self) -> int:
        """Bytes of what is packed."""
        return len(self.days) + len(self.window_ends or b"")


def stream_rows(
    connection: sa.Connection, now_us: int, step: int = -1
) -> Iterator[list[PackedRow]]:
    """Read the rows that were written after a step, some hundred at a time."""
    for some in _WRITTEN_AFTER.batches(connection, {"step": step, "now": now_us}, CUSTOMERS):
        yield list(map(PackedRow._make, some))


class KeptRows:
    """The packed rows of one ledger, kept for the requests of one process."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rows: dict[str, PackedRow] = {}
        self._step, self._now_us, self._bytes = -1, 0, 0
        self._lock = threading.Lock()

    def batches(self, connection: sa.Connection, now_us: int) -> Iterator[list[PackedRow]]:
        """Give all rows that the transaction sees, or newer ones, some hundred at a time."""
        with self._lock:
            rows = self._refreshed(connection, now_us) if self._most_bytes else None
        if rows is None:
            yield from stream_rows(connection, now_us)
            return
        for begin in range(0, len(rows), CUSTOMERS):
            yield rows[begin : begin + CUSTOMERS]

    def _refreshed(self, connection: sa.Connection, now_us: int) -> list[PackedRow] | None:
        """The rows of now; None if there are too many to keep, from then on for good."""
        if now_us < self._now_us:  # windows that have ended since were not read
            self._forget()
        self._read(connection, now_us)
        [(count,)] = _COUNT.rows(connection, {})
        if count != len(self._rows):  # some were deleted
            self._forget()
            self._read(connection, now_us)
        if self._bytes <= self._most_bytes:
            return list(self._rows.values())
        self._forget()
        self._most_bytes = 0
        return None

    def _read(self, connection: sa.Connection, now_us: int) -> None:
        newest = self._step
        for some in stream_rows(connection, now_us, self._step):
            for row in some:
                earlier = self._rows.get(row.customer_id)
                self._bytes += row.size - (earlier.size if earlier else 0)
                self._rows[row.customer_id] = row
                newest = max(newest, row.step)
        self._step, self._now_us = newest, now_us

    def _forget(self) -> None:
        self._rows, self._step, self._bytes = {}, -1, 0
