"""The interval covers the truth as often as it says; an uneven split is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from training.lift import SUSPICIOUS, lift, sample_ratio_p


def test_the_lift_is_the_difference_of_the_means():
    found = lift(np.array([3.0, 5.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    assert found.value == pytest.approx(2.0)
    assert found.low < 2.0 < found.high


def test_the_interval_is_that_of_welch():
    # Worked by hand: variances 1 and 4 of 10 and 20 customers; 28 degrees of freedom or so.
    policy = np.repeat([4.0, 6.0], 5) * np.sqrt(0.9) + (5 - 5 * np.sqrt(0.9))
    control = np.repeat([1.0, 5.0], 10) * np.sqrt(0.95) + (3 - 3 * np.sqrt(0.95))
    found = lift(policy, control)
    error = np.sqrt(policy.var(ddof=1) / 10 + control.var(ddof=1) / 20)
    assert found.value == pytest.approx(2.0)
    assert (found.high - found.low) / 2 / error == pytest.approx(2.05, abs=0.02)


def test_the_interval_covers_the_truth_in_95_of_100_worlds():
    rng = np.random.default_rng(7)
    worlds, covered = 1000, 0
    for _ in range(worlds):  # most customers bring nothing, some a lot
        policy = rng.binomial(1, 0.3, 2000) * rng.gamma(2, 5, 2000)
        control = rng.binomial(1, 0.2, 200) * rng.gamma(2, 5, 200)
        found = lift(policy, control)
        covered += found.low <= 1.0 <= found.high
    # The rewards are skewed, so a little less than 95 % is expected; 4 standard errors below.
    assert covered / worlds > 0.94 - 4 * (0.95 * 0.05 / worlds) ** 0.5


@pytest.mark.parametrize(("policy", "control"), [([], []), ([1.0], [1.0, 2.0]), ([1.0, 2.0], [])])
def test_too_few_customers_get_no_figure(policy, control):
    assert lift(np.array(policy), np.array(control)) is None


def test_without_any_spread_there_is_nothing_to_be_unsure_of():
    assert lift(np.full(5, 2.0), np.full(3, 0.5)) == (1.5, 1.5, 1.5)
    assert lift(np.full(5, 2.0), np.full(3, 0.5)).certain


@pytest.mark.parametrize(
    ("policy", "control", "uneven"),
    [(9800, 200, False), (9780, 220, False), (9700, 300, True), (9990, 10, True), (49, 1, False)],
)
def test_the_check_of_the_sample_ratio_fires_when_it_should(policy, control, uneven):
    assert (sample_ratio_p(policy, control, 0.02) < SUSPICIOUS) == uneven


def test_a_right_split_fires_once_in_a_thousand():
    rng = np.random.default_rng(11)
    p = np.array([sample_ratio_p(5000 - n, n, 0.02) for n in rng.binomial(5000, 0.02, 3000)])
    assert (p < SUSPICIOUS).mean() <= 0.001 + 4 * (0.001 / 3000) ** 0.5


def test_nobody_has_no_ratio():
    assert sample_ratio_p(0, 0, 0.02) is None
