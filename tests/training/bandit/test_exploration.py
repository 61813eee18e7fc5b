"""Tests the exploration policies: exact probabilities, and draws by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from features.errors import InvalidSetting, NothingAllowed
from training.bandit.exploration import InverseGapWeighting, ThompsonProbabilities, draw

NAN = float("nan")
rewards = st.lists(
    st.one_of(st.just(NAN), st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=40
).filter(lambda values: not np.isnan(values).all())


def test_matches_the_worked_example_in_the_docstring():
    chance = InverseGapWeighting(gamma=10).probabilities(np.array([1.0, 0.0]))
    assert chance == pytest.approx([11 / 12, 1 / 12])


def test_with_a_gamma_of_0_all_allowed_actions_have_the_same_probability():
    chance = InverseGapWeighting(gamma=0).probabilities(np.array([5.0, NAN, -5.0, 0.0]))
    assert chance == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])


def test_the_only_allowed_action_is_certain():
    assert InverseGapWeighting(gamma=20).probabilities(np.array([NAN, -3.0])).tolist() == [0.0, 1.0]


def test_an_action_that_trails_further_is_chosen_less_often():
    chance = InverseGapWeighting(gamma=20).probabilities(np.array([0.5, 2.0, 1.0, 1.9]))
    assert chance.argsort().tolist() == [0, 2, 3, 1]


@settings(deadline=None)  # a busy machine is no counterexample
@given(rewards=rewards, gamma=st.floats(0, 1e6))
def test_probabilities_sum_to_1_and_are_above_0_exactly_where_allowed(rewards, gamma):
    expected = np.array(rewards)
    chance = InverseGapWeighting(gamma).probabilities(expected)
    assert abs(chance.sum() - 1) <= 1e-12
    assert ((chance > 0) == ~np.isnan(expected)).all()
    assert (chance[np.isnan(expected)] == 0).all()
    assert chance[np.nanargmax(expected)] >= chance.max() - 1e-12


def test_nothing_allowed_is_an_error_that_says_what_to_allow():
    with pytest.raises(NothingAllowed, match="no allowed action.*Allow 'no_action'"):
        InverseGapWeighting(gamma=10).probabilities(np.array([NAN, NAN]))
    with pytest.raises(NothingAllowed, match="no allowed action"):
        InverseGapWeighting(gamma=10).probabilities(np.array([[1.0, 0.0], [NAN, NAN]]))


def test_inverse_gap_of_many_rows_is_that_of_each():
    rows = np.array([[1.0, 0.0, NAN], [0.0, 2.0, 1.0]])
    chance = InverseGapWeighting(gamma=10).probabilities(rows)
    assert chance[0] == pytest.approx([11 / 12, 1 / 12, 0])
    assert chance[1] == pytest.approx([1 / 23, 1 - 1 / 23 - 1 / 13, 1 / 13])


@pytest.mark.parametrize("gamma", [-1.0, NAN, float("inf"), float("-inf")])
def test_a_gamma_we_cannot_use_is_named_in_the_error(gamma):
    with pytest.raises(InvalidSetting, match=f"gamma is {gamma!r}. Expected a number from 0 to"):
        InverseGapWeighting(gamma)


def test_each_action_is_drawn_as_often_as_its_probability_says():
    chance = np.array([0.0, 0.5, 0.3, 0.0, 0.15, 0.05, 0.0])
    n = 10_000
    drawn = np.bincount([draw(chance, f"decision-{i}") for i in range(n)], minlength=7)
    # 4 standard errors of a share of n draws; exactly 0 where the probability is 0.
    tolerance = 4 * np.sqrt(chance * (1 - chance) / n)
    assert (np.abs(drawn / n - chance) <= tolerance).all()


def test_the_same_id_always_draws_the_same_action():
    chance = np.full(1000, 1 / 1000)
    # sha256("d-1") begins 0741a320...; 0x0741a320 / 2^32 is 0.02834.
    assert draw(chance, "d-1") == draw(chance, "d-1") == 28
    assert len({draw(chance, f"d-{i}") for i in range(20)}) > 15


def test_a_sum_a_rounding_error_below_1_still_draws_an_allowed_action():
    chance = np.array([1e-9, 1e-9, 0.0])
    assert {draw(chance, f"d-{i}") for i in range(50)} == {1}


# Probability matching --------------------------------------------------------------------------


def thompson(mean: Sequence, sd: Sequence, min_probability: float = 0.0) -> np.ndarray:
    return ThompsonProbabilities(min_probability).probabilities(np.array(mean), np.array(sd))


def test_thompson_probabilities_give_the_worked_example_of_the_docstring():
    assert thompson([1.0, 0.0], [0.6, 0.8]) == pytest.approx([0.841, 0.159], abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_a_probability_is_how_often_the_action_is_best(seed):
    rng = np.random.default_rng(seed)
    n, draws = int(rng.integers(2, 12)), 100_000
    mean, sd = rng.normal(size=n), np.exp(rng.normal(size=n) - 1)
    best = (mean + sd * rng.normal(size=(draws, n))).argmax(axis=1)
    often = np.bincount(best, minlength=n) / draws
    # 4 standard errors, and the error of the integral.
    assert thompson(mean, sd) == pytest.approx(often, abs=4 * 0.5 / np.sqrt(draws) + 0.001)


def test_an_uncertain_action_is_explored_more_than_one_that_surely_trails():
    known, unknown = thompson([1.0, 0.5], [0.1, 0.1]), thompson([1.0, 0.5], [0.1, 2.0])
    assert unknown[1] > 0.3 > 0.01 > known[1]


def test_a_small_probability_is_cut_to_0():
    chance = thompson([1.0, 0.9, 0.6, -3.0], [0.1, 0.1, 0.1, 0.1], min_probability=0.01)
    assert chance[2] == chance[3] == 0 and chance.sum() == pytest.approx(1)


def test_thompson_probabilities_are_0_where_not_allowed():
    assert thompson([NAN, 0.0, NAN], [1.0, 1.0, NAN]).tolist() == [0.0, 1.0, 0.0]
    with pytest.raises(NothingAllowed, match="no allowed action"):
        thompson([NAN], [1.0])


def test_a_certain_reward_wins_if_no_other_is_above_it():
    """no_action earns exactly 0; each of the two others is better with probability 1/2."""
    chance = thompson([0.0, 0.0, 0.0], [0.0, 1.0, 1.0])
    assert chance == pytest.approx([0.25, 0.375, 0.375], abs=0.005)


@pytest.mark.parametrize("sd", [0.0, 1e-12])
def test_the_better_of_two_certain_rewards_is_chosen_and_equal_ones_share(sd):
    assert thompson([0.0, 2.0, 1.0], [sd] * 3).tolist() == [0, 1, 0]
    assert thompson([2.0, 2.0], [sd] * 2) == pytest.approx([0.5, 0.5])


def test_the_unit_of_rewards_does_not_matter():
    mean, sd = np.array([0.3, 0.1, 0.25]), np.array([0.1, 0.3, 0.2])
    assert thompson(1e6 * mean - 5, 1e6 * sd) == pytest.approx(thompson(mean, sd))


@pytest.mark.parametrize("min_probability", [-0.01, 0.2, NAN])
def test_a_min_probability_we_cannot_use_is_named_in_the_error(min_probability):
    with pytest.raises(
        InvalidSetting, match=f"min_probability is {min_probability!r}. Expected a prob"
    ):
        ThompsonProbabilities(min_probability)


def test_two_actions_that_may_be_best_get_their_exact_probabilities():
    chance = thompson([1.0, 0.0, -50.0], [0.6, 0.8, 1.0], min_probability=0.001)
    assert chance == pytest.approx([norm.cdf(1), norm.cdf(-1), 0.0])


def test_actions_that_are_left_out_would_have_been_set_to_0():
    rng = np.random.default_rng(3)
    mean, sd = rng.normal(0.0, 0.4, 30), rng.uniform(0.1, 0.6, 30)
    whole, min_probability = thompson(mean, sd), 0.001
    chance = thompson(mean, sd, min_probability)
    assert 3 < (chance > 0).sum() < (whole > 0).sum()
    assert chance == pytest.approx(np.where(whole >= min_probability, whole, 0.0), abs=0.003)


def exact_chances(mean: np.ndarray, sd: np.ndarray, constant: float = -np.inf) -> np.ndarray:
    """Integrate over 10 cells a standard deviation; the last one is a constant, if there is one."""
    nodes = (mean[:, None] + sd[:, None] * np.linspace(-6, 6, 121)).ravel()
    nodes = np.unique(np.append(nodes[nodes > constant], max(constant, nodes.min())))
    chance = np.zeros(len(mean))
    for begin in range(0, len(nodes), 1000):
        below = norm.cdf(nodes[begin : begin + 1001, None], mean, sd)
        others = below.prod(axis=1, keepdims=True) / np.maximum(below, 1e-300)
        chance += (np.diff(below, axis=0) * (others[1:] + others[:-1]) / 2).sum(axis=0)
    if constant == -np.inf:
        return chance
    return np.append(chance, norm.cdf(constant, mean, sd).prod())


def like(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(1.0, 0.1, n), np.full(n, 0.5)


def one_far_better(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    mean, sd = like(rng, n)
    mean[3], sd[3] = 2.5, 0.01
    return mean, sd


def mixed_deviations(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(1.0, 0.5, n), 10 ** rng.uniform(-2.0, 0.0, n)


def ties(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(1.0, 0.3, n).round(1), rng.choice([0.1, 0.3], n)


@pytest.mark.parametrize("n", [3, 24, 200])
@pytest.mark.parametrize("case", [like, one_far_better, mixed_deviations, ties])
def test_probabilities_are_those_of_a_finer_integral(case, n):
    mean, sd = case(np.random.default_rng(n), max(n, 4))
    assert np.abs(thompson(mean, sd) - exact_chances(mean, sd)).max() < 0.001


@pytest.mark.parametrize("unsure", [(0.2, 1.5), (0.7, 0.9), (0.01, 0.5)])
def test_probabilities_beside_no_action_are_those_of_a_finer_integral(unsure):
    rng = np.random.default_rng(2)
    mean, sd = rng.normal(0.2, 0.7, 24), rng.uniform(*unsure, 24)
    found = thompson(np.append(mean, 0.0), np.append(sd, 0.0))
    assert np.abs(found - exact_chances(mean, sd, constant=0.0)).max() < 0.001


@pytest.mark.parametrize("case", [like, one_far_better, mixed_deviations, ties])
def test_what_is_cut_is_below_one_in_a_thousand_each_and_1_percent_in_all(case):
    mean, sd = case(np.random.default_rng(1), 300)
    cut = ThompsonProbabilities().probabilities(mean, sd) == 0
    exact = exact_chances(mean, sd)
    assert exact[cut].max() < 0.001
    assert exact[cut].sum() <= 0.01
    next_one = exact[~cut].min()
    assert next_one > 0.00099 or exact[cut].sum() + next_one > 0.0085


def test_1000_like_actions_keep_99_percent_of_their_probabilities():
    mean, sd = like(np.random.default_rng(0), 1000)
    whole, chance = thompson(mean, sd), ThompsonProbabilities().probabilities(mean, sd)
    assert (chance > 0).sum() > 900
    assert whole[chance > 0].sum() >= 0.99
    assert chance.sum() == pytest.approx(1)
    np.testing.assert_allclose(chance[chance > 0], whole[chance > 0] / whole[chance > 0].sum())


def test_the_smallest_probabilities_are_cut_first():
    mean, sd = like(np.random.default_rng(0), 1000)
    whole, chance = thompson(mean, sd), ThompsonProbabilities().probabilities(mean, sd)
    assert whole[chance == 0].max() < whole[chance > 0].min()


def test_1000_equal_actions_have_the_same_probability():
    chance = ThompsonProbabilities().probabilities(np.full(1000, 2.0), np.full(1000, 0.3))
    np.testing.assert_allclose(chance, 0.001)


def test_with_a_max_cut_of_0_every_action_that_may_be_best_keeps_its_probability():
    mean, sd = like(np.random.default_rng(0), 1000)
    chance = ThompsonProbabilities(max_cut=0.0).probabilities(mean, sd)
    assert (chance > 0).all()


@pytest.mark.parametrize("max_cut", [-0.01, 0.2, NAN])
def test_a_max_cut_we_cannot_use_is_named_in_the_error(max_cut):
    with pytest.raises(InvalidSetting, match=f"max_cut is {max_cut!r}. Expected a probability"):
        ThompsonProbabilities(max_cut=max_cut)


def test_actions_that_are_not_allowed_do_not_count_among_a_thousand():
    mean, sd = like(np.random.default_rng(0), 1000)
    mean[::2], sd[::2] = NAN, NAN
    chance = ThompsonProbabilities().probabilities(mean, sd)
    assert (chance[::2] == 0).all()
    np.testing.assert_allclose(
        chance[1::2], ThompsonProbabilities().probabilities(mean[1::2], sd[1::2])
    )


def test_when_all_are_certain_the_best_one_is_chosen():
    found = ThompsonProbabilities().probabilities(np.array([1.0, 2.0, np.nan]), np.zeros(3))
    assert found.tolist() == [0.0, 1.0, 0.0]
