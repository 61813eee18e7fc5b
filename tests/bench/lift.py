"""Measures whether the lift is right: in sign, and in how often its intervals hold the truth.

    python -m tests.bench.lift --first-seed 10000

1. Sure things, persuadables and sleeping dogs: 4,000 customers, arms of 20 %, 28 days. A policy
   that seeks acceptances contacts those who buy anyway, and those whom it drives away.
2. Nothing works: what is read on one planned day, and by somebody who looks on each of 60 days.
   Also with arms of 2 %.

The figures are those of `compare_arms`, which answers `/v1/lift`. Settings were chosen on seeds
below 1,000.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from features.business.catalog_rules import Arms
from serving.audit.lift.comparison import ARM_NAMES, PAIRS, compare_arms
from serving.contract.lift import DifferenceView
from tests.bench.lift_worlds import FIRST_DAY, KINDS, NOTHING, World, draw, true_means
from training.arrays import Floats

WORLDS, NOTHING_SEEDS = 200, 300
FIFTH, FIFTIETH = Arms(random=0.2, nobody=0.2), Arms(random=0.02, nobody=0.02)
MAIN = PAIRS[0]  # the policy against nobody
Found = Counter[tuple[tuple[str, str], str]]
out = Console()


def main() -> None:
    """Print the tables; the exit code is the number of bounds that do not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--seeds", type=int, default=NOTHING_SEEDS)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.processes) as pool:
        seeds = range(asked.first_seed, asked.first_seed + asked.worlds)
        found = sum(pool.map(world_with_kinds, seeds, chunksize=4), Found())
        broken = [*_print_kinds(found, seeds)]
        seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
        for customers, arms in ((4_000, FIFTH), (10_000, FIFTIETH)):
            play = partial(world_of_nothing, customers=customers, arms=arms)
            found = sum(pool.map(play, seeds, chunksize=4), Found())
            broken += _print_nothing(found, seeds, customers, arms)
    for sentence in broken:
        out.print(sentence, style="red")
    raise SystemExit(len(broken))


def world_with_kinds(seed: int) -> Found:
    """Count what the last look at a world tells of each pair."""
    found, means = Found(), true_means(KINDS)
    world = draw(KINDS, 4_000, FIFTH, seed)
    compared = compare_arms(world.values, world.arm, FIFTH, "EUR", FIRST_DAY + KINDS.days - 1)
    for view in compared.pairs:
        pair = view.arm, view.against
        truth, left = (_difference(mean, pair) for mean in means)
        assert view.lift and view.left
        found[pair, "sign"] += int(np.sign(view.lift.value) == np.sign(truth))
        found[pair, "told"] += int(_outside(view.lift, 0.0) and view.lift.value * truth > 0)
        found[pair, "told wrongly"] += int(_outside(view.lift, 0.0) and view.lift.value * truth < 0)
        found[pair, "always"] += int(not _outside(view.lift, truth))
        found[pair, "planned"] += int(not _outside(_planned(view.lift), truth))
        found[pair, "left always"] += int(not _outside(view.left, left))
        found[pair, "left planned"] += int(not _outside(_planned(view.left), left))
    found[MAIN, "credited says more"] += int(_credited(world) > 0)
    return found


def world_of_nothing(seed: int, customers: int, arms: Arms) -> Found:
    """Count the intervals that exclude 0, on the last day and on any day."""
    found = Found()
    world = draw(NOTHING, customers, arms, seed)
    compared = compare_arms(world.values, world.arm, arms, "EUR", FIRST_DAY + NOTHING.days - 1)
    for view in compared.pairs:
        pair = view.arm, view.against
        assert view.lift and view.left
        found[pair, "covers"] += int(not _outside(_planned(view.lift), 0.0))
        found[pair, "left covers"] += int(not _outside(_planned(view.left), 0.0))
        found[pair, "some day"] += int(any(day.low > 0 or day.high < 0 for day in view.days))
        found[pair, "looks"] += len(view.days)
        found[pair, "left last day"] += int(_outside(view.left, 0.0))
    return found


def _planned(view: DifferenceView) -> DifferenceView:
    return view.model_copy(update={"low": view.planned_low, "high": view.planned_high})


def _outside(view: DifferenceView, truth: float) -> bool:
    return view.low is not None and view.high is not None and not view.low <= truth <= view.high


def _difference(mean: Floats, pair: tuple[str, str]) -> float:
    one, other = (float(mean[ARM_NAMES.index(name)]) for name in pair)
    return one - other


def _credited(world: World) -> float:
    """Compute what was bought after contacts, less costs: the policy's less that of random."""
    policy, random = (world.credited[world.arm == code].mean() for code in (0, 1))
    return float(policy - random)


def _print_kinds(found: Found, seeds: range) -> Iterator[str]:
    n, means = len(seeds), true_means(KINDS)
    out.print(f"Three kinds of customers: {n} worlds, seeds {seeds[0]:,} to {seeds[-1]:,}")
    table = Table("pair", "truth", "sign right", "told", "wrong", "always holds", "one look holds")
    table.add_column("left: always, one look")
    for pair in PAIRS:
        names = ("sign", "told", "told wrongly", "always", "planned")
        left = f"{found[pair, 'left always']}, {found[pair, 'left planned']}"
        counts = [str(found[pair, name]) for name in names]
        table.add_row(" less ".join(pair), f"{_difference(means[0], pair):.2f}", *counts, left)
    out.print(table)
    more = found[MAIN, "credited says more"]
    out.print(f"Credited rewards say that the policy earns more than random in {more} of {n}.")
    for name, low, high in (("sign", 0.975, 1), ("always", 0.95, 1), ("planned", 0.92, 0.98)):
        if not low * n <= found[MAIN, name] <= high * n:
            yield f"{name}: {found[MAIN, name]} of {n}, not {low * n:.0f} to {high * n:.0f}."


def _print_nothing(found: Found, seeds: range, customers: int, arms: Arms) -> Iterator[str]:
    n = len(seeds)
    out.print(
        f"Nothing works: {customers:,} customers, arms of {arms.nobody:.0%}, {NOTHING.days} days, "
        f"{n} seeds, {seeds[0]:,} to {seeds[-1]:,}"
    )
    table = Table("pair", "one look covers 0", "some day excludes 0", "days with a bound")
    table.add_column("left: one look covers 0, always excludes 0")
    for pair in PAIRS:
        counts = [str(found[pair, name]) for name in ("covers", "some day")]
        days = f"{found[pair, 'looks'] / n:.0f}"
        left = f"{found[pair, 'left covers']}, {found[pair, 'left last day']}"
        table.add_row(" less ".join(pair), *counts, days, left)
    out.print(table)
    if not 0.92 * n <= found[MAIN, "covers"] <= 0.98 * n:
        yield f"one look covers 0 in {found[MAIN, 'covers']} of {n}."
    if found[MAIN, "some day"] > 0.05 * n:
        yield f"some day excludes 0 in {found[MAIN, 'some day']} of {n}."


if __name__ == "__main__":
    main()
