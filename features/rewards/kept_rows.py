"""Keeps the packed rows of the sums in memory, and reads only those that changed since.

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

_SHOWN, _EVENTS = tables.reward_days.c, tables.event_days.c
_DIFFER_US = sa.type_coerce(_SHOWN.windows_differ_until, sa.BigInteger)
_NOW_US = sa.bindparam("now", type_=sa.BigInteger)
_STEP = sa.bindparam("step", type_=sa.BigInteger)


class Source(NamedTuple):
    """The statements that read a table of packed rows: those after a step, and their number."""

    written_after: Statement
    number: Statement


REWARD_ROWS = Source(
    Statement(
        sa.select(
            _SHOWN.customer_id,
            _SHOWN.days,
            sa.case((_DIFFER_US > _NOW_US, _SHOWN.window_ends)),
            _SHOWN.unknown_actions,
            _SHOWN.step,
        ).where(_SHOWN.step > _STEP)
    ),
    Statement(sa.select(sa.func.count()).select_from(tables.reward_days)),
)
EVENT_ROWS = Source(
    Statement(
        sa.select(_EVENTS.customer_id, _EVENTS.days, sa.null(), sa.null(), _EVENTS.step).where(
            _EVENTS.step > _STEP
        )
    ),
    Statement(sa.select(sa.func.count()).select_from(tables.event_days)),
)


class PackedRow(NamedTuple):
    """The packed days of a customer; of events, without windows and actions.

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
    connection: sa.Connection, now_us: int, step: int = -1, source: Source = REWARD_ROWS
) -> Iterator[list[PackedRow]]:
    """Read the rows that were written after a step, some hundred at a time."""
    values = {"step": step, "now": now_us}
    for some in source.written_after.batches(connection, values, CUSTOMERS):
        yield list(map(PackedRow._make, some))


class KeptRows:
    """The packed rows of one table of a ledger, kept for the requests of one process."""

    def __init__(self, most_bytes: int = MOST_BYTES, source: Source = REWARD_ROWS) -> None:
        self._most_bytes, self._source = most_bytes, source
        self._rows: dict[str, PackedRow] = {}
        self._step, self._now_us, self._bytes = -1, 0, 0
        self._lock = threading.Lock()

    def batches(self, connection: sa.Connection, now_us: int) -> Iterator[list[PackedRow]]:
        """Give all rows that the transaction sees, or newer ones, some hundred at a time."""
        with self._lock:
            rows = self._refreshed(connection, now_us) if self._most_bytes else None
        if rows is None:
            yield from stream_rows(connection, now_us, source=self._source)
            return
        for begin in range(0, len(rows), CUSTOMERS):
            yield rows[begin : begin + CUSTOMERS]

    def _refreshed(self, connection: sa.Connection, now_us: int) -> list[PackedRow] | None:
        """The rows of now; None if there are too many to keep, from then on for good."""
        if now_us < self._now_us:  # windows that have ended since were not read
            self._forget()
        self._read(connection, now_us)
        [(count,)] = self._source.number.rows(connection, {})
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
        for some in stream_rows(connection, now_us, self._step, self._source):
            for row in some:
                earlier = self._rows.get(row.customer_id)
                self._bytes += row.size - (earlier.size if earlier else 0)
                self._rows[row.customer_id] = row
                newest = max(newest, row.step)
        self._step, self._now_us = newest, now_us

    def _forget(self) -> None:
        self._rows, self._step, self._bytes = {}, -1, 0
