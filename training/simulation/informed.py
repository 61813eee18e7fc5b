"""Fits a rival that was told the truth about other worlds, but sees what a business sees.

The oracle knows the hidden needs and preferences of each customer. The informed policy is fitted on
the true expected values too, but on those of decisions in other worlds, and as a function of the
observed features: boosted trees for each action. Its distance to the oracle cannot be learned from
the features; the distance of another policy to it could be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.progress import Progress, quiet
from training.arrays import Floats, Ints
from training.models.lightgbm_settings import boosting_settings, lightgbm
from training.simulation.baselines import PILOT_SEED, OraclePolicy, RandomPolicy
from training.simulation.business import Arrivals, SimulatedBusiness
from training.simulation.rollout import run_policy

INFORMED = "informed"
WORLDS, CUSTOMERS = 3, 5_000  # that it is told the truth about; no results are reported of them
EVERY_DAYS = 3  # features change little from one day to the next
ROUNDS = 150
# The truth has no noise: more leaves. Nothing else runs beside it: all cores.
TREES = boosting_settings(num_leaves=31, min_data_in_leaf=50, num_threads=0)


@dataclass(frozen=True)
class RecordingOracle(OraclePolicy):
    """Decides like the oracle, and records features and true values."""

    records: list[tuple[Floats, Floats]] = field(default_factory=list)

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`."""
        assert self.world is not None
        if self.world.day % EVERY_DAYS == 0:
            self.records.append((arrivals.contexts, self.world.expected()))
        return super().choose(arrivals, uniform)


@dataclass(frozen=True)
class InformedPolicy(RandomPolicy):
    """Chooses the allowed action whose value is highest, as trees predict it from the features.

    Attributes
    ----------
    trees : tuple of lightgbm.Booster
        Of each action but `no_action`, whose value is 0.
    """

    name: str = INFORMED
    trees: tuple[Any, ...] = ()

    @classmethod
    def fit(cls, contexts: Floats, truth: Floats) -> InformedPolicy:
        """Fit the trees of each action on true values, shape (n, K)."""
        data = (lightgbm.Dataset(contexts, value) for value in truth.T[1:])
        return cls(trees=tuple(lightgbm.train(TREES, one, ROUNDS) for one in data))

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`."""
        value = np.zeros(arrivals.allowed.shape)
        for action, trees in enumerate(self.trees, 1):
            # One thread: several worlds are played at the same time.
            value[:, action] = trees.predict(arrivals.contexts, num_threads=1)
        best: Ints = np.where(arrivals.allowed, value, -np.inf).argmax(axis=1)
        return best


def training_seeds() -> range:
    """Return the seeds of the worlds whose truth is told."""
    return range(PILOT_SEED + 1, PILOT_SEED + 1 + WORLDS)


def fit_informed(
    business: SimulatedBusiness, days: int, customers: int = CUSTOMERS, progress: Progress = quiet
) -> InformedPolicy:
    """Fit the informed policy of a business.

    Parameters
    ----------
    days, customers : int
        Duration and size of each world that it is told the truth about.
    progress
        Is called after each of these worlds.
    """
    records: list[tuple[Floats, Floats]] = []
    for number, seed in enumerate(training_seeds()):
        world = business.make_world(customers, seed, days)
        run_policy(business, RecordingOracle(world=world, records=records), world, seed)
        progress(f"{INFORMED} {business.name}", number + 1, WORLDS)
    contexts, truth = (np.concatenate(part) for part in zip(*records, strict=True))
    return InformedPolicy.fit(contexts, truth)
