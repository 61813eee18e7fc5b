"""A learned policy is personal where that pays, and the best fixed action where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.log import Log
from training.evaluation.policy_learning import doubly_robust_scores, learn_policy
from training.evaluation.reward_regression import cross_fitted


def experiment(effect, n=3000, seed=1):
    """Three arms by chance; arm 1 is best on average, arm 2 for those with x > 0 by ``effect``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    truth = np.zeros((n, 3)) + 0.5
    truth[:, 1] += 0.3
    truth[:, 2] += 0.1 + np.where(x[:, 0] > 0, effect, -effect)
    action = rng.integers(3, size=n)
    reward = truth[np.arange(n), action] + rng.normal(size=n)
    return x, Log(reward, action, np.full(n, 1 / 3)), truth


def test_it_tells_customers_apart_where_that_pays():
    x, log, _ = experiment(0.8)
    policy = learn_policy(x, log, 3)
    assert policy.fixed == 1 and policy.values is not None and policy.gain > 2 * policy.error > 0
    other, _, truth = experiment(0.8, seed=2)
    chosen = policy.probabilities(other)
    assert (chosen.sum(axis=1) == 1).all()
    value = (chosen * truth).sum(axis=1).mean()
    # Of the gain that there is over arm 1, 0.3 a customer, most.
    assert value - truth[:, 1].mean() > 0.8 * (truth.max(axis=1) - truth[:, 1]).mean()


def test_it_gives_all_the_best_action_where_nothing_is_gained():
    personal = 0
    for seed in range(6):
        x, log, _ = experiment(0.0, n=1500, seed=seed)
        policy = learn_policy(x, log, 3, seed=seed)
        personal += policy.values is not None
        if policy.values is None:
            assert (policy.probabilities(x).argmax(axis=1) == policy.fixed).all()
    assert personal <= 2  # 6 candidates, each wrongly proven in at most 5 %


def test_scores_average_to_what_each_action_earns():
    x, log, truth = experiment(0.8, n=20_000)
    scores = doubly_robust_scores(log, cross_fitted(x, log, 3))
    error = scores.std(axis=0) / np.sqrt(len(scores))
    assert scores.mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=4 * error.max())
    assert error.max() < 0.02
