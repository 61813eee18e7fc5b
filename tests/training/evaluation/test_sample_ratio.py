"""The check of the sizes of arms is silent where they are right, and fires where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.evaluation.sample_ratio import MISMATCH_P, sample_ratio_p


def of_two(policy: int, random: int, share: float) -> float | None:
    return sample_ratio_p((policy, random), (1 - share, share))


def test_the_sample_ratio_is_chi_square_or_exact_where_few_are_expected():
    chi_square = stats.chisquare([9_900, 100], [9_800, 200]).pvalue
    assert of_two(9_900, 100, 0.02) == pytest.approx(chi_square)
    exact = stats.binomtest(4, 102, 0.02).pvalue
    assert of_two(98, 4, 0.02) == pytest.approx(exact)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_check_of_the_split_is_silent_where_it_is_right_and_fires_where_not(share):
    rng = np.random.default_rng(11)
    right = [of_two(5_000 - n, n, share) for n in rng.binomial(5_000, share, 2_000)]
    wrong = [of_two(20_000 - n, n, share) for n in rng.binomial(20_000, 0.6 * share, 200)]
    assert np.mean(np.array(right) < MISMATCH_P) <= 0.001 + 4 * np.sqrt(0.001 / 2_000)
    assert (np.array(wrong) < MISMATCH_P).all()


@pytest.mark.parametrize(
    ("policy", "random", "uneven"),
    [(9800, 200, False), (9780, 220, False), (9700, 300, True), (9990, 10, True), (49, 1, False)],
)
def test_the_check_of_the_sample_ratio_fires_when_it_should(policy, random, uneven):
    assert (of_two(policy, random, 0.02) < MISMATCH_P) == uneven


def test_nobody_in_the_control_group_is_no_surprise_only_where_nobody_should_be():
    assert of_two(0, 0, 0.02) is None
    assert of_two(5_000, 0, 0.0) == 1.0
    assert of_two(5_000, 0, 0.02) < MISMATCH_P
    assert of_two(5_000, 3, 0.0) < MISMATCH_P


def test_three_arms_are_tested_together_or_one_by_one_where_few_are_expected():
    shares = (0.96, 0.02, 0.02)
    whole = stats.chisquare([9_650, 150, 200], [9_600, 200, 200]).pvalue
    assert sample_ratio_p((9_650, 150, 200), shares) == pytest.approx(whole)
    exact = stats.binomtest(9, 100, 0.02).pvalue
    assert sample_ratio_p((90, 9, 1), shares) == pytest.approx(3 * exact)
    assert sample_ratio_p((96, 2, 2), shares) == 1.0


def test_an_arm_without_a_share_has_no_customers():
    assert sample_ratio_p((980, 20, 0), (0.98, 0.02, 0.0)) == pytest.approx(1.0)
    assert sample_ratio_p((980, 20, 1), (0.98, 0.02, 0.0)) == 0.0
    assert sample_ratio_p((10, 0, 0), (1.0, 0.0, 0.0)) == 1.0
