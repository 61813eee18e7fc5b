"""Checks on other seeds that a simulated business can be played well.

    python -m tests.bench.check_worlds

The oracle must leave fewer customers gone than nobody does, and earn more than all baselines. The
command prints the mean over the worlds, and fails if that is not so in one of them.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from training.simulation.baselines import (
    FixedPolicy,
    OraclePolicy,
    RandomPolicy,
    fixed_policies,
    rules_policies,
)
from training.simulation.business import SimulatedBusiness
from training.simulation.businesses import BUSINESSES
from training.simulation.rollout import RunResult, run_policy

out = Console(width=130)
SEEDS = range(100, 110)  # no tournament is played in these worlds


def check_business(
    business: SimulatedBusiness, customers: int, days: int, seeds: range
) -> dict[str, list[RunResult]]:
    """Play all baselines in the worlds of some seeds."""
    runs: dict[str, list[RunResult]] = {}
    for seed in seeds:
        for policy in [
            FixedPolicy("nobody"),
            RandomPolicy(),
            *fixed_policies(business),
            *rules_policies(business),
            OraclePolicy(),
        ]:
            world = business.make_world(customers, seed, days)
            if isinstance(policy, OraclePolicy):
                policy = OraclePolicy(world=world)
            runs.setdefault(policy.name, []).append(run_policy(business, policy, world, seed))
    return runs


def failures(runs: dict[str, list[RunResult]]) -> list[str]:
    """Say in which worlds the oracle is not best, or leaves more gone than nobody."""
    found = []
    for number, oracle in enumerate(runs["oracle"]):
        if oracle.left.mean() >= runs["nobody"][number].left.mean():
            found.append(f"world {number}: the oracle leaves more gone than nobody")
        for name, others in runs.items():
            best = oracle.value_of_customer_eur.mean()
            if name != "oracle" and others[number].value_of_customer_eur.mean() >= best:
                found.append(f"world {number}: {name} earns more than the oracle")
        found += [
            f"world {number}: {name} exceeds a cap"
            for name, others in runs.items()
            if others[number].cap_violations
        ]
    return found


def table_of(name: str, runs: dict[str, list[RunResult]], customers: int, seeds: range) -> Table:
    """Show the means over the worlds, and the share of each action among the decisions."""
    actions = BUSINESSES[name].names
    title = f"{name}: {customers:,} customers, seeds {seeds.start} to {seeds.stop - 1}"
    table = Table("policy", "EUR a customer", "last third", "left", "shown", title=title)
    for policy, results in runs.items():
        value, late, left = (
            float(np.mean([getattr(run, key).mean() for run in results]))
            for key in ("value_of_customer_eur", "late_value_of_customer_eur", "left")
        )
        shown = np.sum([run.shown for run in results], axis=0)
        most = np.argsort(-shown)[:3]
        words = ", ".join(f"{actions[one]} {shown[one] / shown.sum():.0%}" for one in most)
        table.add_row(policy, f"{value:.2f}", f"{late:.2f}", f"{left:.2%}", words)
    return table


def main() -> None:
    """Print a table for each business."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=4_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--business", choices=list(BUSINESSES), action="append")
    given = parser.parse_args()
    wrong = []
    for name in given.business or BUSINESSES:
        seeds = SEEDS[: given.seeds]
        runs = check_business(BUSINESSES[name], given.customers, given.days, seeds)
        out.print(table_of(name, runs, given.customers, seeds))
        wrong += [f"{name}, {one}" for one in failures(runs)]
    best = "The oracle leaves fewer gone than nobody and earns most, in each world."
    out.print("\n".join(wrong) or best)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
