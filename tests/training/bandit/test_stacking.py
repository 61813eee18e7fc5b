"""Experts: the mixture that would have foretold best."""

from __future__ import annotations

import numpy as np
import pytest

from training.bandit.stacking import ExpertErrors, stacking_weights


def followed(n: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def judged(expert_predictions: np.ndarray, truth: np.ndarray) -> ExpertErrors:
    n_experts = expert_predictions.shape[1]
    return ExpertErrors(np.zeros((n_experts, n_experts)), 0.0).learn(
        expert_predictions, truth, np.ones(len(truth))
    )


def test_shares_worked_by_hand():
    """Errors that know nothing of each other: shares go by the inverse of their squares."""
    assert stacking_weights(np.diag([1.0, 3.0])) == pytest.approx([0.75, 0.25], abs=0.01)


def test_who_is_always_right_is_believed():
    truth = followed()
    expert_predictions = np.column_stack([np.zeros_like(truth), truth, truth + 1])
    assert judged(expert_predictions, truth).expert_weights() == pytest.approx([0, 1, 0], abs=1e-9)


def test_who_errs_like_another_but_more_gets_nothing_rather_than_less_than_nothing():
    truth = followed()
    expert_predictions = np.column_stack([truth + 1, truth + 2])  # without bounds: 2 and -1
    assert judged(expert_predictions, truth).expert_weights().tolist() == [1.0, 0.0]


def test_two_of_the_same_opinion_share():
    truth = followed()
    assert judged(np.column_stack([truth + 1] * 2), truth).expert_weights() == pytest.approx(
        [0.5, 0.5]
    )


def test_no_other_mixture_of_three_would_have_erred_less():
    rng = np.random.default_rng(4)
    errors = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + rng.normal(size=3)
    products = errors.T @ errors
    best = stacking_weights(products)
    others = rng.dirichlet(np.ones(3), 5_000)
    steady = products + 0.01 * np.diag(products).min() * np.eye(3)
    assert best @ steady @ best <= np.einsum("ni,ij,nj->n", others, steady, others).min() + 1e-9
    assert best.min() >= 0 and best.sum() == pytest.approx(1)


def test_outcomes_in_any_order_and_taken_back_leave_the_same_errors():
    truth, rng = followed(50), np.random.default_rng(5)
    expert_predictions, ones = rng.normal(size=(50, 2)), np.ones(50)
    once = judged(expert_predictions, truth)
    late = judged(expert_predictions[::-1], truth[::-1]).learn(
        expert_predictions[:9], truth[:9], ones[:9]
    )
    back = late.learn(expert_predictions[:9], truth[:9], -ones[:9])
    assert back.products == pytest.approx(once.products)
    assert back.count == once.count == 50
    assert not np.allclose(late.products, once.products)  # the test can fail


def test_a_debt_keeps_an_expert_silent_until_it_was_better_by_that_much():
    truth = followed(100)
    expert_predictions = np.column_stack([truth + 1, truth])  # the second is better by 1 each time
    assert (
        judged(expert_predictions[:10], truth[:10]).expert_weights(np.array([0.0, 1e3]))[1] < 0.02
    )
    assert judged(expert_predictions[:10], truth[:10]).expert_weights()[1] == pytest.approx(1)
    assert judged(expert_predictions, truth).expert_weights(np.array([0.0, 10.0]))[1] > 0.9


def test_mean_squares_are_those_of_each_expert():
    errors = ExpertErrors.start([0.25, 1.0], count=2.0).learn(
        np.array([[1.0, 0.0]]), np.zeros(1), np.array([2.0])
    )
    assert errors.squares == pytest.approx([(0.5 + 2) / 4, 2 / 4])
