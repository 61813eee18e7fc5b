"""Tests the probabilities of normal variables to be the greatest of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from training.bandit.best_of_normals import DISTANCES, probabilities_of_best


def test_of_two_the_difference_is_normal():
    chance = probabilities_of_best(np.array([1.0, 0.0]), np.array([0.6, 0.8]))
    assert chance == pytest.approx([norm.cdf(1), norm.cdf(-1)])


def test_equal_variables_have_equal_probabilities():
    chance = probabilities_of_best(np.full(50, 3.0), np.full(50, 2.0))
    np.testing.assert_allclose(chance, chance[0])
    assert chance.sum() == pytest.approx(1, abs=1e-4)


def test_a_constant_is_the_greatest_if_no_variable_is_above_it():
    chance = probabilities_of_best(np.array([0.0, 0.5, 0.0]), np.array([1.0, 2.0, 0.0]))
    assert chance[2] == pytest.approx(norm.cdf(0) * norm.cdf(-0.25))


@pytest.mark.parametrize("sd", [0.3, 1e-4, 1e-9])
def test_a_very_narrow_variable_beside_wide_ones_has_its_exact_probability(sd):
    """A variable with 1 +- sd is the greatest of three, if both others are below it."""
    chance = probabilities_of_best(np.array([1.0, 0.0, 0.5]), np.array([sd, 1.0, 1.0]))
    z = 1 + sd * np.linspace(-6, 6, 2001)
    below = norm.cdf(z) * norm.cdf(z - 0.5)
    expected = np.trapezoid(below * norm.pdf((z - 1) / sd), (z - 1) / sd)
    assert chance[0] == pytest.approx(expected, abs=0.001)


def test_monte_carlo_finds_the_same_probabilities_of_100_variables():
    rng = np.random.default_rng(4)
    mean, sd, draws = rng.normal(size=100), 10 ** rng.uniform(-2, 0, 100), 200_000
    often = np.zeros(100)
    for _ in range(10):
        drawn = mean + sd * rng.normal(size=(draws // 10, 100))
        often += np.bincount(drawn.argmax(axis=1), minlength=100) / draws
    chance = probabilities_of_best(mean, sd)
    error = np.abs(chance - often) - 4 * np.sqrt(often * (1 - often) / draws)
    assert error.max() < 0.0005


def test_the_nodes_reach_above_all_densities_that_begin_below_the_floor():
    """The widest has 100,000 times the smallest standard deviation, and 4 + 6 of its own."""
    assert DISTANCES[-2] > 1e6
    assert len(DISTANCES) < 250
