"""Learns a policy from a batch of logged decisions, or the best fixed action if that is not worse.

The best fixed action is hard to beat, and a policy that is greedy on a reward model often earns
less. So a policy that distinguishes customers must first prove its gain on customers whom its model
has not seen; otherwise all customers get the best fixed action.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from training.arrays import Floats, Ints
from training.evaluation.log import Log
from training.evaluation.reward_regression import FOLDS, ActionValues, RewardModelKind, cross_fitted

ONE_SIDED_95 = 1.645  # standard errors by which the gain must exceed 0
MARGINS = (0.0, 0.5, 0.8)  # quantiles of the predicted advantages; below, the fixed action is kept
CANDIDATE_KINDS: tuple[RewardModelKind, ...] = ("ridge", "trees")


@dataclass(frozen=True)
class LearnedPolicy:
    """Chooses the action of highest predicted reward, or `fixed` if the advantage is small.

    Attributes
    ----------
    fixed : int
        The best action for all customers.
    values : ActionValues or None
        The reward model; None: the policy is the fixed action.
    margin : float, in the customer of the reward
        Predicted advantage over ``fixed`` above which another action is chosen.
    gain, error : float
        Gain per decision of the best candidate over ``fixed``, on customers that its model has not
        seen, and its standard error; 0 if no candidate chose another action.
    """

    fixed: int
    n_actions: int
    values: ActionValues | None
    margin: float
    gain: float
    error: float

    def probabilities(self, contexts: Floats) -> Floats:
        """Return one-hot rows, shape (n, n_actions), for ``contexts`` of shape (n, n_features)."""
        choice = np.full(len(contexts), self.fixed)
        if self.values is not None:
            choice = _choices(self.values.expected(contexts), self.fixed, self.margin)
        chosen: Floats = np.eye(self.n_actions)[choice]
        return chosen


def doubly_robust_scores(log: Log, expected: Floats) -> Floats:
    """Compute an unbiased estimate of each decision's reward for each action, (n, n_actions).

    The model's prediction; for the logged action plus residual / logged probability.

    References
    ----------
    Dudik, Langford & Li (2011), "Doubly robust policy evaluation and learning", section 3;
    Athey & Wager (2021), "Policy learning with observational data", equation 5.
    """
    rows = np.arange(len(log.reward))
    scores = expected.copy()
    residual = log.reward - expected[rows, log.action]
    scores[rows, log.action] += residual / log.logged_probability
    return scores


def learn_policy(
    contexts: Floats, log: Log, n_actions: int, *, folds: int = FOLDS, seed: int = 0
) -> LearnedPolicy:
    """Learn a policy that is significantly better than the best fixed action, else return that.

    The candidates are greedy on a reward model of each kind, with each margin. The candidate with
    the highest lower confidence bound of its doubly robust gain is chosen if the bound is above 0.

    Parameters
    ----------
    contexts : shape (n_decisions, n_features)

    Raises
    ------
    InvalidLog
        If there are too few customers for two folds.

    References
    ----------
    Dudik, Langford & Li (2011); Athey & Wager (2021): see `doubly_robust_scores`.
    """
    predictions = {
        kind: cross_fitted(contexts, log, n_actions, folds=folds, seed=seed, kind=kind)
        for kind in CANDIDATE_KINDS
    }
    scores = doubly_robust_scores(log, predictions["ridge"])
    fixed = int(scores.mean(axis=0).argmax())
    best: tuple[float, float, float, RewardModelKind | None] = (0.0, 0.0, 0.0, None)
    bound = -np.inf
    for kind, margin, choice in _candidates(predictions, fixed):
        gain, error = _gain(log.customer, scores, choice, fixed)
        if error and gain - ONE_SIDED_95 * error > bound:
            bound, best = gain - ONE_SIDED_95 * error, (gain, error, margin, kind)
    gain, error, margin, chosen = best
    values = None
    if chosen is not None and bound > 0:
        values = ActionValues(contexts, log.action, log.reward, n_actions, chosen)
    return LearnedPolicy(fixed, n_actions, values, margin, gain, error)


def _candidates(
    predictions: dict[RewardModelKind, Floats], fixed: int
) -> Iterator[tuple[RewardModelKind, float, Ints]]:
    """Yield the kind of model, the margin, and the action of each decision."""
    for kind, expected in predictions.items():
        advantage = expected.max(axis=1) - expected[:, fixed]
        above = advantage[advantage > 0]
        for quantile in MARGINS if len(above) else ():
            margin = float(np.quantile(above, quantile)) if quantile else 0.0
            yield kind, margin, _choices(expected, fixed, margin)


def _choices(expected: Floats, fixed: int, margin: float) -> Ints:
    advantage = expected.max(axis=1) - expected[:, fixed]
    choice: Ints = np.where(advantage > margin, expected.argmax(axis=1), fixed)
    return choice


def _gain(customer: Ints, scores: Floats, choice: Ints, fixed: int) -> tuple[float, float]:
    """Compute the mean gain per decision over the fixed action, and its clustered error."""
    gain_of_each = scores[np.arange(len(scores)), choice] - scores[:, fixed]
    mean, size = float(gain_of_each.mean()), np.bincount(customer)
    influence = (np.bincount(customer, gain_of_each) - mean * size) / size.mean()
    return mean, sqrt(float((influence**2).sum())) / len(influence)
