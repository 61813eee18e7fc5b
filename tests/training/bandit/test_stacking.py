"""Tests stacking: the mixture of experts with the smallest squared error."""

from __future__ import annotations

import numpy as np
import pytest

from training.bandit.stacking import (
    EVIDENCE_WEIGHT,
    ExpertErrors,
    mixed_with_evidence,
    normalised,
    stacking_weights,
)


def random_outcomes(n: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def errors_of(expert_predictions: np.ndarray, truth: np.ndarray) -> ExpertErrors:
    n_experts = expert_predictions.shape[1]
    return ExpertErrors(np.zeros((n_experts, n_experts)), 0.0).learn(
        expert_predictions, truth, np.ones(len(truth))
    )


def test_weights_computed_by_hand():
    """With uncorrelated errors, weights are proportional to the inverse squared errors."""
    assert stacking_weights(np.diag([1.0, 3.0])) == pytest.approx([0.75, 0.25], abs=0.01)


def test_an_expert_without_errors_gets_all_the_weight():
    truth = random_outcomes()
    expert_predictions = np.column_stack([np.zeros_like(truth), truth, truth + 1])
    assert errors_of(expert_predictions, truth).expert_weights() == pytest.approx(
        [0, 1, 0], abs=1e-9
    )


def test_an_expert_with_the_same_but_larger_errors_gets_0_and_not_a_negative_weight():
    truth = random_outcomes()
    expert_predictions = np.column_stack([truth + 1, truth + 2])  # without bounds: 2 and -1
    assert errors_of(expert_predictions, truth).expert_weights().tolist() == [1.0, 0.0]


def test_two_equal_experts_get_equal_weights():
    truth = random_outcomes()
    assert errors_of(np.column_stack([truth + 1] * 2), truth).expert_weights() == pytest.approx(
        [0.5, 0.5]
    )


def test_no_other_mixture_of_three_experts_has_a_smaller_error():
    rng = np.random.default_rng(4)
    errors = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + rng.normal(size=3)
    products = errors.T @ errors
    best = stacking_weights(products)
    others = rng.dirichlet(np.ones(3), 5_000)
    steady = products + 0.01 * np.diag(products).min() * np.eye(3)
    assert best @ steady @ best <= np.einsum("ni,ij,nj->n", others, steady, others).min() + 1e-9
    assert best.min() >= 0 and best.sum() == pytest.approx(1)


def test_outcomes_in_any_order_and_retracted_leave_the_same_errors():
    truth, rng = random_outcomes(50), np.random.default_rng(5)
    expert_predictions, ones = rng.normal(size=(50, 2)), np.ones(50)
    once = errors_of(expert_predictions, truth)
    late = errors_of(expert_predictions[::-1], truth[::-1]).learn(
        expert_predictions[:9], truth[:9], ones[:9]
    )
    back = late.learn(expert_predictions[:9], truth[:9], -ones[:9])
    assert back.products == pytest.approx(once.products)
    assert back.count == once.count == 50
    assert not np.allclose(late.products, once.products)  # the test can fail


def test_a_handicap_keeps_the_weight_at_0_until_the_expert_was_better_by_that_much():
    truth = random_outcomes(100)
    expert_predictions = np.column_stack([truth + 1, truth])  # the second is better by 1 each time
    assert (
        errors_of(expert_predictions[:10], truth[:10]).expert_weights(np.array([0.0, 1e3]))[1]
        < 0.02
    )
    assert errors_of(expert_predictions[:10], truth[:10]).expert_weights()[1] == pytest.approx(1)
    assert errors_of(expert_predictions, truth).expert_weights(np.array([0.0, 10.0]))[1] > 0.9


def test_errors_tell_by_how_much_the_predictions_differed():
    """The same prediction of all experts tells nothing of which is best, however often it came."""
    truth, rng = random_outcomes(200), np.random.default_rng(6)
    same = np.repeat(rng.normal(size=(200, 1)), 3, axis=1)
    assert errors_of(same, truth).told() == pytest.approx(0, abs=1e-9)
    other = same + [[0.0, 0.5, -1.0]]
    assert errors_of(other, truth).told() == pytest.approx(200 * 1.5**2)
    assert ExpertErrors(np.zeros((0, 0)), 0.0).told() == 0


def test_evidence_counts_until_the_errors_have_told():
    weights, handicaps = np.array([1.0, 0.0, 0.0]), np.array([0.0, 3.0, 0.0])
    evidence = np.array([-100.0, -100.0 + np.log(12.0), -np.inf])

    def mixed(told: float) -> np.ndarray:
        return mixed_with_evidence(weights, evidence, handicaps, told)

    # Twelve times as likely, with a quarter of the prior odds: 3 : 1.
    assert mixed(0.0) == pytest.approx([0.25, 0.75, 0.0])
    assert mixed(EVIDENCE_WEIGHT) == pytest.approx([0.625, 0.375, 0.0])
    assert mixed(1e9) == pytest.approx(weights, abs=1e-6)
    assert mixed(np.inf).tolist() == weights.tolist()
    nobody = np.full(3, -np.inf)
    assert mixed_with_evidence(weights, nobody, handicaps, 0.0).tolist() == weights.tolist()


def test_mean_squares_are_those_of_each_expert():
    errors = ExpertErrors.start([0.25, 1.0], count=2.0).learn(
        np.array([[1.0, 0.0]]), np.zeros(1), np.array([2.0])
    )
    assert errors.squares == pytest.approx([(0.5 + 2) / 4, 2 / 4])


def test_stacking_weights_are_scaled_to_the_sum_1():
    assert normalised(np.array([0.1, 0.3])) == pytest.approx([0.25, 0.75])
    assert normalised(np.zeros(3)).tolist() == [1.0, 0.0, 0.0]
