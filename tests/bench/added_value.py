"""Plays the service among sure things, persuadables and sleeping dogs, and where nothing works.

    python -m tests.bench.added_value
    python -m tests.bench.added_value --customers 2000 --days 10 --seeds 1

An offer costs 0.50. A third of the customers would buy anyway, a third buys because of it, and a
third buys less and may leave. What is accepted most is worth least. In the last third of the days
the service must earn at least 95 % of the value of a policy that knows the kinds. Where nothing
works, offers must cease but for what is tried.

The served classes decide, are told purchases and who left, and learn each night. Seeds below 1,000
are for building.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from serving.simulation.served_business import served_business
from serving.simulation.served_policy import ServedPolicy
from tests.bench.added_value_worlds import KINDS, NOTHING, Kinds, KindsWorld, business_of
from training.arrays import Floats
from training.simulation.baselines import FixedPolicy, OraclePolicy, RandomPolicy
from training.simulation.rollout import Policy, run_policy

CUSTOMERS, DAYS, SEEDS, FIRST_SEED = 10_000, 20, 3, 31_001
GOAL = 0.95  # of the value of who knows the kinds
MOST_CONTACTED = 0.05  # on the last day, where nothing works
out = Console(width=140)


class Course(NamedTuple):
    """The course of one policy in one world.

    Attributes
    ----------
    value : shape (n_days,)
        In euro a customer.
    contacted : shape (n_days, n_kinds)
        Share of the visits of each kind at which the offer was shown.
    left : float
        Share of the customers.
    """

    value: Floats
    contacted: Floats
    left: float


def play_all(seed: int, kinds: Kinds, customers: int, days: int) -> dict[str, Course]:
    """Play the service and its rivals in one world."""
    business = business_of(kinds)

    def played(policy: Policy, world: KindsWorld) -> Course:
        run = run_policy(business, policy, world, seed)
        contacted = [
            [world.shown[visits, day].mean() for visits in _visits_by_kind(world, day)]
            for day in range(days)
        ]
        return Course(run.value_eur / customers, np.array(contacted), float(run.left.mean()))

    def new_world() -> KindsWorld:
        return KindsWorld(customers, seed, days, kinds)

    rivals = (FixedPolicy("nobody"), FixedPolicy("always", 1), RandomPolicy())
    found = {policy.name: played(policy, new_world()) for policy in rivals}
    world = new_world()
    found["best"] = played(OraclePolicy(world=world), world)
    world = new_world()
    with threadpool_limits(1, "blas"), served_business(business, world, seed) as served:
        found["served"] = played(ServedPolicy("served", served, world), world)
    return found


def _visits_by_kind(world: KindsWorld, day: int) -> list[Floats]:
    return [
        np.flatnonzero(world.visited[:, day] & (world.kind == kind))
        for kind in range(len(world.kinds.names))
    ]


def share_of_best(found: dict[str, Course], late: bool) -> float:
    """Return the value of the service as a share of the value of who knows the kinds.

    Parameters
    ----------
    late : bool
        Of the last third of the days.
    """
    served, best = (found[name].value for name in ("served", "best"))
    begin = len(best) - len(best) // 3 if late else 0
    return float(served[begin:].sum() / best[begin:].sum())


def print_worlds(name: str, kinds: Kinds, worlds: Sequence[dict[str, Course]]) -> None:
    """Print the means over the worlds, and the offers of the service by day."""
    table = Table("policy", "EUR a customer", "last third", "left", "offers", title=name)
    for policy in worlds[0]:
        runs = [one[policy] for one in worlds]
        value = np.mean([one.value for one in runs], axis=0)
        late = value[len(value) - len(value) // 3 :].sum()
        offers = np.mean([one.contacted for one in runs])
        left = np.mean([one.left for one in runs])
        table.add_row(policy, f"{value.sum():.2f}", f"{late:.2f}", f"{left:.2%}", f"{offers:.1%}")
    out.print(table)
    for late, span in ((True, "in the last third"), (False, "on all days")):
        shares = ", ".join(f"{share_of_best(one, late):.1%}" for one in worlds)
        out.print(f"Served, of the best {span}: {shares}.", highlight=False)
    by_day = np.mean([one["served"].contacted for one in worlds], axis=0)
    days = Table("offers, %", *(str(day + 1) for day in range(len(by_day))))
    for number, kind in enumerate(kinds.names):
        days.add_row(kind, *(f"{100 * share:.0f}" for share in by_day[:, number]))
    out.print(days)


def failures(kinds: Sequence[dict[str, Course]], nothing: Sequence[dict[str, Course]]) -> list[str]:
    """Say which goals are missed."""
    found = []
    for one in kinds:
        share = share_of_best(one, late=True)
        if share < GOAL:
            found.append(f"served earns {share:.1%} of the best, less than {GOAL:.0%}")
    for one in nothing:
        contacted = float(one["served"].contacted[-1].mean())
        if contacted > MOST_CONTACTED:
            found.append(
                f"where nothing works, offers are shown at {contacted:.1%} of the last day's "
                f"visits, more than {MOST_CONTACTED:.0%}"
            )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Play and report; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(arguments)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    found = []
    with ProcessPoolExecutor(asked.processes) as pool:
        for name, kinds in (("Three kinds of customers", KINDS), ("Nothing works", NOTHING)):
            play = partial(play_all, kinds=kinds, customers=asked.customers, days=asked.days)
            found.append(list(pool.map(play, seeds)))
            print_worlds(name, kinds, found[-1])
    missed = failures(*found)
    for sentence in missed:
        out.print(sentence, style="red", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
