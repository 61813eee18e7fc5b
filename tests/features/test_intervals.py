"""Intervals of means: equal to SciPy's, and cover a known truth."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from scipy import stats

from features.intervals import (
    ConfidenceInterval,
    hall_quantile,
    normal_quantile,
    student_interval,
    student_quantile,
    welch_interval,
    wilson_interval,
)


def drawn(seed: int, policy: int, control: int) -> tuple[np.ndarray, np.ndarray]:
    """Rewards as they are: a showing costs, one customer in ten earns something, few much."""
    rng = np.random.default_rng(seed)

    def one(size: int) -> np.ndarray:
        return np.where(rng.random(size) < 0.1, rng.lognormal(2.0, 0.5, size), 0.0) - 0.1

    return one(policy), one(control)


def groups(first: np.ndarray, second: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Means, variances and sizes of two samples, as `welch_interval` takes them."""
    of = (
        (np.array(one.mean()), np.array(one.var(ddof=1)), np.array(len(one)))
        for one in (first, second)
    )
    return list(zip(*of, strict=True))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_students_interval_is_scipys(level):
    values = np.random.default_rng(3).exponential(size=17)
    error = values.std(ddof=1) / np.sqrt(17)
    found = student_interval(float(values.mean()), float(error), 17, level)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert found.value == values.mean()
    assert found[1:] == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_of_one_value_there_is_no_interval():
    found = student_interval(4.0, 0.0, 1)
    assert found.value == 4.0 and isnan(found.low) and isnan(found.high)
    assert not found.excludes_zero


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_welchs_interval_is_scipys(level):
    first, second = drawn(7, 500, 60)
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(level)
    found = welch_interval(*groups(first, second), level=level)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_a_group_of_one_value_has_no_interval():
    mean, variance, n = (
        (np.array([2.0]),) * 2,
        (np.array([1.0]), np.array([np.nan])),
        (np.array([5.0]), np.array([1.0])),
    )
    assert np.isnan(welch_interval(mean, variance, n)).all()


def test_an_interval_excludes_zero_if_both_bounds_are_on_one_side():
    assert ConfidenceInterval(2.0, 1.0, 3.0).excludes_zero
    assert ConfidenceInterval(-2.0, -3.0, -1.0).excludes_zero
    assert not ConfidenceInterval(0.5, -1.0, 2.0).excludes_zero


def test_halls_quantile_is_the_inverse_of_his_transformation():
    t = np.linspace(-2.5, 2.5, 11)
    for skewness in (-0.3, -1e-3, 1e-3, 0.3):
        x = hall_quantile(t, np.array(skewness))
        back = x + skewness * x**2 / 3 + skewness**2 * x**3 / 27 + skewness / 6
        assert back == pytest.approx(t, abs=1e-9)


def test_without_skewness_halls_quantile_changes_nothing():
    t = student_quantile(np.array([3.0, 30.0]))
    assert (hall_quantile(t, np.zeros(2)) == t).all()


def coverage(corrected: bool, policy: int, control: int) -> tuple[float, float]:
    """Of 2,000 samples without a difference: share of intervals above 0, and share that hold 0."""
    samples = [drawn(seed, policy, control) for seed in range(2_000)]
    arms = (np.array([one[0] for one in samples]), np.array([one[1] for one in samples]))
    n = tuple(np.full(len(arm), float(arm.shape[1])) for arm in arms)
    mean = tuple(arm.mean(axis=1) for arm in arms)
    variance = tuple(arm.var(axis=1, ddof=1) for arm in arms)
    third = tuple(((arm - arm.mean(axis=1)[:, None]) ** 3).mean(axis=1) for arm in arms)
    low, high = welch_interval(mean, variance, n, third if corrected else None)
    return float((low > 0).mean()), float(((low <= 0) & (high >= 0)).mean())


@pytest.mark.slow
def test_the_interval_covers_the_truth_where_welchs_plain_interval_does_not():
    """The second group has 200 members, of whom 20 earn something."""
    # 4 standard errors of a share of 2,000 samples.
    tolerance = 4 * np.sqrt(0.05 * 0.95 / 2_000)
    above, covered = coverage(True, 2_000, 200)
    assert covered == pytest.approx(0.95, abs=tolerance)
    assert above < 0.025 + tolerance
    assert coverage(False, 2_000, 200)[0] > 0.025 + tolerance  # the correction earns its place


def test_wilsons_interval_of_8_in_10_is_that_of_the_tables():
    found = wilson_interval(0.8, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.49016, 0.94332), abs=1e-5)


def test_wilsons_interval_of_a_share_of_0_does_not_shrink_to_a_point():
    assert wilson_interval(0.0, 10)[1:] == pytest.approx((0.0, 0.27753), abs=1e-5)


def test_the_normal_quantile_is_the_limit_of_students():
    assert normal_quantile() == pytest.approx(1.959964, abs=1e-6)
    assert float(student_quantile(1e9)) == pytest.approx(normal_quantile(), abs=1e-6)
