"""Makes results of a tournament by hand, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from serving.contract.lift import DifferenceView, PairView
from serving.simulation.played import Played, ServedFigures
from serving.simulation.tournament import TournamentResult
from training.simulation.rollout import RunResult
from training.simulation.telephone.actions import K

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
    played = {name: [Played(one) for one in some] for name, some in runs.items()}
    return TournamentResult("hand", CUSTOMERS, DAYS, tuple(range(worlds)), tuple(values), played)


class Reported:
    """Stands for a `LiftView` with these pairs."""

    def __init__(self, *pairs):
        self.pairs = pairs


def pair(value, low, high, planned_low, planned_high):
    """Policy against nobody, as it is reported."""
    bounds = {"low": low, "high": high, "planned_low": planned_low, "planned_high": planned_high}
    lift = DifferenceView(value=value, **bounds, smallest=1.0, planned_smallest=1.0)
    named = dict.fromkeys(PairView.model_fields) | {"arm": "policy", "against": "nobody"}
    return PairView.model_construct(**named | {"lift": lift, "days": []})


def served(one, *pairs):
    """A run of the served classes: the first half is in the arm policy, a quarter each in others.

    The last customer of each arm was never met.
    """
    arm = np.repeat([0, 0, 1, 2], CUSTOMERS // 4)
    met = np.ones(CUSTOMERS, dtype=bool)
    met[[19, 29, 39]] = False
    return Played(one, ServedFigures(arm, met, 100, Reported(*pairs)))
