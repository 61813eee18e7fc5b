"""Makes results of a tournament by hand, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from training.simulation.rollout import RunResult
from training.simulation.telephone.actions import K
from training.simulation.tournament import TournamentResult

CUSTOMERS, DAYS = 40, 3


def run(name, value, seed=0, churned=4):
    """A run with this mean value per customer, and some spread."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=CUSTOMERS)
    each = value + spread - spread.mean()
    left = np.arange(CUSTOMERS) < churned
    by_day = np.full(DAYS, each.sum() / DAYS)
    lost = np.array([churned, 0, 0])
    return RunResult(name, by_day, lost, each, each / 3, left, np.zeros(K, dtype=np.int64), 0)


def tournament(worlds=2, **values):
    """Runs of the named policies; each world adds 1 to all values."""
    runs = {
        name: [run(f"{name} variant", value + world, world) for world in range(worlds)]
        for name, value in values.items()
    }
    return TournamentResult(CUSTOMERS, DAYS, tuple(range(worlds)), runs)
