"""CUPED: moments of adjusted values, against those computed customer by customer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.evaluation.cuped import PRIOR_CUSTOMERS, ArmMoments, adjusted_moments

ARMS = [slice(0, 300), slice(300, 360), slice(360, 400)]


def drawn(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    before = rng.gamma(1.0, 10.0, 400)
    return 0.5 * before + rng.normal(0.0, 3.0, 400), before


def test_moments_are_those_of_what_the_regression_within_arms_leaves():
    value, before = drawn()
    arm = np.repeat([0, 1, 2], [300, 60, 40])
    dummies = (arm[:, None] == np.arange(3)).astype(float)
    theta = np.linalg.lstsq(np.column_stack([dummies, before]), value, rcond=None)[0][-1]
    adjusted = value - theta * (before - before.mean())
    found = adjusted_moments(value, before, ARMS)
    for code, some in enumerate(ARMS):
        assert found.n[code] == len(adjusted[some])
        assert found.mean[code] == pytest.approx(adjusted[some].mean())
        assert found.variance[code] == pytest.approx(adjusted[some].var(ddof=1))
        assert found.third[code] == pytest.approx(stats.moment(adjusted[some], 3))
        assert found.fourth[code] == pytest.approx(stats.moment(adjusted[some], 4))
        assert found.unadjusted[code] == pytest.approx(value[some].var(ddof=1))
    assert (found.variance < 0.5 * found.unadjusted).all()


def test_without_a_value_before_nothing_is_adjusted():
    value, _ = drawn()
    found = adjusted_moments(value, np.zeros(400), ARMS)
    assert found.variance == pytest.approx(found.unadjusted)
    assert found.mean[0] == pytest.approx(value[:300].mean())


def test_arms_of_nobody_and_of_one_have_no_moments():
    found = adjusted_moments(np.arange(5.0), np.ones(5), [slice(0, 4), slice(4, 5), slice(5, 5)])
    assert found.n.tolist() == [4, 1, 0]
    assert np.isnan(found.variance).tolist() == [False, True, True]
    assert found.informative.tolist()[1:] == [0.0, 0.0]
    assert np.isnan(found.cautious().variance).tolist() == [False, True, True]


def test_informative_customers_are_those_that_have_brought_something():
    value = np.zeros(4_000)
    value[:7] = 30.0
    found = adjusted_moments(value, np.zeros(4_000), [slice(0, 4_000)])
    assert found.informative[0] == pytest.approx(7, rel=0.01)
    value[0] = 3_000.0  # it alone decides
    assert adjusted_moments(value, np.zeros(4_000), [slice(0, 4_000)]).informative[0] < 1.1


def test_caution_raises_a_small_variance_and_lowers_none():
    n, variance = np.array([1_000.0, 10.0, 10.0]), np.array([100.0, 1.0, 400.0])
    moments = ArmMoments(n, np.zeros(3), variance, variance, 3 * variance**2, variance)
    found = moments.cautious()
    pooled = (n * variance).sum() / n.sum()
    own = moments.informative / (moments.informative + PRIOR_CUSTOMERS)
    expected = own[1] * 1.0 + (1 - own[1]) * pooled
    assert found.variance[1] == pytest.approx(expected)
    assert found.variance[2] == 400.0 and found.variance[0] >= 100.0
