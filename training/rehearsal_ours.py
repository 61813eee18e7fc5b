"""Our policy in a rehearsal: acceptance x value - cost, less what it does to the chance of leaving.

The parts are those of the service: who accepts what (`training/acceptance_heads.py`), who leaves
(`training/retention.py`), and inverse-gap exploration, greedier as it knows more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.acceptance_heads import AcceptanceHeads
from training.rehearsal import BLAMED_DAYS, Report
from training.retention import Retention
from training.world_actions import COST, VALUE, Bools, Ints, K
from training.world_state import FEATURES, lost_eur

Floats = NDArray[np.float64]

SEEN_AFTER_DAYS = 3  # by then a contact shows in what we know of a customer
LASTS_DAYS = 25.0  # for so long, in the mean, what shows then goes on
RIDGE = 20.0  # of the effects of actions, in decisions
LARGEST = 5.0  # change of the chance of leaving that one decision is credited with, relative
GREED = 0.5  # in 1/euro, times the root of how many decisions were learned from
# What only holds while the customer is here says nothing of leaving.
LASTING = np.array([not name.startswith(("page_", "channel_", "quiet")) for name in FEATURES])


class OurPolicy:
    """Learns what each action brings and what it does to the chance of leaving."""

    name = "ours"

    def __init__(self) -> None:
        self._heads = AcceptanceHeads(len(FEATURES))
        self._retention: Retention | None = None
        self._effects = np.zeros((K, 1 + len(FEATURES)))
        self._shown: dict[int, tuple[Floats, Ints, Floats]] = {}  # contexts, actions, days later
        self._learned = 0

    def worth(self, contexts: Floats) -> Floats:
        """Expected worth of each action, in euro, shape (n, K)."""
        worth = self._heads.acceptance(contexts) * self._values() - COST
        if self._retention is None:
            return worth
        change = _with_one(contexts) @ self._effects.T
        leaving = LASTS_DAYS * self._retention.leaving(contexts[:, LASTING])
        held: Floats = worth - (lost_eur(contexts) * leaving)[:, None] * change
        return held

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `training.rehearsal.Policy`."""
        return by_gap(self.worth(contexts), allowed, GREED * np.sqrt(1.0 + self._learned))

    def learn(self, reports: Sequence[Report]) -> None:
        """See `training.rehearsal.Policy`."""
        for report in reports:
            if report.age_days == SEEN_AFTER_DAYS:
                self._shown[report.day] = report.contexts, report.actions, report.now
                self._learned += len(report.actions)
        fitted = self._heads.learn(reports)
        for day in [day for day in self._shown if day not in self._heads.log.days]:
            del self._shown[day]
        if fitted and self._shown:
            self._fit_retention()
            self._fit_effects()

    def _values(self) -> Floats:
        """What an acceptance brings when returns are counted, shape (K,)."""
        bought, kept = np.full(K, 1.0), VALUE.copy()
        for one in self._heads.log.days.values():
            accepted = one.accepted * 1.0
            bought += np.bincount(one.actions, weights=accepted, minlength=K)
            earned = (one.earned_eur + COST[one.actions]) * accepted
            kept += np.bincount(one.actions, weights=earned, minlength=K)
        return kept / bought

    def _fit_retention(self) -> None:
        days = list(self._heads.log.days.values())
        x = np.concatenate([one.contexts[:, LASTING] for one in days])
        left = np.concatenate([one.left for one in days]).astype(np.float64)
        looked = [np.full(len(one.left), float(min(one.age_days, BLAMED_DAYS))) for one in days]
        self._retention = Retention.fit(x, left, np.concatenate(looked), start=self._retention)

    def _fit_effects(self) -> None:
        """Ridge regression, for each action, of how the chance of leaving changed after it; what
        all actions have in common is learned of all."""
        assert self._retention is not None
        parts = list(self._shown.values())
        contexts, actions, later = (np.concatenate(one) for one in zip(*parts, strict=True))
        before = self._retention.leaving(contexts[:, LASTING])
        change = np.clip(self._retention.leaving(later[:, LASTING]) / before - 1, -1, LARGEST)
        vectors, penalty = _with_one(contexts), RIDGE * np.eye(1 + contexts.shape[1])
        common = np.linalg.solve(vectors.T @ vectors + penalty, vectors.T @ change)
        for action in range(K):
            v, rest = vectors[actions == action], change[actions == action]
            own = np.linalg.solve(v.T @ v + penalty, v.T @ (rest - v @ common))
            self._effects[action] = common + own


def by_gap(worth: Floats, allowed: Bools, greed: float) -> Floats:
    """`training.exploration.InverseGapPolicy` for many customers at once, shape (n, K)."""
    expected = np.where(allowed, worth, -np.inf)
    best, rows = expected.argmax(axis=1), np.arange(len(worth))
    gap = np.where(allowed, expected[rows, best][:, None] - expected, 0.0)
    chance = np.where(allowed, 1 / (allowed.sum(axis=1, keepdims=True) + greed * gap), 0.0)
    chance[rows, best] = 0.0
    chance[rows, best] = 1.0 - chance.sum(axis=1)
    return chance


def _with_one(contexts: Floats) -> Floats:
    return np.column_stack([np.ones(len(contexts)), contexts])
