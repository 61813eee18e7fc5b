"""Tests the column of times: each comes back exactly, and a naive one is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from features.ledger.columns import EPOCH, UtcMicros, from_micros, micros, parse_micros

REPEATABLE = settings(derandomize=True, database=None, deadline=None)
zones = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=zones)


@REPEATABLE
@given(moments)
def test_a_time_comes_back_from_its_column_exactly(moment):
    column, dialect = UtcMicros(), sqlite.dialect()
    back = column.process_result_value(column.process_bind_param(moment, dialect), dialect)
    assert back == moment
    assert back.tzinfo is UTC


@REPEATABLE
@given(moments)
def test_micros_are_the_time_since_1970(moment):
    assert EPOCH + timedelta(microseconds=micros(moment)) == moment
    assert from_micros(micros(moment)) == moment


@REPEATABLE
@given(moments, moments)
def test_micros_sort_as_the_times_do(one, other):
    assert (micros(one) < micros(other)) == (one < other)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (EPOCH, 0),
        (EPOCH - timedelta(microseconds=1), -1),
        (datetime(1970, 1, 2, 1, tzinfo=timezone(timedelta(hours=1))), 86_400_000_000),
    ],
)
def test_micros_of_times_we_know(moment, expected):
    assert micros(moment) == expected


def test_a_naive_time_has_no_micros():
    with pytest.raises(ValueError, match=r"datetime\(2026, 1, 1, .*has no time zone"):
        micros(datetime(2026, 1, 1))


@REPEATABLE
@given(moments)
def test_micros_that_were_written_as_a_text_are_read_again(moment):
    assert parse_micros(str(micros(moment))) == micros(moment)


@pytest.mark.parametrize(
    "text",
    ["", "-", "--5", "5-", "+5", " 5", "5\n", "1_0", "5.0", "1e3", "²", "٣", "２", "x"]
    + ["9" * 18, "-" + "9" * 18, "9" * 19, "9" * 5000],
)
def test_a_text_that_is_no_time_is_none(text):
    assert parse_micros(text) is None
