"""Learns from a batch of logged decisions which action suits whom, if that is worth it at all.

The best fixed action is hard to beat, and a greedy model that believes itself loses to it. So a
personal policy must first prove its gain on customers its model has not seen; else all get the
best fixed action.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from training.arrays import Floats, Ints
from training.evaluation.log import Log
from training.evaluation.reward_regression import FOLDS, ActionValues, Kind, cross_fitted

SURE = 1.645  # standard errors by which the gain must exceed 0: one-sided 95 %
MARGINS = (0.0, 0.5, 0.8)  # quantiles of the foreseen gains; below one, the fixed action is kept
KINDS: tuple[Kind, ...] = ("ridge", "trees")


@dataclass(frozen=True)
class LearnedPolicy:
    """Gives each customer the action that promises most, if it promises enough more than `fixed`.

    Attributes
    ----------
    fixed : int
        The best action for everybody.
    values : ActionValues or None
        None: nothing was gained by telling customers apart.
    margin : float, in the unit of the reward
        What another action must promise more than ``fixed``.
    gain, error : float
        Reward a decision above ``fixed`` of the best personal policy, on customers its model had
        not seen, and the standard error; 0 if no candidate chose anything else.
    """

    fixed: int
    n_actions: int
    values: ActionValues | None
    margin: float
    gain: float
    error: float

    def probabilities(self, contexts: Floats) -> Floats:
        """One-hot, shape (n, n_actions), for ``contexts`` of shape (n, n_features)."""
        choice = np.full(len(contexts), self.fixed)
        if self.values is not None:
            choice = _choices(self.values.expected(contexts), self.fixed, self.margin)
        chances: Floats = np.eye(self.n_actions)[choice]
        return chances


def doubly_robust_scores(log: Log, expected: Floats) -> Floats:
    """For each decision and action an unbiased guess of its reward, shape (n, n_actions).

    The model's expectation, plus, for the action taken, residual / logged probability.

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
    """The best fixed action, or a personal policy that is surely better.

    Candidates are greedy by each kind of model, with each margin; the one with the highest lower
    bound of its gain is taken if that bound is above 0.

    Parameters
    ----------
    contexts : shape (n_decisions, n_features)

    Raises
    ------
    InvalidLog
        If there are too few customers for two folds.
    """
    foreseen = {
        kind: cross_fitted(contexts, log, n_actions, folds=folds, seed=seed, kind=kind)
        for kind in KINDS
    }
    scores = doubly_robust_scores(log, foreseen["ridge"])
    fixed = int(scores.mean(axis=0).argmax())
    best: tuple[float, float, float, Kind | None] = (0.0, 0.0, 0.0, None)
    bound = -np.inf
    for kind, margin, choice in _candidates(foreseen, fixed):
        gain, error = _gain(log.unit, scores, choice, fixed)
        if error and gain - SURE * error > bound:
            bound, best = gain - SURE * error, (gain, error, margin, kind)
    gain, error, margin, chosen = best
    values = None
    if chosen is not None and bound > 0:
        values = ActionValues(contexts, log.action, log.reward, n_actions, chosen)
    return LearnedPolicy(fixed, n_actions, values, margin, gain, error)


def _candidates(foreseen: dict[Kind, Floats], fixed: int) -> Iterator[tuple[Kind, float, Ints]]:
    """Kind of model, margin, and the action of each decision."""
    for kind, expected in foreseen.items():
        promised = expected.max(axis=1) - expected[:, fixed]
        above = promised[promised > 0]
        for quantile in MARGINS if len(above) else ():
            margin = float(np.quantile(above, quantile)) if quantile else 0.0
            yield kind, margin, _choices(expected, fixed, margin)


def _choices(expected: Floats, fixed: int, margin: float) -> Ints:
    promised = expected.max(axis=1) - expected[:, fixed]
    choice: Ints = np.where(promised > margin, expected.argmax(axis=1), fixed)
    return choice


def _gain(unit: Ints, scores: Floats, choice: Ints, fixed: int) -> tuple[float, float]:
    """Mean gain of a decision over the fixed action, and its standard error over customers."""
    gained = scores[np.arange(len(scores)), choice] - scores[:, fixed]
    mean, size = float(gained.mean()), np.bincount(unit)
    off = (np.bincount(unit, gained) - mean * size) / size.mean()
    return mean, sqrt(float((off**2).sum())) / len(off)
