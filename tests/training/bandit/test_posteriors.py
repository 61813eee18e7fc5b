"""Tests linear posteriors: updates outcome by outcome equal one solution of all."""

from __future__ import annotations

import numpy as np
import pytest

from training.bandit.linear import LinearPosterior, LiveHeads, basis_of, solve

RIDGES, ACTIONS, WIDTH = (1.0, 30.0), 3, 6


def outcomes(n: int, seed: int) -> tuple:
    """Random vectors, actions, rewards and counts."""
    rng = np.random.default_rng(seed)
    vectors = np.column_stack([np.ones(n), rng.normal(size=(n, WIDTH - 1))])
    return vectors, rng.integers(0, ACTIONS, n), rng.normal(size=n), rng.uniform(0.5, 2, n)


def sums(vectors, actions, rewards, counts) -> tuple[np.ndarray, np.ndarray]:
    second, first = np.zeros((ACTIONS, WIDTH, WIDTH)), np.zeros((ACTIONS, WIDTH))
    for v, a, y, c in zip(vectors, actions, rewards, counts, strict=True):
        second[a] += c * np.outer(v, v)
        first[a] += c * y * v
    return second, first


def penalties() -> np.ndarray:
    return np.stack([np.full((ACTIONS, WIDTH), ridge) for ridge in RIDGES])


START = np.zeros((ACTIONS, WIDTH))


def test_updates_outcome_by_outcome_equal_one_solution_of_all():
    before, after = outcomes(20, seed=1), outcomes(60, seed=2)
    second, first = sums(*before)
    basis = basis_of(second)
    live = LiveHeads(second, first, penalties(), START, basis)
    for v, a, y, c in zip(*after, strict=True):
        live.absorb(int(a), v, live.look(v[None])[1][0], float(y), float(c))
    both = sums(*(np.concatenate(pair) for pair in zip(before, after, strict=True)))
    for one, penalty in zip(live.posteriors(), penalties(), strict=True):
        solved = solve(*both, penalty, START, basis)
        # What is followed is in single precision.
        assert one.weights == pytest.approx(solved.weights, abs=1e-5)
        assert one.variance == pytest.approx(solved.variance, rel=1e-5)
    moved = solve(second, first, penalties()[0], START, basis)
    assert not np.allclose(
        live.posteriors()[0].weights, moved.weights, atol=1e-2
    )  # the test can fail


def test_all_posteriors_at_once_predict_what_each_predicts_alone():
    second, first = sums(*outcomes(50, seed=3))
    live = LiveHeads(second, first, penalties(), START, basis_of(second))
    vectors = outcomes(4, seed=4)[0]
    means, along = live.look(vectors)
    for number, one in enumerate(live.posteriors()):
        assert means[:, number] == pytest.approx(one.mean(vectors))
        assert live.mean_variance(along)[:, number] == pytest.approx(one.mean_variance(vectors))


def test_the_variance_is_exact_where_actions_saw_the_same_customers():
    """One basis then makes all of their matrices diagonal, so no covariance is left out."""
    vectors, _, rewards, _ = outcomes(200, seed=5)
    shared = vectors.T @ vectors
    second, first = np.stack([shared, 2 * shared, 5 * shared]), np.tile(vectors.T @ rewards, (3, 1))
    one = solve(second, first, penalties()[1], START, basis_of(second))
    ask = outcomes(5, seed=6)[0]
    for action in range(ACTIONS):
        inverse = np.linalg.inv(second[action] + RIDGES[1] * np.eye(WIDTH))
        exact = np.einsum("ni,ij,nj->n", ask, inverse, ask)
        assert one.mean_variance(ask)[:, action] == pytest.approx(exact)


def test_more_outcomes_give_a_smaller_variance():
    second, first = sums(*outcomes(30, seed=7))
    second[1], first[1] = second[1] * 100, first[1] * 100
    one = solve(second, first, penalties()[0], START, basis_of(second))
    variance = one.mean_variance(outcomes(10, seed=8)[0])
    assert variance[:, 1].mean() < variance[:, [0, 2]].mean() / 1.5


def test_an_action_without_outcomes_has_the_variance_of_its_prior():
    one = LinearPosterior(np.ones((1, 2)), np.full((1, 2), 0.1), np.eye(2), ridge=4.0)
    both = one.for_actions(np.array([-1, 0]))
    vector = np.array([[1.0, 1.0]])
    assert both.mean(vector).tolist() == [[0.0, 2.0]]
    assert both.mean_variance(vector)[0] == pytest.approx([2 / 4.0, 0.2])
