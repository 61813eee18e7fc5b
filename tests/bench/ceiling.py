"""Measures the share of the oracle's gain that a policy can reach with the observed features.

    python -m tests.bench.ceiling
    python -m tests.bench.ceiling --customers 2000 --seeds 1

The oracle of a simulation knows the hidden needs and preferences of each customer. Here a policy is
fitted on the true expected values too, but on those of decisions in other worlds and as a function
of the features: boosted trees for each action. Its distance to the oracle cannot be learned from
the features; the distance of another policy to it could be.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
from rich.console import Console

from training.arrays import Bools, Floats
from training.models.lightgbm_settings import boosting_settings
from training.simulation.actions import K
from training.simulation.baselines import OraclePolicy, RandomPolicy
from training.simulation.rollout import DayFeedback, Policy, RunResult, run_policy
from training.simulation.tournament import PILOT_SEED
from training.simulation.world import World

DAYS = 90
TRAINING_SEEDS = tuple(PILOT_SEED + number for number in (1, 2, 3))  # no tournament is played there
EVERY_DAYS = 3  # features change little from one day to the next
MIN_EUR, MAX_EUR = -30.0, 60.0  # expected values are clipped to this range
ROUNDS = 150
# The truth has no noise: more leaves. Nothing else runs beside it: all cores.
TREES = boosting_settings(num_leaves=31, min_data_in_leaf=50, num_threads=0)
out = Console(width=110)


class RecordingOracle:
    """Decides like the oracle, and records features and true values."""

    name = "recording oracle"

    def __init__(self, world: World, records: list[tuple[Floats, Floats]]) -> None:
        self._world, self._records = world, records
        self._oracle = OraclePolicy(world=world)

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        if self._world.day % EVERY_DAYS == 0:
            self._records.append((contexts, self._world.expected()))
        return self._oracle.predict(contexts, allowed)

    def learn(self, feedback: Sequence[DayFeedback]) -> None:
        """Ignore the feedback."""


class Informed:
    """Boosted trees that predict the true value of each action from the features."""

    name = "informed"

    def __init__(self, contexts: Floats, truth: Floats) -> None:
        value = np.clip(np.nan_to_num(truth, neginf=MIN_EUR), MIN_EUR, MAX_EUR)
        self._trees: list[Any] = [
            lgb.train(TREES, lgb.Dataset(contexts, value[:, action]), ROUNDS)
            for action in range(1, K)
        ]

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        value = np.zeros((len(contexts), K))
        for action, trees in enumerate(self._trees, 1):
            value[:, action] = trees.predict(contexts)
        chosen: Floats = np.eye(K)[np.where(allowed, value, -np.inf).argmax(axis=1)]
        return chosen

    def learn(self, feedback: Sequence[DayFeedback]) -> None:
        """Ignore the feedback."""


def informed(customers: int) -> Informed:
    """Fit an informed policy on the training worlds."""
    records: list[tuple[Floats, Floats]] = []
    for seed in TRAINING_SEEDS:
        run_policy(
            lambda world: RecordingOracle(world, records), World(customers, seed, DAYS), seed
        )
    contexts, truth = (np.concatenate(part) for part in zip(*records, strict=True))
    worlds = len(TRAINING_SEEDS)
    out.print(f"Fitted on the true values of {len(truth):,} decisions in {worlds} other worlds.")
    return Informed(contexts, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    fitted = informed(arguments.customers)
    makers: dict[str, Callable[[World], Policy]] = {
        "random": lambda world: RandomPolicy(),
        "informed": lambda world: fitted,
        "oracle": lambda world: OraclePolicy(world=world),
    }
    runs: dict[str, list[RunResult]] = {name: [] for name in makers}
    for seed in range(1, arguments.seeds + 1):
        for name, make in makers.items():
            runs[name].append(run_policy(make, World(arguments.customers, seed, DAYS), seed))
    for span, field in (
        ("all days", "value_of_customer_eur"),
        ("the last third", "late_value_of_customer_eur"),
    ):
        random, policy, oracle = (
            float(np.mean([getattr(run, field).mean() for run in runs[name]]))
            for name in ("random", "informed", "oracle")
        )
        share = (policy - random) / (oracle - random)
        out.print(
            f"In {span}: {policy:.2f} EUR a customer, {share:.1%} of the oracle's gain over random "
            f"({oracle:.2f} and {random:.2f} EUR)."
        )


if __name__ == "__main__":
    main()
