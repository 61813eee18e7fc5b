"""Packs the days of a customer, of the table customer x day x arm, into bytes.

All days of a customer are one value of the database: the lift of a million rows reads them as
arrays in a tenth of the time that a million rows of columns would take.

Days are those on the clock of the business; they may have 23 or 25 hours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import date, datetime, time, tzinfo
from typing import NamedTuple

import numpy as np

from features.ledger import tables

_FIRST = date(1970, 1, 1).toordinal()
ARMS = ("policy", "control", "random", "nobody")  # a row has the index of its arm; append only
_ROW = struct.Struct("<iiiqqqqdd")
# The same layout, as NumPy reads it; `day`: days since 1970 on the clock of the business.
ROW_TYPE = np.dtype(
    [
        *(("day", "<i4"), ("arm", "<i4"), ("decisions", "<i4")),
        *(("first_us", "<i8"), ("last_us", "<i8"), ("first_end_us", "<i8"), ("last_end_us", "<i8")),
        *(("credited", "<f8"), ("cost", "<f8")),
    ]
)


class DayRow(NamedTuple):
    """The decisions that one customer was shown on one day, in one arm.

    Attributes
    ----------
    day : int
        Days since 1970 on the clock of the business, of the showing.
    arm : int
        Index in `ARMS`.
    first_us, last_us : int
        The first and the last showing, in microseconds since 1970.
    credited : float
        The credited value before costs, in the domain's currency.
    cost : float
        The costs of showing.
    window_ends : tuple of int
        The end of the attribution window of each decision, in microseconds since 1970.
    """

    day: int
    arm: int
    first_us: int
    last_us: int
    credited: float
    cost: float
    window_ends: tuple[int, ...]


class PackedDays(NamedTuple):
    """The packed rows of a customer.

    Attributes
    ----------
    days : bytes
        Of `ROW_TYPE`, with the first and the last end of a window.
    window_ends : bytes
        The ends of all windows, in the order of the rows; whole numbers of 64 bits.
    differ_until_us : int
        The last end of a window of a row whose windows do not end at once, in microseconds since
        1970; 0: there is none. From then on nobody has to read ``window_ends``.
    """

    days: bytes
    window_ends: bytes
    differ_until_us: int


def pack_days(rows: Iterable[DayRow]) -> PackedDays:
    """Pack rows, in the order of days."""
    days, ends, differ_until_us = list[bytes](), list[int](), 0
    for row in sorted(rows):
        first, last = min(row.window_ends), max(row.window_ends)
        times = row.first_us, row.last_us, first, last
        counted = len(row.window_ends), *times, row.credited, row.cost
        days.append(_ROW.pack(row.day, row.arm, *counted))
        ends += row.window_ends
        if first < last:
            differ_until_us = max(differ_until_us, last)
    return PackedDays(b"".join(days), struct.pack(f"<{len(ends)}q", *ends), differ_until_us)


def unpack_days(days: bytes, window_ends: bytes) -> list[DayRow]:
    """Unpack what `pack_days` has packed."""
    ends = struct.unpack(f"<{len(window_ends) // 8}q", window_ends)
    rows, begin = list[DayRow](), 0
    for day, arm, decisions, first, last, _, _, credited, cost in _ROW.iter_unpack(days):
        its_ends = ends[begin : begin + decisions]
        rows.append(DayRow(day, arm, first, last, credited, cost, its_ends))
        begin += decisions
    return rows


def day_at(at_us: int, zone: tzinfo) -> int:
    """Return the day of a time.

    Parameters
    ----------
    at_us : int
        Microseconds since 1970 (UTC).

    Returns
    -------
    int
        Days since 1970 on the clock of the zone.
    """
    return tables.from_micros(at_us).astimezone(zone).toordinal() - _FIRST


def span_of_day(day: int, zone: tzinfo) -> tuple[int, int]:
    """Return the beginning and the end of a day, in microseconds since 1970 (UTC)."""
    # A midnight that the clock skips is read as the moment at which it is put forward.
    begin, end = (
        tables.micros(datetime.combine(date.fromordinal(_FIRST + one), time(), zone))
        for one in (day, day + 1)
    )
    return begin, end
