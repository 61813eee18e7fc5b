"""Tests the time and the id under which an outcome is recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.outcomes.recorded_outcomes import generated_ids, recorded_time

SHOWN = datetime(2026, 11, 22, 10, 0, 0, 206_662, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [
        (3600, 3600),
        (0, 0),
        (-0.206662, 0),
        (-2, 0),
        (-300, 0),
        (-300.000001, None),
        (-86_400, None),
    ],
)
def test_an_outcome_of_a_slow_clock_counts_as_of_the_showing(seconds, counts):
    found = recorded_time(SHOWN + timedelta(seconds=seconds), SHOWN)
    assert found == (None if counts is None else SHOWN + timedelta(seconds=counts))


def test_parts_with_colons_make_different_long_ids():
    one, other = generated_ids("d", "a", "b:c"), generated_ids("d:a", "b", "c")
    assert one == ("d:a:b:c", "d:a:b:c:1-1")
    assert other == ("d:a:b:c", "d:a:b:c:3-1")


parts = st.lists(st.text(":1-a", min_size=1, max_size=4), min_size=2, max_size=3)


@given(parts, parts)
def test_no_other_parts_make_a_long_id(one, other):
    assert (generated_ids(*one)[1] == generated_ids(*other)[1]) == (one == other)
