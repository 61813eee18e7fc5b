"""Tests the measured rate of a worker, with the times of its requests given."""

from __future__ import annotations

import pytest

from serving.access.throughput import FIRST_PER_S, Throughput


def ending(measured: Throughput, per_s: float, seconds: float, begin_s: float = 0.0) -> float:
    """End requests at this rate while ten others are in the worker; the time afterwards."""
    measured.note(begin_s, 10)
    for number in range(round(per_s * seconds)):
        measured.note(begin_s + (number + 1) / per_s, 10, ended=1)
    return begin_s + seconds


def test_before_anything_was_measured_the_rate_is_that_of_a_common_machine():
    assert Throughput().per_s(1e6) == pytest.approx(FIRST_PER_S)


@pytest.mark.parametrize("per_s", [20, 450, 3_000])
def test_the_rate_of_a_busy_worker_is_found_within_some_seconds(per_s):
    measured = Throughput()
    now_s = ending(measured, per_s, 8)
    assert measured.per_s(now_s) == pytest.approx(per_s, rel=0.1)


def test_a_worker_that_becomes_slower_is_noticed_within_seconds():
    measured = Throughput()
    now_s = ending(measured, 500, 10)
    now_s = ending(measured, 50, 3, now_s)
    assert 50 < measured.per_s(now_s) < 125


def test_a_worker_that_ends_nothing_loses_its_rate():
    measured = Throughput()
    now_s = ending(measured, 400, 10)
    assert measured.per_s(now_s + 0.2) > 300
    assert measured.per_s(now_s + 3) < 25


def test_few_requests_say_nothing_of_what_a_worker_can_do():
    measured = Throughput()
    now_s = ending(measured, 400, 10)
    found = measured.per_s(now_s)
    measured.note(now_s, 1, ended=1)
    for second in range(1, 100):  # one request a second
        measured.note(now_s + second, 1)
        measured.note(now_s + second + 0.01, 0, ended=1)
    assert measured.per_s(now_s + 100) == pytest.approx(found, rel=0.01)
