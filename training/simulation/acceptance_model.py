"""Predicts the acceptance of each action, fitted on a log of feedback.

For the simulation, which asks for a hundred thousand predictions a second. Each action has a
logistic regression, which is accurate with few acceptances, and boosted trees on its residuals,
which are accurate with many. Both are refitted at intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.arrays import Floats
from training.models.glm import fit_glm, logistic, with_intercept
from training.models.lightgbm_settings import boosting_settings
from training.models.lightgbm_settings import lightgbm as lgb
from training.simulation.actions import K
from training.simulation.rollout import DayFeedback

MEMORY_DAYS = 90
RIDGE, INTERCEPT_RIDGE = 2.0, 0.1  # precision of slopes and of the intercept, in acceptances
PRIOR_ACCEPTANCE = 0.05  # of an action that was never shown
STEPS = 4  # of Newton's method from the last fit, at most
TREES_MIN_ACCEPTANCES = 30  # acceptances of an action
ROUNDS = 60
TREES = boosting_settings(
    # On top of a logistic regression's log-odds, for one action with many outcomes.
    objective="binary",
    num_leaves=31,
    learning_rate=0.06,
    min_data_in_leaf=30,
    lambda_l2=5.0,
)


@dataclass
class AcceptanceLog:
    """Latest feedback on each day's decisions, of the last `MEMORY_DAYS` days."""

    days: dict[int, DayFeedback] = field(default_factory=dict)

    def add(self, feedback: Sequence[DayFeedback]) -> None:
        """Add feedback; newer feedback on the same day replaces older."""
        for one in feedback:
            self.days[one.day] = one
        for day in [day for day in self.days if day <= max(self.days) - MEMORY_DAYS]:
            del self.days[day]


def refit_due(day: int) -> bool:
    """True if the model is refitted on this day: each day at first, then less often."""
    return day < 14 or (day % 3 == 0 if day < 35 else day % 4 == 0)


class AcceptanceModel:
    """A logistic regression for each action, and boosted trees on its residuals."""

    def __init__(self, n_features: int) -> None:
        self._prior = np.append(
            np.log(PRIOR_ACCEPTANCE / (1 - PRIOR_ACCEPTANCE)), np.zeros(n_features)
        )
        self._penalty = np.append(INTERCEPT_RIDGE, np.full(n_features, RIDGE))
        self.weights = np.tile(self._prior, (K, 1))
        self.log, self._day = AcceptanceLog(), 0
        self._trees: dict[int, Any] = {}

    def acceptance(self, contexts: Floats) -> Floats:
        """Predict acceptance, shape (n, K), for contexts (n, n_features); 0 for `no_action`."""
        logit = with_intercept(contexts) @ self.weights.T
        for action, trees in self._trees.items():
            logit[:, action] += trees.predict(contexts, raw_score=True, num_threads=1)
        mean, _ = logistic(logit)
        mean[:, 0] = 0.0
        return mean

    def learn(self, feedback: Sequence[DayFeedback]) -> bool:
        """Add feedback, and refit if it is due; return True if the model was refitted."""
        self.log.add(feedback)
        self._day += 1
        if not self.log.days or not refit_due(self._day):
            return False
        days = self.log.days.values()
        contexts = np.concatenate([one.contexts for one in days])
        actions = np.concatenate([one.actions for one in days])
        accepted = np.concatenate([one.accepted for one in days])
        for action in range(1, K):
            rows = actions == action
            if rows.any():
                self._fit(action, contexts[rows], accepted[rows].astype(np.float64))
        return True

    def _fit(self, action: int, x: Floats, y: Floats) -> None:
        v, start = with_intercept(x), self.weights[action]
        self.weights[action] = fit_glm(
            v, y, logistic, self._penalty, self._prior, start, steps=STEPS
        )
        if y.sum() >= TREES_MIN_ACCEPTANCES:
            logit = v @ self.weights[action]
            data = lgb.Dataset(x, y, init_score=logit, params={"verbosity": -1})
            self._trees[action] = lgb.train(TREES, data, ROUNDS)
