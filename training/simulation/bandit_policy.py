"""A batch bandit policy: expected value = acceptance x value - cost - added churn x loss.

`AcceptanceModel` predicts acceptance, `Retention` predicts churn, and `InverseGapWeighting`
explores, more greedily with more data. On the first days, before a churn model can be fitted, few
contacts are made. This policy is played in the simulation only; the service uses another one.
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
from training.simulation.observed_features import FEATURES, lost_eur
from training.simulation.rollout import CHURN_ATTRIBUTION_DAYS, FEEDBACK_AGES_DAYS, DayFeedback

EFFECT_DAYS = 45.0  # approximate duration of an action's effect on churn
GAMMA = 2.0  # of inverse-gap weighting, in 1/euro, per square root of a decision
SURROGATE_AGE_DAYS = 3  # after a decision, when its effect shows in the customer's features
FIRST_CONTACT_SHARE = 0.3  # of the arrivals, before the first churn model
# Features that only have a value on arrival do not predict later churn.
PERSISTENT = np.array(
    [not name.startswith(("page_", "channel_", "quiet", "here")) for name in FEATURES]
)
# First any contact; then all promotions together, and each other action alone.
_EACH = np.arange(K, dtype=np.int64)
ACTION_GROUPINGS = (np.minimum(_EACH, 1), np.where(PROMOTIONS, PROMOTIONS.argmax(), _EACH))


class BatchBanditPolicy:
    """Learns the acceptance of each action and its effect on churn, in batches."""

    name = "batch bandit"

    def __init__(self) -> None:
        self._model = AcceptanceModel(len(FEATURES))
        self._retention: Retention | None = None
        self._surrogates: dict[int, Surrogate] = {}
        self._learned = 0

    def value(self, contexts: Floats) -> Floats:
        """Predict the value of each action, in euro, shape (n, K)."""
        value: Floats = self._model.acceptance(contexts) * self._values() - COST
        if self._retention is None:
            return value
        leaving = 1 - np.exp(-EFFECT_DAYS * self._retention.leaving(contexts))
        net: Floats = value - lost_eur(contexts)[:, None] * leaving
        return net

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        if self._retention is None:
            return _few_contacts(allowed)
        policy = InverseGapWeighting(GAMMA * float(np.sqrt(1.0 + self._learned)))
        return policy.probabilities(np.where(allowed, self.value(contexts), np.nan))

    def learn(self, feedback: Sequence[DayFeedback]) -> None:
        """See `rollout.Policy`."""
        for one in feedback:
            if one.age_days == SURROGATE_AGE_DAYS:
                self._surrogates[one.day] = Surrogate(one.contexts, one.actions, one.now)
            self._learned += len(one.actions) * (one.age_days == FEEDBACK_AGES_DAYS[0])
        if self._model.learn(feedback) and self._surrogates:
            self._fit_retention()

    def _values(self) -> Floats:
        """Estimate the value of an acceptance with returns deducted, shape (K,)."""
        count, kept = np.full(K, 1.0), VALUE.copy()
        for one in self._model.log.days.values():
            accepted = one.accepted * 1.0
            count += np.bincount(one.actions, weights=accepted, minlength=K)
            earned = (one.earned_eur + COST[one.actions]) * accepted
            kept += np.bincount(one.actions, weights=earned, minlength=K)
        values: Floats = kept / count
        return values

    def _fit_retention(self) -> None:
        kept = self._model.log.days
        self._surrogates = {day: one for day, one in self._surrogates.items() if day in kept}
        exposures = [
            Exposure(
                one.contexts,
                one.actions,
                one.left.astype(np.float64),
                np.full(len(one.left), float(min(one.age_days, CHURN_ATTRIBUTION_DAYS))),
            )
            for one in kept.values()
        ]
        self._retention = Retention.fit(
            Exposure(*_concatenated(exposures)),
            Surrogate(*_concatenated(list(self._surrogates.values()))),
            ACTION_GROUPINGS,
            PERSISTENT,
            self._retention,
        )


def _few_contacts(allowed: Bools) -> Floats:
    """Contact a share `FIRST_CONTACT_SHARE`, uniformly: enough to learn, with little churn."""
    contacts = allowed.copy()
    contacts[:, 0] = False
    count = contacts.sum(axis=1, keepdims=True)
    probabilities: Floats = contacts * (FIRST_CONTACT_SHARE / np.maximum(count, 1))
    probabilities[:, 0] = 1.0 - probabilities.sum(axis=1)
    return probabilities


def _concatenated(parts: Sequence[tuple[NDArray[Any], ...]]) -> list[NDArray[Any]]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
