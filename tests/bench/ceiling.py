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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np
from rich.console import Console

from training.arrays import Floats, Ints
from training.models.lightgbm_settings import boosting_settings
from training.simulation.baselines import PILOT_SEED, OraclePolicy, RandomPolicy
from training.simulation.business import Arrivals, SimulatedWorld
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import Policy, RunResult, run_policy

K = len(TELEPHONE.actions)
DAYS = 90
TRAINING_SEEDS = tuple(PILOT_SEED + number for number in (1, 2, 3))  # no tournament is played there
EVERY_DAYS = 3  # features change little from one day to the next
MIN_EUR, MAX_EUR = -30.0, 60.0  # expected values are clipped to this range
ROUNDS = 150
# The truth has no noise: more leaves. Nothing else runs beside it: all cores.
TREES = boosting_settings(num_leaves=31, min_data_in_leaf=50, num_threads=0)
out = Console(width=110)


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
class Informed(RandomPolicy):
    """Boosted trees that predict the true value of each action from the features."""

    name: str = "informed"
    trees: tuple[Any, ...] = ()

    @classmethod
    def fit(cls, contexts: Floats, truth: Floats) -> Informed:
        """Fit the trees of each action on true values, shape (n, K)."""
        value = np.clip(np.nan_to_num(truth, neginf=MIN_EUR), MIN_EUR, MAX_EUR)
        data = (lgb.Dataset(contexts, value[:, action]) for action in range(1, K))
        return cls(trees=tuple(lgb.train(TREES, one, ROUNDS) for one in data))

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`."""
        value = np.zeros(arrivals.allowed.shape)
        for action, trees in enumerate(self.trees, 1):
            value[:, action] = trees.predict(arrivals.contexts)
        return np.where(arrivals.allowed, value, -np.inf).argmax(axis=1)


def play(make: Callable[[SimulatedWorld], Policy], customers: int, seed: int) -> RunResult:
    """Play a policy in a world."""
    world = TELEPHONE.make_world(customers, seed, DAYS)
    return run_policy(TELEPHONE, make(world), world, seed)


def informed(customers: int) -> Informed:
    """Fit an informed policy on the training worlds."""
    records: list[tuple[Floats, Floats]] = []
    for seed in TRAINING_SEEDS:
        play(lambda world: RecordingOracle(world=world, records=records), customers, seed)
    contexts, truth = (np.concatenate(part) for part in zip(*records, strict=True))
    worlds = len(TRAINING_SEEDS)
    out.print(f"Fitted on the true values of {len(truth):,} decisions in {worlds} other worlds.")
    return Informed.fit(contexts, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    fitted = informed(arguments.customers)
    makers: dict[str, Callable[[SimulatedWorld], Policy]] = {
        "random": lambda world: RandomPolicy(),
        "informed": lambda world: fitted,
        "oracle": lambda world: OraclePolicy(world=world),
    }
    runs: dict[str, list[RunResult]] = {name: [] for name in makers}
    for seed in range(1, arguments.seeds + 1):
        for name, make in makers.items():
            runs[name].append(play(make, arguments.customers, seed))
    for span, key in (
        ("all days", "value_of_customer_eur"),
        ("the last third", "late_value_of_customer_eur"),
    ):
        random, policy, oracle = (
            float(np.mean([getattr(run, key).mean() for run in runs[name]]))
            for name in ("random", "informed", "oracle")
        )
        share = (policy - random) / (oracle - random)
        out.print(
            f"In {span}: {policy:.2f} EUR a customer, {share:.1%} of the oracle's gain over random "
            f"({oracle:.2f} and {random:.2f} EUR)."
        )


if __name__ == "__main__":
    main()
