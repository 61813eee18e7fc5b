"""The directions of effects, against t-statistics by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.effects.effect_directions import DirectionSums, least_statistic, standard_basis

# 16 decisions. Where the label is 4 x half x the first feature, the products of half and label are
# that feature: with the features they add up to 16 and 8, and their squares to 16: t = 4 and 2.
FIRST = np.repeat([1.0, -1.0], 8)
SECOND = FIRST * np.tile([1.0, 1.0, 1.0, -1.0], 4)
VECTORS = np.column_stack([np.ones(16), SECOND, FIRST])
HALVES = np.tile([0.5, -0.5], 8)  # of an action that is shown to every other customer
LABEL = 4 * HALVES * FIRST
ONCE = np.ones(16)


def test_a_direction_is_the_t_statistics_that_are_above_the_least():
    sums = DirectionSums(1, 3)
    sums.add(VECTORS, HALVES[:, None], LABEL, ONCE)
    assert sums.directions(1.0, 9)[:, 0] == pytest.approx(np.array([0.0, 1, 3]) / np.sqrt(10))
    assert sums.directions(3.0, 9)[:, 0] == pytest.approx([0.0, 0.0, 1.0])
    assert sums.directions(4.0, 9).shape == (3, 0)


def test_a_decision_counts_by_its_weight():
    others = np.concatenate([VECTORS, VECTORS[::-1]]), np.tile(HALVES[:, None], (2, 1))
    sums = DirectionSums(1, 3)
    sums.add(*others, np.concatenate([LABEL, 9 * LABEL]), np.repeat([2.0, 0.0], 16))
    assert sums.directions(1.0, 9)[:, 0] == pytest.approx(np.array([0.0, 1, 3]) / np.sqrt(10))


def test_a_mean_effect_makes_no_direction_where_chances_differ():
    # Half of the customers are shown the action with 0.5, the others with 0.1; it adds 2 to all.
    centred = np.concatenate([HALVES[:8], np.where(np.arange(40) % 10 == 0, 0.9, -0.1)])
    vectors = np.column_stack([np.ones(48), np.repeat([1.0, -1.0], [8, 40])])
    sums = DirectionSums(1, 2)
    weight = np.repeat([2.0, 1.0], [8, 40])
    sums.add(vectors, centred[:, None], 2 * centred, weight)
    assert sums.directions(1e-6, 9).shape == (2, 0)


@pytest.mark.parametrize("factor", [1e-3, -1.0, 1e12])
def test_a_direction_does_not_depend_on_the_currency(factor):
    sums = DirectionSums(1, 3)
    sums.add(VECTORS, HALVES[:, None], LABEL * factor, ONCE)
    expected = np.sign(factor) * np.array([0.0, 1, 3]) / np.sqrt(10)
    assert sums.directions(1.0, 9)[:, 0] == pytest.approx(expected, abs=1e-4)


def test_batches_add_up():
    sums = DirectionSums(1, 3)
    for part in (slice(0, 1), slice(1, 9), slice(9, 9), slice(9, 16)):
        sums.add(VECTORS[part], HALVES[part, None], LABEL[part], ONCE[part])
    assert sums.directions(1.0, 9)[:, 0] == pytest.approx(np.array([0.0, 1, 3]) / np.sqrt(10))


def test_the_clearest_directions_are_kept_in_the_order_of_the_actions():
    # The feature goes with the signal of the first action in 14 of 16 decisions, t = 3; in 12 with
    # that of the second, t = 2; in all with that of the third, t = 4.
    signs = np.array([np.repeat([-1.0, 1.0], [wrong, 16 - wrong]) for wrong in (2, 4, 0)]).T
    sums = DirectionSums(3, 2)
    sums.add(VECTORS[:, [0, 2]], HALVES[:, None] * signs, LABEL, ONCE)
    assert sums.directions(1.0, 3).tolist() == [[0.0] * 3, [1.0] * 3]
    assert sums.directions(2.5, 3).shape == (2, 2)
    assert sums.directions(1.0, 1).shape == (2, 1)
    assert sums.directions(1.0, 0).shape == (2, 0)
    assert DirectionSums(3, 2).directions(0.0, 3).shape == (2, 0)  # nothing was added


def test_a_basis_makes_a_mean_of_0_and_a_variance_of_1():
    vectors = np.array([[1.0, 3.0, 7.0], [1.0, 5.0, 7.0], [1.0, 3.0, 7.0], [1.0, 5.0, 7.0]])
    parts = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    basis = standard_basis(parts, vectors)  # the second is 7 for all, the third 0: both left out
    # 2 x + 7 is 13 or 17: the mean is 15, the deviation 2.
    assert basis == pytest.approx(np.array([[1.0, -7.5], [0.0, 1.0], [0.0, 0.5]]))
    assert vectors @ basis == pytest.approx(np.array([[1.0, -1], [1, 1], [1, -1], [1, 1]]))


def test_a_basis_of_no_direction_is_the_level():
    assert standard_basis(np.zeros((2, 0)), np.ones((3, 2))).tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("by_chance", "n_features", "expected"),
    [(5.0, 100, 1.959964), (1.0, 1000, 3.290527), (10.0, 4, 0.0), (1.0, 0, 0.0)],
)
def test_the_least_statistic_lets_so_many_features_in_by_chance(by_chance, n_features, expected):
    assert least_statistic(by_chance, n_features) == pytest.approx(expected, abs=1e-6)
