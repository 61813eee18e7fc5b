"""Our policy in a rehearsal: acceptance x value - cost, less what it does to the chance of leaving.

The parts: who accepts what (`acceptance_model`), who leaves (`retention_uplift`),
and inverse-gap exploration, greedier as it knows more. On the first days, while nothing is known of
what a contact does, few are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.arrays import Bools, Floats
from training.bandit.exploration import InverseGapWeighting
from training.models.retention_uplift import Exposure, Retention, Surrogate
from training.simulation.acceptance_model import AcceptanceModel
from training.simulation.actions import COST, PROMOTIONS, VALUE, K
from training.simulation.customer_state import FEATURES, lost_eur
from training.simulation.rollout import BLAMED_DAYS, LOOKS_DAYS, DayFeedback

LASTS_DAYS = 45.0  # what an action does to leaving goes on for so long, about
GREED = 2.0  # in 1/euro, times the root of how many decisions were learned from
SEEN_AFTER_DAYS = 3  # by then a contact shows in what we know of a customer
CAREFUL = 0.3  # of the moments may be used for a contact before it is known what contacts do
# What only holds while the customer is here says nothing of leaving.
LASTING = np.array(
    [not name.startswith(("page_", "channel_", "quiet", "here")) for name in FEATURES]
)
# Any contact; then all promotions together, and each other action by itself.
EACH = np.arange(K, dtype=np.int64)
FAMILIES = (np.minimum(EACH, 1), np.where(PROMOTIONS, PROMOTIONS.argmax(), EACH))


class OurPolicy:
    """Learns what each action brings and what it does to the chance of leaving."""

    name = "ours"

    def __init__(self) -> None:
        self._model = AcceptanceModel(len(FEATURES))
        self._retention: Retention | None = None
        self._later: dict[int, Surrogate] = {}
        self._learned = 0

    def worth(self, contexts: Floats) -> Floats:
        """Expected worth of each action, in euro, shape (n, K)."""
        worth: Floats = self._model.acceptance(contexts) * self._values() - COST
        if self._retention is None:
            return worth
        leaving = 1 - np.exp(-LASTS_DAYS * self._retention.leaving(contexts))
        held: Floats = worth - lost_eur(contexts)[:, None] * leaving
        return held

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        if self._retention is None:
            return _carefully(allowed)
        policy = InverseGapWeighting(GREED * float(np.sqrt(1.0 + self._learned)))
        return policy.probabilities(np.where(allowed, self.worth(contexts), np.nan))

    def learn(self, reports: Sequence[DayFeedback]) -> None:
        """See `rollout.Policy`."""
        for one in reports:
            if one.age_days == SEEN_AFTER_DAYS:
                self._later[one.day] = Surrogate(one.contexts, one.actions, one.now)
            self._learned += len(one.actions) * (one.age_days == LOOKS_DAYS[0])
        if self._model.learn(reports) and self._later:
            self._fit_retention()

    def _values(self) -> Floats:
        """What an acceptance brings when returns are counted, shape (K,)."""
        bought, kept = np.full(K, 1.0), VALUE.copy()
        for one in self._model.log.days.values():
            accepted = one.accepted * 1.0
            bought += np.bincount(one.actions, weights=accepted, minlength=K)
            earned = (one.earned_eur + COST[one.actions]) * accepted
            kept += np.bincount(one.actions, weights=earned, minlength=K)
        values: Floats = kept / bought
        return values

    def _fit_retention(self) -> None:
        kept = self._model.log.days
        self._later = {day: one for day, one in self._later.items() if day in kept}
        watched = [
            Exposure(
                one.contexts,
                one.actions,
                one.left.astype(np.float64),
                np.full(len(one.left), float(min(one.age_days, BLAMED_DAYS))),
            )
            for one in kept.values()
        ]
        self._retention = Retention.fit(
            Exposure(*_joined(watched)),
            Surrogate(*_joined(list(self._later.values()))),
            FAMILIES,
            LASTING,
            self._retention,
        )


def _carefully(allowed: Bools) -> Floats:
    """Few contacts, each action alike: enough to learn from, too few to drive many away."""
    contacts = allowed.copy()
    contacts[:, 0] = False
    count = contacts.sum(axis=1, keepdims=True)
    chances: Floats = contacts * (CAREFUL / np.maximum(count, 1))
    chances[:, 0] = 1.0 - chances.sum(axis=1)
    return chances


def _joined(parts: Sequence[tuple[NDArray[Any], ...]]) -> list[NDArray[Any]]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
