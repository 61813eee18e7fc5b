"""Pairs of arms: signs, two-sided bounds at all looks, and nothing told where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.evaluation.confidence_sequences import LEAST_INFORMATIVE, mixture_quantile
from training.evaluation.cuped import adjusted_moments
from training.evaluation.differences import mean_difference, ratio_interval
from training.evaluation.lift_looks import Looks
from training.evaluation.lift_pairs import compare_pair

NAMES = ("policy", "random", "nobody")
N = 1_000


def looks_of(values: list[np.ndarray], left: tuple[int, ...], clock: float = 8.0) -> Looks:
    """One look at the values of three arms."""
    ends = np.cumsum([0, *(len(one) for one in values)]).tolist()
    slices = [slice(begin, end) for begin, end in zip(ends, ends[1:], strict=False)]
    together = np.concatenate(values)
    moments = adjusted_moments(together, np.zeros(len(together)), slices)
    stacked = type(moments)(*(part[None] for part in moments))
    return Looks(np.array([20_000]), np.array([clock]), stacked, np.array([left], dtype=float))


def normal(mean: float, seed: int, n: int = N) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0.0, 1.0, n)
    return mean + (drawn - drawn.mean()) / drawn.std(ddof=1)


def test_a_pair_is_the_first_arm_less_the_second_in_value_and_in_leaving():
    looks = looks_of([normal(1.0, 1), normal(3.0, 2), normal(2.0, 3)], (100, 50, 20))
    found = compare_pair(looks, NAMES, (0, 2))
    assert (found.arm, found.against) == ("policy", "nobody")
    assert found.lift.value[0] == pytest.approx(-1.0)
    assert found.left.value[0] == pytest.approx(0.08)
    assert found.lift.always.high[0] < 0 < found.left.always.low[0]
    assert found.relative.value == pytest.approx(-0.5)
    assert found.relative.low < -0.5 < found.relative.high < 0
    back = compare_pair(looks, NAMES, (2, 0))
    assert back.lift.always.low[0] == pytest.approx(-found.lift.always.high[0])
    assert back.left.planned.high[0] == pytest.approx(-found.left.planned.low[0])


def test_bounds_are_two_sided_and_those_of_all_looks_are_wider():
    looks = looks_of([normal(0.0, 1), normal(0.0, 2), normal(0.0, 3)], (0, 0, 0))
    found = compare_pair(looks, NAMES, (0, 1))
    error = np.sqrt(2 / N)
    z = stats.norm.ppf(0.975)  # that of one side would be 1.645
    planned, always = found.lift.planned, found.lift.always
    assert (planned.low[0], planned.high[0]) == pytest.approx((-z * error, z * error), rel=0.02)
    wide = float(mixture_quantile(np.array([8.0]))[0]) * error
    assert (always.low[0], always.high[0]) == pytest.approx((-wide, wide), rel=0.02)
    assert planned.smallest[0] == pytest.approx((z + stats.norm.ppf(0.8)) * error, rel=0.02)
    assert always.smallest[0] > planned.smallest[0]
    assert found.left.always.low[0] < 0 < found.left.always.high[0]


def test_before_enough_customers_are_informative_there_is_no_bound_of_all_looks():
    few = np.zeros(N)
    few[: LEAST_INFORMATIVE - 2] = 30.0
    found = compare_pair(looks_of([few] * 3, (0, 0, 0)), NAMES, (0, 1))
    assert found.informative < LEAST_INFORMATIVE
    assert np.isnan(found.lift.always.low[0]) and np.isnan(found.lift.always.high[0])
    assert np.isfinite(found.lift.planned.low[0])
    enough = np.zeros(N)
    enough[: LEAST_INFORMATIVE + 2] = 30.0
    found = compare_pair(looks_of([enough] * 3, (0, 0, 0)), NAMES, (0, 1))
    assert np.isfinite(found.lift.always.low[0])


def test_an_arm_that_varies_little_by_chance_is_doubted_at_all_looks_and_not_at_a_planned_one():
    spent = np.where(np.arange(N) % 10 == 0, 5.0, 0.0)
    little = np.where(np.arange(60) < 6, 1.0, 0.0)
    looks = looks_of([spent, little, spent], (0, 0, 0))
    found, quantile = compare_pair(looks, NAMES, (0, 1)), np.array([1.959964])
    plain = mean_difference(looks.moments, (0, 1), quantile)
    cautious = mean_difference(looks.moments.cautious(), (0, 1), quantile)
    assert found.lift.planned.high[0] == pytest.approx(plain.high[0])
    assert found.lift.planned.low[0] == pytest.approx(plain.low[0])
    assert cautious.high[0] - cautious.low[0] > 1.5 * (plain.high[0] - plain.low[0])
    always = mean_difference(looks.moments.cautious(), (0, 1), mixture_quantile(looks.clock))
    assert found.lift.always.low[0] == pytest.approx(always.low[0])


@pytest.mark.parametrize("size", [0, 1])
def test_with_an_arm_of_nobody_or_one_the_other_pairs_stay(size):
    looks = looks_of([normal(1.0, 1), normal(0.0, 2), np.ones(size)], (10, 5, 0))
    empty = compare_pair(looks, NAMES, (0, 2))
    assert np.isnan(empty.lift.value[0]) and np.isnan(empty.lift.always.low[0])
    assert np.isnan(empty.relative.value) and empty.informative == 0
    other = compare_pair(looks, NAMES, (0, 1))
    assert other.lift.always.low[0] > 0


def test_no_part_is_told_of_two_customers_and_with_few_its_bounds_are_those_of_all_arms():
    looks = looks_of([normal(110.0, 1), normal(100.0, 2, 2), normal(100.0, 3)], (0, 0, 0))
    assert np.isnan(compare_pair(looks, NAMES, (0, 1)).relative.value)
    calm = 100.0 + 0.01 * (normal(0.0, 2, 30))
    looks = looks_of([normal(110.0, 1), calm, normal(100.0, 3)], (0, 0, 0))
    found = compare_pair(looks, NAMES, (0, 1)).relative
    errors = np.sqrt(looks.moments.cautious().variance[0, :2] / looks.moments.n[0, :2])
    expected = ratio_interval((110.0, 100.0), tuple(errors), mixture_quantile(looks.clock)[0])
    assert (found.low + 1, found.high + 1) == pytest.approx(expected)
    assert found.value == pytest.approx(0.1)


def test_no_part_is_told_of_a_mean_that_may_be_0():
    looks = looks_of([normal(1.0, 1), normal(0.0, 2), normal(-1.0, 3)], (0, 0, 0))
    for against in (1, 2):
        assert np.isnan(compare_pair(looks, NAMES, (0, against)).relative.value)
