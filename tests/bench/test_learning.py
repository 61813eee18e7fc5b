from __future__ import annotations

import pytest

from tests.bench.learning import Course, goals


def course(first: list[float], second: list[float]) -> Course:
    """A course of one measurement a second."""
    chances = [list(both) for both in zip(first, second, strict=True)]
    return Course([float(at) for at in range(len(first))], chances)


def test_the_time_is_the_begin_of_ten_seconds_on_end_with_more_than_half():
    # The first segment has more than half from 3 to 7 s, and for good from 12 s on.
    first = [0.6 if 3 <= at <= 7 or at >= 12 else 0.5 for at in range(40)]
    second = [0.9] * 40
    assert course(first, second).reached(0, 40) == [12.0, 0.0]


def test_what_does_not_last_or_comes_too_late_is_never():
    first = [0.9 if at % 10 else 0.1 for at in range(40)]
    second = [0.9 if at >= 31 else 0.1 for at in range(40)]
    assert course(first, second).reached(0, 40) == [None, None]


def test_after_a_change_the_time_counts_from_the_change():
    chances = [0.9 if at >= 25 else 0.1 for at in range(60)]
    assert course(chances, chances).reached(20, 60) == [5.0, 5.0]


@pytest.mark.parametrize(
    "slow, holds", [([31.0, None], True), ([31.0, None, 40.0], False), ([], True)]
)
def test_eight_of_ten_segments_within_30_s_are_enough(slow, holds):
    (found,) = goals(([30.0] * 10 + slow)[-10:], [])
    assert found[1] is holds


def test_after_the_change_both_segments_must_be_found():
    assert [holds for _, holds in goals([1.0, 1.0], [300.0, 10.0])] == [True, True]
    assert [holds for _, holds in goals([1.0, 1.0], [10.0, None])] == [True, False]
    assert [holds for _, holds in goals([1.0, 1.0], [301.0, 10.0])] == [True, False]
