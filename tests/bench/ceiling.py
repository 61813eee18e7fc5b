"""Measures the share of the oracle's gain that can be reached with the observable features.

    python -m tests.bench.ceiling
    python -m tests.bench.ceiling --customers 2000 --seeds 1

The oracle of a rehearsal knows what each customer needs, likes and bears. Here a policy plays that
is told the truth too, but about decisions in other worlds, and may look at features only: boosted
trees of the true worth of each action. What it misses, hardly anybody could learn; what ours misses
beside that, ours could.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
from rich.console import Console

from training.models.lightgbm_settings import boosting_settings
from training.simulation.actions import Bools, Floats, K
from training.simulation.baselines import OraclePolicy, RandomPolicy
from training.simulation.rollout import DayFeedback, Policy, RunResult, run_policy
from training.simulation.tournament import PILOT_SEED
from training.simulation.world import World

DAYS = 90
TAUGHT_IN = tuple(PILOT_SEED + number for number in (1, 2, 3))  # no rehearsal is held there
EVERY_DAYS = 3  # customers hardly change from one day to the next
LEAST_EUR, MOST_EUR = -30.0, 60.0  # what lies beyond is as bad, or as good
ROUNDS = 150
# The truth has no noise: more leaves. Nothing else runs beside it: all cores.
TREES = boosting_settings(num_leaves=31, min_data_in_leaf=50, num_threads=0)
out = Console(width=110)


class Teacher:
    """Decides like the oracle, and notes features and truth."""

    name = "teacher"

    def __init__(self, world: World, notes: list[tuple[Floats, Floats]]) -> None:
        self._world, self._notes = world, notes
        self._oracle = OraclePolicy(world=world)

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        if self._world.day % EVERY_DAYS == 0:
            self._notes.append((contexts, self._world.expected()))
        return self._oracle.predict(contexts, allowed)

    def learn(self, reports: Sequence[DayFeedback]) -> None:
        """Knows all."""


class Informed:
    """Trees of the true worth of each action, by features."""

    name = "informed"

    def __init__(self, contexts: Floats, truth: Floats) -> None:
        worth = np.clip(np.nan_to_num(truth, neginf=LEAST_EUR), LEAST_EUR, MOST_EUR)
        self._trees: list[Any] = [
            lgb.train(TREES, lgb.Dataset(contexts, worth[:, action]), ROUNDS)
            for action in range(1, K)
        ]

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        worth = np.zeros((len(contexts), K))
        for action, trees in enumerate(self._trees, 1):
            worth[:, action] = trees.predict(contexts)
        chosen: Floats = np.eye(K)[np.where(allowed, worth, -np.inf).argmax(axis=1)]
        return chosen

    def learn(self, reports: Sequence[DayFeedback]) -> None:
        """Has learned."""


def informed(customers: int) -> Informed:
    """One that was taught in worlds of its own."""
    notes: list[tuple[Floats, Floats]] = []
    for seed in TAUGHT_IN:
        run_policy(lambda world: Teacher(world, notes), World(customers, seed, DAYS), seed)
    contexts, truth = (np.concatenate(part) for part in zip(*notes, strict=True))
    out.print(f"Taught the truth about {len(truth):,} moments in {len(TAUGHT_IN)} other worlds.")
    return Informed(contexts, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    pupil = informed(asked.customers)
    makers: dict[str, Callable[[World], Policy]] = {
        "random": lambda world: RandomPolicy(),
        "informed": lambda world: pupil,
        "oracle": lambda world: OraclePolicy(world=world),
    }
    courses: dict[str, list[RunResult]] = {name: [] for name in makers}
    for seed in range(1, asked.seeds + 1):
        for name, make in makers.items():
            courses[name].append(run_policy(make, World(asked.customers, seed, DAYS), seed))
    for span, field in (
        ("all days", "value_of_customer_eur"),
        ("the last third", "late_value_of_customer_eur"),
    ):
        least, mine, most = (
            float(np.mean([getattr(course, field).mean() for course in courses[name]]))
            for name in ("random", "informed", "oracle")
        )
        out.print(
            f"In {span}: {mine:.2f} EUR a customer, {(mine - least) / (most - least):.1%} of the "
            f"oracle's gain over random ({most:.2f} and {least:.2f} EUR)."
        )


if __name__ == "__main__":
    main()
