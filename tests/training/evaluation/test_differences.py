"""Intervals of differences cover a known truth, and tell nothing where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.evaluation.cuped import adjusted_moments
from training.evaluation.differences import POWER_QUANTILE, mean_difference, share_difference

Z = 1.959964


def test_of_normal_values_it_is_nearly_welchs():
    rng = np.random.default_rng(2)
    value = np.concatenate([rng.normal(1, 1, 4_000), rng.normal(0, 3, 1_000)])
    moments = adjusted_moments(value, np.zeros(5_000), [slice(0, 4_000), slice(4_000, 5_000)])
    found = mean_difference(moments, (0, 1), np.array(Z))
    welch = stats.ttest_ind(value[:4_000], value[4_000:], equal_var=False).confidence_interval(0.95)
    assert float(found.low) == pytest.approx(welch.low, abs=0.01)
    assert float(found.high) == pytest.approx(welch.high, abs=0.01)
    error = (found.high - found.low) / 2 / Z
    assert float(found.smallest) == pytest.approx(float((Z + POWER_QUANTILE) * error), rel=0.02)


def test_it_covers_the_difference_of_skewed_values():
    rng = np.random.default_rng(4)
    covered, count = 0, 600
    for _ in range(count):
        value = np.where(rng.random(2_200) < 0.1, rng.lognormal(0, 1, 2_200), 0)
        moments = adjusted_moments(value, np.zeros(2_200), [slice(0, 2_000), slice(2_000, 2_200)])
        found = mean_difference(moments, (0, 1), np.array(Z))
        covered += bool(found.low <= 0 <= found.high)
    assert covered / count == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / count))


def test_where_nothing_varies_nothing_is_known():
    moments = adjusted_moments(np.ones(20), np.zeros(20), [slice(0, 10), slice(10, 20)])
    assert np.isnan(mean_difference(moments, (0, 1), np.array(Z))).all()


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    # Newcombe (1998), table II, cases a, b, c, e: method 10.
    [
        ((56, 48), (70, 80), 0.0524, 0.3339),
        ((9, 3), (10, 10), 0.1705, 0.8090),
        ((6, 2), (7, 7), 0.0582, 0.8062),
        ((0, 0), (10, 20), -0.1611, 0.2775),
    ],
)
def test_shares_are_those_of_newcombes_table(count, n, low, high):
    arrays = [tuple(np.array(float(one)) for one in pair) for pair in (count, n)]
    found = share_difference(*arrays, np.array(1.96))
    assert float(found.low) == pytest.approx(low, abs=1e-4)
    assert float(found.high) == pytest.approx(high, abs=1e-4)
    assert found.smallest > 0
