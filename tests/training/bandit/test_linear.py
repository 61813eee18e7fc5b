"""Linear heads: what is followed outcome by outcome equals what is solved at once."""

from __future__ import annotations

import numpy as np
import pytest

from training.bandit.linear import LinearPosterior, LiveHeads, basis_of, solve

RIDGES, ACTIONS, WIDTH = (1.0, 30.0), 3, 6


def outcomes(n: int, seed: int) -> tuple:
    """Vectors, actions, rewards and counts."""
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


def test_following_each_outcome_ends_where_solving_all_of_them_does():
    before, after = outcomes(20, seed=1), outcomes(60, seed=2)
    second, first = sums(*before)
    basis = basis_of(second)
    live = LiveHeads(second, first, penalties(), START, basis)
    for v, a, y, c in zip(*after, strict=True):
        live.absorb(int(a), v, live.look(v[None])[1][0], float(y), float(c))
    both = sums(*(np.concatenate(pair) for pair in zip(before, after, strict=True)))
    for head, penalty in zip(live.posteriors(), penalties(), strict=True):
        solved = solve(*both, penalty, START, basis)
        # What is followed is in single precision.
        assert head.weights == pytest.approx(solved.weights, abs=1e-5)
        assert head.variance == pytest.approx(solved.variance, rel=1e-5)
    moved = solve(second, first, penalties()[0], START, basis)
    assert not np.allclose(
        live.posteriors()[0].weights, moved.weights, atol=1e-2
    )  # the test can fail


def test_all_heads_at_once_say_what_each_says_alone():
    second, first = sums(*outcomes(50, seed=3))
    live = LiveHeads(second, first, penalties(), START, basis_of(second))
    vectors = outcomes(4, seed=4)[0]
    means, along = live.look(vectors)
    for number, head in enumerate(live.posteriors()):
        assert means[:, number] == pytest.approx(head.mean(vectors))
        assert live.spread(along)[:, number] == pytest.approx(head.spread(vectors))


def test_the_spread_is_the_exact_variance_where_actions_saw_the_same_customers():
    """One basis then makes all of their matrices diagonal, and nothing is left out."""
    vectors, _, rewards, _ = outcomes(200, seed=5)
    shared = vectors.T @ vectors
    second, first = np.stack([shared, 2 * shared, 5 * shared]), np.tile(vectors.T @ rewards, (3, 1))
    head = solve(second, first, penalties()[1], START, basis_of(second))
    ask = outcomes(5, seed=6)[0]
    for action in range(ACTIONS):
        inverse = np.linalg.inv(second[action] + RIDGES[1] * np.eye(WIDTH))
        exact = np.einsum("ni,ij,nj->n", ask, inverse, ask)
        assert head.spread(ask)[:, action] == pytest.approx(exact)


def test_what_is_known_better_is_less_unsure():
    second, first = sums(*outcomes(30, seed=7))
    second[1], first[1] = second[1] * 100, first[1] * 100
    head = solve(second, first, penalties()[0], START, basis_of(second))
    spread = head.spread(outcomes(10, seed=8)[0])
    assert spread[:, 1].mean() < spread[:, [0, 2]].mean() / 1.5


def test_an_action_that_nobody_knows_is_as_unsure_as_its_prior():
    head = LinearPosterior(np.ones((1, 2)), np.full((1, 2), 0.1), np.eye(2), ridge=4.0)
    both = head.rearranged(np.array([-1, 0]))
    vector = np.array([[1.0, 1.0]])
    assert both.mean(vector).tolist() == [[0.0, 2.0]]
    assert both.spread(vector)[0] == pytest.approx([2 / 4.0, 0.2])
