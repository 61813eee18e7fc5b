"""Tests the histogram of times: its buckets, its error, and its percentiles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.analytics.histogram import (
    EDGES,
    bucket_sql,
    buckets,
    median_p90_s,
    middle_us,
    percentile_us,
)
from features.analytics.journey_data import connect

HOUR_US = 3_600_000_000


def test_nothing_has_the_bucket_0_and_one_microsecond_the_first_octave() -> None:
    assert buckets(np.array([0], np.int64)).tolist() == [0]
    assert 1 <= buckets(np.array([1], np.int64))[0] <= 16
    assert middle_us(0) == 0.0


@given(st.integers(1_000, 10**15))
def test_the_middle_of_a_bucket_is_within_2_2_percent(time_us: int) -> None:
    bucket = int(buckets(np.array([time_us], np.int64))[0])
    assert abs(middle_us(bucket) / time_us - 1) < 0.0221


def test_buckets_rise_with_the_time() -> None:
    found = buckets(EDGES).astype(int)
    assert (np.diff(found) >= 0).all()
    assert found[-1] == len(EDGES)


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    times = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 100], np.int64) * HOUR_US
    counted, counts = np.unique(buckets(times), return_counts=True)
    assert abs(percentile_us(counted, counts, 0.5) / (5 * HOUR_US) - 1) < 0.0221  # type: ignore[operator]
    assert abs(percentile_us(counted, counts, 0.9) / (9 * HOUR_US) - 1) < 0.0221  # type: ignore[operator]


def test_percentiles_do_not_depend_on_the_order_of_the_buckets() -> None:
    counted, counts = np.array([30, 10, 20]), np.array([1, 1, 1])
    assert percentile_us(counted, counts, 0.5) == middle_us(20)


def test_without_times_there_is_no_percentile() -> None:
    nothing = np.array([], np.int64)
    assert percentile_us(nothing, nothing, 0.5) is None


def test_median_and_90th_percentile_are_in_seconds() -> None:
    times = np.array([60, 120, 600], np.int64) * 1_000_000
    median_s, p90_s = median_p90_s(buckets(times), np.ones(3, np.int64))
    assert median_s is not None and abs(median_s / 120 - 1) < 0.0221
    assert p90_s is not None and abs(p90_s / 600 - 1) < 0.0221
    nothing = np.array([], np.int64)
    assert median_p90_s(nothing, nothing) == (None, None)


def test_sql_finds_the_same_buckets_beside_every_edge() -> None:
    around = np.concatenate([EDGES - 1, EDGES, EDGES + 1, np.arange(2_000)])
    times = np.unique(np.concatenate([around, np.geomspace(1, 2**52, 20_000).astype(np.int64)]))
    connection = connect()
    connection.register("times", {"took": times})
    found = connection.execute(f"SELECT {bucket_sql('took')} AS b FROM times").fetchnumpy()["b"]
    (missing,) = connection.execute(f"SELECT {bucket_sql('NULL::BIGINT')}").fetchall()[0]
    connection.close()
    assert (found == buckets(times)).all()
    assert missing is None
