"""Measures the share of the oracle's gain that a policy can reach with the observed features.

    python -m tests.bench.ceiling
    python -m tests.bench.ceiling --business shop --customers 2000 --seeds 1

The policy is `training.simulation.informed`: it was told the truth about other worlds, but sees
what a business sees.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from rich.console import Console

from training.simulation.baselines import OraclePolicy, RandomPolicy
from training.simulation.business import SimulatedBusiness, SimulatedWorld
from training.simulation.businesses import BUSINESSES
from training.simulation.informed import WORLDS, fit_informed
from training.simulation.rollout import Policy, RunResult, run_policy

DAYS = 90
out = Console(width=110)


def play(
    business: SimulatedBusiness,
    make: Callable[[SimulatedWorld], Policy],
    customers: int,
    days: int,
    seed: int,
) -> RunResult:
    """Play a policy in a world."""
    world = business.make_world(customers, seed, days)
    return run_policy(business, make(world), world, seed)


def print_ceiling(business: SimulatedBusiness, customers: int, days: int, seeds: int) -> None:
    """Print what the informed policy earns in a business, beside random and the oracle."""
    fitted = fit_informed(business, days, customers)
    makers: dict[str, Callable[[SimulatedWorld], Policy]] = {
        "random": lambda world: RandomPolicy(),
        "informed": lambda world: fitted,
        "oracle": lambda world: OraclePolicy(world=world),
    }
    runs: dict[str, list[RunResult]] = {name: [] for name in makers}
    for seed in range(1, seeds + 1):
        for name, make in makers.items():
            runs[name].append(play(business, make, customers, days, seed))
    out.print(f"{business.name}: fitted on the true values of {WORLDS} other worlds.")
    for span, key in (
        ("all days", "value_of_customer_eur"),
        ("the last third", "late_value_of_customer_eur"),
    ):
        random, policy, oracle = (
            float(np.mean([getattr(run, key).mean() for run in runs[name]])) for name in makers
        )
        share = (policy - random) / (oracle - random)
        out.print(
            f"In {span}: {policy:.2f} EUR a customer, {share:.1%} of the oracle's gain over random "
            f"({oracle:.2f} and {random:.2f} EUR)."
        )
    left = ", ".join(
        f"{name} {np.mean([run.left.mean() for run in some]):.2%}" for name, some in runs.items()
    )
    out.print(f"Left: {left}.")


def main() -> None:
    """Print the ceiling of each business."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--business", choices=list(BUSINESSES), action="append")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    for name in asked.business or BUSINESSES:
        print_ceiling(BUSINESSES[name], asked.customers, asked.days, asked.seeds)


if __name__ == "__main__":
    main()
