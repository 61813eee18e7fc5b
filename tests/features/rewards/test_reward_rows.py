"""Tests of the packed days of a customer."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.ledger.tables import micros
from features.rewards.reward_rows import (
    ROW_TYPE,
    DayRow,
    day_at,
    pack_days,
    span_of_day,
    unpack_days,
)

ROWS = [
    DayRow(20_001, 1, 5, 9, 2.5, 0.5, (7, 8)),
    DayRow(20_000, 0, 1, 1, 0.0, 1.0, (3,)),
]


def test_rows_come_back_in_the_order_of_days():
    packed = pack_days(ROWS)
    assert unpack_days(packed.days, packed.window_ends) == [ROWS[1], ROWS[0]]
    assert packed.differ_until_us == 8
    assert pack_days([]) == (b"", b"", 0) and pack_days(ROWS[1:]).differ_until_us == 0


def test_numpy_reads_the_same_numbers():
    found = np.frombuffer(pack_days(ROWS).days, ROW_TYPE)
    assert found["day"].tolist() == [20_000, 20_001]
    assert found["decisions"].tolist() == [1, 2]
    assert found["first_us"].tolist() == [1, 5] and found["last_us"].tolist() == [1, 9]
    assert found["first_end_us"].tolist() == [3, 7] and found["last_end_us"].tolist() == [3, 8]
    assert found["credited"].tolist() == [0.0, 2.5] and found["cost"].tolist() == [1.0, 0.5]


HOUR_US = 3_600_000_000
ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "America/Santiago", "Australia/Lord_Howe")


def number(year: int, month: int, day: int) -> int:
    return (date(year, month, day) - date(1970, 1, 1)).days


def test_an_evening_in_new_york_is_of_the_day_that_ends_there():
    at_us = micros(datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
    assert day_at(at_us, ZoneInfo("America/New_York")) == number(2026, 2, 28)
    assert day_at(at_us, ZoneInfo("UTC")) == number(2026, 3, 1)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", (2026, 3, 8), 24),
        ("America/New_York", (2026, 3, 8), 23),
        ("America/New_York", (2026, 11, 1), 25),
        ("America/Santiago", (2026, 9, 6), 23),  # its midnight is skipped
    ],
)
def test_a_day_is_as_long_as_its_clock_makes_it(zone, day, hours):
    begin, end = span_of_day(number(*day), ZoneInfo(zone))
    assert end - begin == hours * HOUR_US


@given(
    at_us=st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
        micros
    ),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
def test_a_time_lies_within_its_day_and_days_follow_each_other(at_us, zone):
    day = day_at(at_us, zone)
    begin, end = span_of_day(day, zone)
    assert begin <= at_us < end
    assert (day_at(begin, zone), day_at(end - 1, zone), day_at(end, zone)) == (day, day, day + 1)
