"""Tests the columns of times, JSON texts and floats: each value comes back exactly."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from features.errors import NotRepeatable
from features.ledger.columns import (
    EPOCH,
    JSON_DICTIONARY,
    PackedFloats,
    PackedJson,
    UtcMicros,
    from_micros,
    micros,
    packed_floats,
    packed_json,
    parse_micros,
    unpacked_float_rows,
    unpacked_floats,
)

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


# Texts and floats -------------------------------------------------------------------------------

DIALECTS = [sqlite.dialect(), postgresql.dialect()]
numbers = st.sampled_from([0.0, -0.0, np.nan, -np.nan, 1.5]) | st.floats(width=64)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
@REPEATABLE
@given(st.text())
def test_a_text_comes_back_from_its_column(dialect, text):
    column = PackedJson()
    stored = column.process_bind_param(text, dialect)
    assert isinstance(stored, bytes)
    assert column.process_result_value(stored, dialect) == text


def test_a_text_of_an_earlier_release_is_read_as_it_is():
    column, text = PackedJson(), '{"customer_id":"Zoë"}'
    for stored in (text, text.encode()):  # of SQLite; of PostgreSQL after its migration
        assert column.process_result_value(stored, sqlite.dialect()) == text
    assert column.process_result_value(None, sqlite.dialect()) is None
    assert column.process_bind_param(None, sqlite.dialect()) is None


DICTIONARY_1 = "f2c72326290de286ab5a55a6d088c43610948ea503ffb0dc60f96ed6d4f00c74"
WRITTEN_1 = "01434fa52960eb51526932480825c1a124a95a00"


def test_bytes_that_were_written_once_are_read_for_ever():
    """The dictionary is a part of the format: another one needs another first byte."""
    assert sha256(JSON_DICTIONARY).hexdigest() == DICTIONARY_1
    kept = bytes.fromhex(WRITTEN_1)
    assert PackedJson().process_result_value(kept, sqlite.dialect()) == (
        '{"decision_id":"d1","customer_id":"c1","known":true,"arm":"policy"}'
    )


WHOLE = packed_json(b'{"decision_id":"d1","customer_id":"somebody else"}')


@pytest.mark.parametrize(
    "stored",
    [
        *(WHOLE[:end] for end in range(len(WHOLE))),
        b"\x02" + WHOLE[1:],  # of a later program
        WHOLE + b"\x00",
        WHOLE[:1] + b"\xff" * 8,
        b'{"customer_id":"\xff"}',
    ],
)
def test_a_text_whose_bytes_were_changed_is_refused_with_a_remedy(stored):
    with pytest.raises(NotRepeatable, match="cannot be read from the ledger.*Restore the ledger"):
        PackedJson().process_result_value(stored, postgresql.dialect())


@pytest.mark.parametrize("end", [1, 4, 5, 6, 13])
def test_features_whose_bytes_were_cut_are_refused_with_a_remedy(end):
    stored = PackedFloats().process_bind_param(struct.pack("<2d", 1.5, 2.5), sqlite.dialect())
    with pytest.raises(NotRepeatable, match="row of features.*Restore the ledger"):
        PackedFloats().process_result_value(stored[:end], sqlite.dialect())


def test_an_answer_takes_less_than_half_of_its_bytes():
    answer = (
        '{"decision_id":"065fde0a57c3e97811e67de09d0130f8","customer_id":"h35","known":true,'
        '"decided_at":"2026-11-09T20:45:21.166313Z","arm":"policy","actions":[{"action_id":'
        '"fresh_box","rank":1,"treatment":{"title":"A box"},"probability":0.17582780699912262,'
        '"acceptance":0.12,"priority":0.414,"reasons":["12.0% chance of acceptance x 7.20 USD - '
        '0.45 USD cost = 0.41 USD","Promises most of the allowed actions."]}],"predictions":'
        '{"churn":null,"intent":null,"stage":null},"models":{"churn":null,"intent":null,"bandit":'
        'null},"removed":null,"explanation":null,"degraded":[],"activated":true}'
    )
    stored = PackedJson().process_bind_param(answer, sqlite.dialect())
    assert len(stored) < len(answer) / 2


@REPEATABLE
@given(st.lists(numbers, max_size=40))
def test_floats_come_back_to_the_bit(values):
    column, dialect = PackedFloats(), sqlite.dialect()
    given_bytes = struct.pack(f"<{len(values)}d", *values)
    stored = column.process_bind_param(given_bytes, dialect)
    assert len(stored) % 8  # so it differs from floats that an earlier release stored
    assert column.process_result_value(stored, dialect) == given_bytes
    assert column.process_result_value(given_bytes, dialect) == given_bytes


def test_zeros_and_unknowns_take_two_bits_each():
    row = np.full(584, np.nan)
    row[::3], row[5] = 0.0, 2.5
    stored = PackedFloats().process_bind_param(row.tobytes(), sqlite.dialect())
    assert len(stored) <= 4 + 2 * 584 // 8 + 8 + 1
    nothing = PackedFloats().process_bind_param(None, sqlite.dialect())
    assert nothing is None and PackedFloats().process_result_value(None, sqlite.dialect()) is None


def test_the_columns_keep_their_types_in_both_databases():
    declared = {
        dialect.name: [column.compile(dialect=dialect) for column in (PackedJson(), PackedFloats())]
        for dialect in DIALECTS
    }
    assert declared == {"sqlite": ["TEXT", "BLOB"], "postgresql": ["BYTEA", "BYTEA"]}
    assert isinstance(PackedJson().coerce_compared_value(None, "x"), sa.types.TypeEngine)


@given(
    st.lists(
        st.lists(
            st.sampled_from([0.0, -0.0, 1.5, np.nan, np.inf, 7e-300]), min_size=0, max_size=20
        ),
        max_size=6,
    )
)
def test_several_rows_of_features_are_read_as_each_alone(rows):
    stored = [packed_floats(np.array(row, dtype="<f8").tobytes()) for row in rows]
    stored += [np.array(row, dtype="<f8").tobytes() for row in rows if row]  # an earlier release
    found = unpacked_float_rows(stored)
    assert [row.tobytes() for row in found] == [unpacked_floats(one) for one in stored]


def test_a_row_that_was_cut_is_named_among_several():
    whole = packed_floats(np.arange(1.0, 5.0).tobytes())
    for size in (5, len(whole) - 2):
        with pytest.raises(NotRepeatable, match="row of features"):
            unpacked_float_rows([whole, whole[:size]])
