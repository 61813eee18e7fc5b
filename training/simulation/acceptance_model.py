"""The chance that each action is accepted, from a log of reports.

For rehearsals, where a hundred thousand decisions a second are asked of it. It keeps the log and
fits anew now and then: a logistic regression for each action, which is good with few acceptances,
and boosted trees of what that leaves unexplained, which are better with many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np

from training.arrays import Floats
from training.models.glm import fitted, logistic, with_one
from training.models.lightgbm_settings import boosting_settings
from training.simulation.actions import K
from training.simulation.rollout import DayFeedback

MEMORY_DAYS = 90
RIDGE, EASE_RIDGE = 2.0, 0.1  # of features, and of an action's ease for all; in acceptances
EASIEST = 0.05  # acceptance of an action nobody was shown yet
STEPS = 4  # of Newton's method, from the fit before, at most
TREES_FROM = 30  # acceptances of an action
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
    """The latest report of each day's decisions, the newest `MEMORY_DAYS` of them."""

    days: dict[int, DayFeedback] = field(default_factory=dict)

    def add(self, reports: Sequence[DayFeedback]) -> None:
        """A later report of the same day takes the place of the earlier one."""
        for report in reports:
            self.days[report.day] = report
        for day in [day for day in self.days if day <= max(self.days) - MEMORY_DAYS]:
            del self.days[day]


def due(day: int) -> bool:
    """Whether to fit anew this evening: each day at first, then less often."""
    return day < 14 or (day % 3 == 0 if day < 35 else day % 4 == 0)


class AcceptanceModel:
    """For each action a logistic regression, and trees on top of it."""

    def __init__(self, n_features: int) -> None:
        self._prior = np.append(np.log(EASIEST / (1 - EASIEST)), np.zeros(n_features))
        self._penalty = np.append(EASE_RIDGE, np.full(n_features, RIDGE))
        self.weights = np.tile(self._prior, (K, 1))
        self.log, self._evening = AcceptanceLog(), 0
        self._trees: dict[int, Any] = {}

    def acceptance(self, contexts: Floats) -> Floats:
        """Shape (n, K), of contexts (n, n_features); `no_action` has 0."""
        odds = with_one(contexts) @ self.weights.T
        for action, trees in self._trees.items():
            odds[:, action] += trees.predict(contexts, raw_score=True, num_threads=1)
        chance, _ = logistic(odds)
        chance[:, 0] = 0.0
        return chance

    def learn(self, reports: Sequence[DayFeedback]) -> bool:
        """Take reports in, and fit anew if it is time; say whether it was."""
        self.log.add(reports)
        self._evening += 1
        if not self.log.days or not due(self._evening):
            return False
        days = self.log.days.values()
        contexts = np.concatenate([one.contexts for one in days])
        actions = np.concatenate([one.actions for one in days])
        accepted = np.concatenate([one.accepted for one in days])
        for action in range(1, K):
            mine = actions == action
            if mine.any():
                self._fit(action, contexts[mine], accepted[mine].astype(np.float64))
        return True

    def _fit(self, action: int, x: Floats, y: Floats) -> None:
        v, begun = with_one(x), self.weights[action]
        self.weights[action] = fitted(
            v, y, logistic, self._penalty, self._prior, begun, steps=STEPS
        )
        if y.sum() >= TREES_FROM:
            odds = v @ self.weights[action]
            data = lgb.Dataset(x, y, init_score=odds, params={"verbosity": -1})
            self._trees[action] = lgb.train(TREES, data, ROUNDS)
