"""Tests the token buckets, with the times of the requests given."""

from __future__ import annotations

import pytest

from serving.access import rate_limits
from serving.access.rate_limits import RateLimits, retry_after, too_many_failures, too_many_of


def granted(limits: RateLimits, times: list[float], key: str = "a") -> int:
    return sum(limits.wait_s(key, now_s) == 0.0 for now_s in times)


def test_a_full_bucket_grants_one_second_of_requests_at_once():
    limits = RateLimits(5)
    assert granted(limits, [10.0] * 8) == 5
    assert limits.wait_s("a", 10.0) == pytest.approx(0.2)


def test_a_key_that_keeps_to_its_rate_is_never_refused():
    limits = RateLimits(3)
    assert granted(limits, [100 + number / 3 for number in range(1_000)]) == 1_000


def test_of_twice_the_rate_half_is_granted_after_the_burst():
    limits = RateLimits(10)
    assert granted(limits, [number / 20 for number in range(2_000)]) == 1_000 + 10 - 1


def test_a_refused_request_takes_no_token():
    limits = RateLimits(1)
    assert granted(limits, [0.0, 0.5, 0.9, 1.0]) == 2


def test_an_idle_bucket_does_not_fill_beyond_its_burst():
    limits = RateLimits(2)
    assert granted(limits, [0.0]) == 1
    assert granted(limits, [1e6] * 5) == 2


def test_less_than_one_request_a_second_is_one_at_a_time():
    limits = RateLimits(0.1)
    assert granted(limits, [0.0, 9.0, 10.0]) == 2


def test_each_key_has_a_bucket_of_its_own():
    limits = RateLimits(1)
    assert granted(limits, [0.0, 0.0], "a") == 1
    assert granted(limits, [0.0, 0.0], "b") == 1


def test_the_buckets_are_bounded_and_the_full_ones_are_forgotten_first(monkeypatch):
    monkeypatch.setattr(rate_limits, "MOST_BUCKETS", 3)
    limits = RateLimits(1)
    for key, now_s in (("full", 0.0), ("a", 5.0), ("b", 5.1), ("c", 5.2)):
        assert limits.wait_s(key, now_s) == 0.0
    assert [limits.wait_s(key, 5.3) > 0 for key in ("a", "b", "c")] == [True] * 3
    assert limits.wait_s("d", 5.4) == 0.0  # none was full, so that of a is forgotten
    assert limits.wait_s("b", 5.4) > 0
    assert limits.wait_s("a", 5.4) == 0.0


@pytest.mark.parametrize(("wait_s", "header"), [(0.01, b"1"), (1.0, b"1"), (1.2, b"2")])
def test_the_time_to_wait_is_told_in_whole_seconds(wait_s, header):
    assert retry_after(wait_s) == [(b"retry-after", header)]


def test_the_sentences_name_the_key_and_the_limit():
    assert too_many_of("shop", 1_000.0, 0.2) == (
        "The key 'shop' sent too many requests; this one was not begun. "
        "Expected at most 1,000 a second. "
        "Send the same again after 1 s, or set NBA_REQUESTS_PER_S."
    )
    assert "Expected at most 100 a second." in too_many_failures()
