"""Exploration: probabilities that are exact, and draws that keep to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidSetting, NothingAllowed
from training.exploration import InverseGapPolicy, draw

NAN = float("nan")
rewards = st.lists(
    st.one_of(st.just(NAN), st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=40
).filter(lambda values: not np.isnan(values).all())


def test_matches_the_worked_example_in_the_docstring():
    chance = InverseGapPolicy(greed=10).probabilities(np.array([1.0, 0.0]))
    assert chance == pytest.approx([11 / 12, 1 / 12])


def test_without_greed_all_allowed_actions_are_tried_alike():
    chance = InverseGapPolicy(greed=0).probabilities(np.array([5.0, NAN, -5.0, 0.0]))
    assert chance == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])


def test_the_only_allowed_action_is_certain():
    assert InverseGapPolicy(greed=20).probabilities(np.array([NAN, -3.0])).tolist() == [0.0, 1.0]


def test_an_action_that_trails_further_is_tried_less():
    chance = InverseGapPolicy(greed=20).probabilities(np.array([0.5, 2.0, 1.0, 1.9]))
    assert chance.argsort().tolist() == [0, 2, 3, 1]


@settings(deadline=None)  # a busy machine is no counterexample
@given(rewards=rewards, greed=st.floats(0, 1e6))
def test_probabilities_sum_to_1_and_are_above_0_exactly_where_allowed(rewards, greed):
    expected = np.array(rewards)
    chance = InverseGapPolicy(greed).probabilities(expected)
    assert abs(chance.sum() - 1) <= 1e-12
    assert ((chance > 0) == ~np.isnan(expected)).all()
    assert (chance[np.isnan(expected)] == 0).all()
    assert chance[np.nanargmax(expected)] >= chance.max() - 1e-12


def test_nothing_allowed_is_an_error_that_says_what_to_allow():
    with pytest.raises(NothingAllowed, match="no allowed action.*Allow 'no_action'"):
        InverseGapPolicy(greed=10).probabilities(np.array([NAN, NAN]))


@pytest.mark.parametrize("greed", [-1.0, NAN, float("inf"), float("-inf")])
def test_a_greed_we_cannot_use_is_named_in_the_error(greed):
    with pytest.raises(InvalidSetting, match=f"greed is {greed!r}. Expected a number from 0 to"):
        InverseGapPolicy(greed)


def test_each_action_is_drawn_as_often_as_its_probability_says():
    chance = np.array([0.0, 0.5, 0.3, 0.0, 0.15, 0.05, 0.0])
    n = 10_000
    drawn = np.bincount([draw(chance, f"decision-{i}") for i in range(n)], minlength=7)
    # 4 standard errors of a share of n draws; exactly 0 where the probability is 0.
    tolerance = 4 * np.sqrt(chance * (1 - chance) / n)
    assert (np.abs(drawn / n - chance) <= tolerance).all()


def test_the_same_id_draws_the_same_action_for_ever():
    chance = np.full(1000, 1 / 1000)
    # sha256("d-1") begins 0741a320...; 0x0741a320 / 2^32 is 0.02834.
    assert draw(chance, "d-1") == draw(chance, "d-1") == 28
    assert len({draw(chance, f"d-{i}") for i in range(20)}) > 15


def test_a_sum_a_rounding_error_below_1_still_draws_an_allowed_action():
    chance = np.array([1e-9, 1e-9, 0.0])
    assert {draw(chance, f"d-{i}") for i in range(50)} == {1}
