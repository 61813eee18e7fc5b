"""Reward models for off-policy evaluation, cross-fitted by customer.

A model overfits the rewards that it was fitted on, which biases an estimate made with it. So
customers are divided into folds, and each fold is predicted by a model of the other folds
(Chernozhukov et al. 2018, "Double/debiased machine learning", Econometrics Journal 21).
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from features.errors import InvalidLog
from training.arrays import Floats, Ints
from training.evaluation.log import Log
from training.models.lightgbm_settings import boosting_settings
from training.models.lightgbm_settings import lightgbm as lgb
from training.models.ridge import ridge_by_action

RewardModelKind = Literal["ridge", "trees"]

FOLDS = 5
RIDGE = 10.0  # penalty of a weight, in decisions
MEAN_RIDGE = 1e-6  # penalty of the mean of all decisions, which is not shrunk towards 0
TREES = boosting_settings(
    # Rewards are noisy, and no choice follows from a detail: large leaves, shrunk values.
    learning_rate=0.05,
    min_data_in_leaf=50,
    lambda_l2=10.0,
    min_data_per_group=20,
)
ROUNDS = 80


def folds_of(log: Log, folds: int = FOLDS, seed: int = 0) -> Ints:
    """Compute the fold of each decision, shape (n_decisions,), by a hash of the customer.

    The fold of a customer does not depend on the rest of the log.
    """
    if log.subject is None:
        names, position = [str(row) for row in range(len(log.reward))], log.customer
    else:
        unique, position = np.unique(log.subject, return_inverse=True)
        names = [str(name) for name in unique]
    digests = (hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names)
    fold = np.array([int.from_bytes(digest[:7], "big") % folds for digest in digests])
    of_rows: Ints = fold[position]
    return of_rows


def cross_fitted(
    contexts: Floats,
    log: Log,
    n_actions: int,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    kind: RewardModelKind = "ridge",
) -> Floats:
    """Predict the reward of each action for each logged decision, cross-fitted.

    Parameters
    ----------
    contexts : shape (n_decisions, n_features)
        Features at the decision; unknown ones are ``nan``.
    folds : int, >= 2
    seed : int
        Seed of the folds.
    kind
        ``ridge``: `ridge_by_action`; ``trees``: LightGBM with the action as a category.

    Returns
    -------
    shape (n_decisions, n_actions), in the unit of the reward

    Raises
    ------
    InvalidLog
        If there are too few customers for two folds, or not one context per decision.
    """
    fold = folds_of(log, folds, seed)
    if len(contexts) != len(fold) or len(np.unique(fold)) < 2:
        raise InvalidLog(
            f"There are {len(contexts)} contexts, and customers in {len(np.unique(fold))} of "
            f"{folds} folds.",
            expected=f"a context for each of {len(fold)} decisions, and customers in two folds",
            remedy="Use more customers, or fewer folds but at least 2.",
        )
    expected = np.empty((len(contexts), n_actions))
    for held_out in np.unique(fold):
        others, own = fold != held_out, fold == held_out
        model = ActionValues(
            contexts[others], log.action[others], log.reward[others], n_actions, kind
        )
        expected[own] = model.expected(contexts[own])
    return expected


class ActionValues:
    """A reward model: predicts the reward of each action from the context.

    Parameters
    ----------
    contexts : shape (n_decisions, n_features)
    action, reward : shape (n_decisions,)
    """

    def __init__(
        self,
        contexts: Floats,
        action: Ints,
        reward: Floats,
        n_actions: int,
        kind: RewardModelKind = "ridge",
    ) -> None:
        self.n_actions = n_actions
        self._trees = _fit_trees(contexts, action, reward) if kind == "trees" else None
        if self._trees is None:
            seen = np.isfinite(contexts)
            known = np.maximum(seen.sum(axis=0), 1)
            self._center = np.where(seen, contexts, 0.0).sum(axis=0) / known
            spread = np.where(seen, contexts - self._center, 0.0)
            scale = np.sqrt((spread**2).sum(axis=0) / known)
            varies = scale > 1e-9 * np.maximum(1.0, np.abs(self._center))
            self._scale = np.where(varies, scale, np.inf)  # a constant feature has no weight
            vectors = self._vectors(contexts)
            penalty = np.full(vectors.shape[1], RIDGE)
            shared = np.append(MEAN_RIDGE, penalty[1:])
            self._weights = ridge_by_action(vectors, action, reward, n_actions, penalty, shared)

    def expected(self, contexts: Floats) -> Floats:
        """Predict the reward of each action, (n, n_actions), for ``contexts`` (n, n_features)."""
        if self._trees is None:
            linear: Floats = self._vectors(contexts) @ self._weights.T
            return linear
        predicted = np.empty((len(contexts), self.n_actions))
        for action in range(self.n_actions):
            predicted[:, action] = self._trees.predict(
                np.column_stack([np.full(len(contexts), action), contexts]), num_threads=1
            )
        return predicted

    def _vectors(self, contexts: Floats) -> Floats:
        z = np.nan_to_num((contexts - self._center) / self._scale)
        return np.column_stack([np.ones(len(z)), z])


def _fit_trees(contexts: Floats, action: Ints, reward: Floats) -> lgb.Booster:
    """Fit trees on the context and, as a category, the action."""
    rows = np.column_stack([action.astype(np.float64), contexts])
    data = lgb.Dataset(rows, reward, categorical_feature=[0], params={"verbose": -1})
    return lgb.train(TREES, data, ROUNDS)
