"""The chance that each action is accepted, by logistic regression, from a log of reports.

For rehearsals, where a hundred thousand decisions a second are asked of it. It keeps the log of the
last weeks and fits anew now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.rehearsal import Report
from training.world_actions import K

Floats = NDArray[np.float64]

MEMORY_DAYS = 45
RIDGE = 2.0  # in acceptances
EASIEST = 0.05  # acceptance of an action nobody was shown yet
STEPS = 4  # of Newton's method, from the fit before


@dataclass
class Log:
    """The latest report of each day's decisions, the newest `MEMORY_DAYS` of them."""

    days: dict[int, Report] = field(default_factory=dict)

    def add(self, reports: Sequence[Report]) -> None:
        """A later report of the same day takes the place of the earlier one."""
        for report in reports:
            self.days[report.day] = report
        for day in [day for day in self.days if day <= max(self.days) - MEMORY_DAYS]:
            del self.days[day]


def due(day: int) -> bool:
    """Whether to fit anew this evening: each day at first, then less often."""
    return day < 14 or (day % 3 == 0 if day < 35 else day % 7 == 0)


class AcceptanceHeads:
    """One logistic regression for each action."""

    def __init__(self, n_features: int) -> None:
        self.weights = np.zeros((K, 1 + n_features))
        self.weights[:, 0] = np.log(EASIEST / (1 - EASIEST))
        self.log, self._evening = Log(), 0

    def acceptance(self, contexts: Floats) -> Floats:
        """Shape (n, K), of contexts (n, n_features); `no_action` has 0."""
        chance: Floats = _chance(contexts, self.weights.T)
        chance[:, 0] = 0.0
        return chance

    def learn(self, reports: Sequence[Report]) -> bool:
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
                x, y = contexts[mine], accepted[mine].astype(np.float64)
                self.weights[action] = _fitted(x, y, self.weights[action])
        return True


def _chance(contexts: Floats, weights: Floats) -> Floats:
    linear = weights[0] + contexts @ weights[1:]
    chance: Floats = 1 / (1 + np.exp(-np.clip(linear, -30, 30)))
    return chance


def _fitted(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Newton's method on the penalised likelihood (McCullagh & Nelder, 1989, section 4.4)."""
    vectors = np.column_stack([np.ones(len(x)), x])
    penalty = np.append(0.1, np.full(x.shape[1], RIDGE))
    prior = np.append(np.log(EASIEST / (1 - EASIEST)), np.zeros(x.shape[1]))
    for _ in range(STEPS):
        chance = _chance(x, weights)
        slope = vectors.T @ (y - chance) - penalty * (weights - prior)
        curve = (vectors * (chance * (1 - chance))[:, None]).T @ vectors + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
    return weights
