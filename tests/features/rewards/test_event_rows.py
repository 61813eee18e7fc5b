"""Tests of the packed days of events, and of when a customer left and came back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from features.rewards.event_rows import (
    EventDay,
    add_up,
    leaving_changes,
    pack_event_days,
    unpack_event_days,
)

MOMENTS = st.lists(st.tuples(st.integers(0, 30), st.booleans()), unique=True, max_size=8)
EVER = 1_000


def test_rows_come_back_as_they_were_packed():
    rows = [EventDay(20_001, 1, 0.0), EventDay(20_000, 0, 2.5), EventDay(20_002, -1, -7.5)]
    assert unpack_event_days(pack_event_days(rows)) == sorted(rows)


def test_days_are_added_up_and_those_without_anything_left_have_no_row():
    rows = [EventDay(2, 1, 3.0), EventDay(1, 1, 2.5), EventDay(1, -1, -2.5), EventDay(2, 0, 1.0)]
    assert add_up(rows) == [EventDay(2, 1, 4.0)]


@given(MOMENTS, st.sampled_from([0, 5]))
def test_the_sum_of_changes_says_whether_somebody_is_gone(moments, silent):
    changes = list(leaving_changes(moments, silent, None, EVER))
    for at in range(40):
        gone = sum(change for when, change in changes if when <= at)
        before = [one for one in moments if one[0] <= at]
        if silent:
            last = max((when for when, _ in before), default=None)
            # At its end a silence counts if no event came at that instant.
            assert gone == (last is not None and at - last >= silent)
        else:
            assert gone == (not max(before)[1] if before else 0)


@given(MOMENTS, st.sampled_from([0, 5]), st.integers(0, 8))
def test_what_was_deleted_and_what_is_left_have_the_changes_of_all(moments, silent, number):
    moments = sorted(moments)
    deleted, left = moments[:number], moments[number:]
    last = deleted[-1] if deleted else None
    until = last[0] if last else 0
    parts = [
        *leaving_changes(deleted, silent, None, until),
        *leaving_changes(left, silent, last, EVER),
    ]
    assert parts == list(leaving_changes(moments, silent, None, EVER))
