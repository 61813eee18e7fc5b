"""Tests the posterior of a bandit: its predictions, their deviation and the experts' weights."""

from __future__ import annotations

import numpy as np
import pytest

from training.bandit.bandit_settings import BanditSettings
from training.bandit.belief import Belief

SETTINGS = BanditSettings(width=8, trees_from=10**9)


def learned(n: int) -> Belief:
    """Action 0 earns 1 and action 1 earns 0 where the feature is above 0; else the reverse."""
    rng = np.random.default_rng(1)
    x, actions = rng.normal(size=(n, 1)), rng.integers(0, 2, n)
    rewards = ((x[:, 0] > 0) == (actions == 0)).astype(np.float64)
    belief = Belief(1, 2, SETTINGS)
    belief.learn(x, actions, rewards, np.ones(n))
    return belief


def test_the_mean_tells_the_better_action_and_the_explanation_adds_up_to_it():
    belief, x = learned(300), np.array([[1.0], [-1.0]])
    mean, deviation = belief.predict(x)
    assert mean.shape == deviation.shape == (2, 2)
    assert mean.argmax(axis=1).tolist() == [0, 1]
    assert belief.explain(x[0]).scores == pytest.approx(mean[0], abs=1e-5)


def test_more_outcomes_make_the_deviation_smaller():
    x = np.array([[0.5]])
    _, few = learned(30).predict(x)
    _, many = learned(3_000).predict(x)
    assert (many < few).all()


def test_trees_that_are_not_fitted_yet_get_little_weight():
    weights = learned(300).expert_weights
    assert weights.sum() == pytest.approx(1)
    assert weights[-1] < 0.1
