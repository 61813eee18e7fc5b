"""The rate of leaving, against rates by hand and the equations that a regression solves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from training.effects.leaving_rates import fit_leaving_rate, leaving_rate, leaving_within


@pytest.mark.parametrize("days", [10.0, 10_000.0])
def test_two_kinds_of_customers_have_the_rates_that_were_counted(days):
    # 100 customers of each kind are watched; 8 of the first and 2 of the second leave.
    vectors = np.column_stack([np.ones(200), np.repeat([1.0, -1.0], 100)])
    left = np.r_[np.ones(8), np.zeros(92), np.ones(2), np.zeros(98)]
    weights = fit_leaving_rate(vectors, np.full(200, days), left, ridge=1e-6)
    found = leaving_rate(np.array([[1.0, 1.0], [1.0, -1.0]]), weights)
    assert found * days == pytest.approx([0.08, 0.02], rel=1e-3)


def test_the_prior_holds_the_weights_but_not_the_level():
    rng = np.random.default_rng(3)
    vectors = np.column_stack([np.ones(400), rng.normal(size=(400, 2))])
    days = rng.uniform(1.0, 30.0, 400)
    left = (rng.uniform(size=400) < 0.02 * days * np.exp(vectors[:, 1] / 2) / 3).astype(float)
    assert left.sum() > 20
    weights = fit_leaving_rate(vectors, days, left, ridge=50.0)
    # Where the derivatives of the log posterior are 0.
    score = vectors.T @ (left - days * np.exp(vectors @ weights))
    assert score == pytest.approx([0.0, *(50.0 * weights[1:])], abs=0.01 * left.sum())
    assert abs(weights[1]) > 0.02


def test_a_rate_without_features_is_customers_by_days():
    weights = fit_leaving_rate(np.ones((4, 1)), np.array([1.0, 2, 3, 4]), np.r_[1.0, 0, 0, 1], 9.0)
    assert np.exp(weights) == pytest.approx([2 / 10])


@pytest.mark.parametrize(("n", "expected"), [(4, 0.5 / 40), (0, 0.5)])
def test_nobody_leaving_counts_as_half_a_customer(n, expected):
    weights = fit_leaving_rate(np.ones((n, 3)), np.full(n, 10.0), np.zeros(n), 1.0)
    assert np.exp(weights[0]) == pytest.approx(expected)
    assert weights[1:].tolist() == [0.0, 0.0]


def test_a_probability_is_one_less_the_chance_to_stay_each_day():
    assert leaving_within(np.array([0.01, 0.0]), 30.0) == pytest.approx([1 - np.exp(-0.3), 0.0])
    assert leaving_within(np.array([1e-20]), 3.0) == pytest.approx([3e-20], rel=1e-12)


def test_a_rate_is_at_most_one_a_day():
    assert leaving_rate(np.array([[1.0], [1e6]]), np.array([0.5])).tolist() == [1.0, 1.0]


def test_a_server_that_predicts_does_not_import_scikit_learn():
    code = "import sys, training.effects.effect_model; print('sklearn' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
