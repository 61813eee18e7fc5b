"""The clock says aware times in UTC, and its other hand never runs backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from features.clock import monotonic_s, utc_now


def test_the_time_is_now_and_aware_of_its_zone():
    before = datetime.now(UTC)
    now = utc_now()
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(UTC)


def test_the_monotonic_clock_does_not_run_backwards():
    first = monotonic_s()
    assert monotonic_s() >= first
