"""Measures in 300 worlds what the surrogate of leaving is worth, and what its audit finds.

    python -m tests.bench.surrogate
    python -m tests.bench.surrogate --worlds 10 --first-seed 0

In 100 worlds a policy is learned from 7 days of surrogate, and another one from 90 days of truth
(`surrogate_policies.py`). In 100 worlds there is a slow poison, and in 100 there is none
(`surrogate_poison.py`). Settings were chosen on seeds below 100.

Goals: the policy of the surrogate earns at least 90 % of the gain over `nobody` of the other one,
on average, and in at least 75 of 100 worlds. The poison is found before 600 customers have left in
at least 95 of 100 worlds, and without poison there is an alarm in at most 5 of 100.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tests.bench.surrogate_poison import MOST_LEFT, Found, play
from tests.bench.surrogate_policies import Gains, gains

SHARE, GOOD, FOUND, FALSE = 0.9, 0.75, 0.95, 0.05  # the last three: of the worlds
out = Console(width=120)


def is_found(world: Found) -> bool:
    """Return whether the poison was found before 600 customers had left."""
    return world.alarms and world.left < MOST_LEFT


def main(argv: Sequence[str] | None = None) -> int:
    """Play the worlds and print the table; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=72_000)
    options = parser.parse_args(argv)
    seeds = range(options.first_seed, options.first_seed + options.worlds)
    with threadpool_limits(1), ProcessPoolExecutor() as pool:
        learned = list(pool.map(gains, seeds))
        poisoned = list(pool.map(partial(play, poison=True), seeds))
        clean = list(pool.map(partial(play, poison=False), seeds))
    policies = tell_policies(learned)
    return 0 if tell_poison(poisoned, clean) and policies else 1


def tell_policies(worlds: Sequence[Gains]) -> bool:
    """Print what the policies earn; return whether the goals are met."""
    share = np.array([one.surrogate / one.truth for one in worlds])
    table = Table("policy", "gain over nobody, EUR a customer", "of that of 90 days of truth")
    table.title = f"{len(worlds)} worlds"
    for name in Gains._fields:
        mean = float(np.mean([getattr(one, name) for one in worlds]))
        of_truth = float(np.mean([getattr(one, name) / one.truth for one in worlds]))
        table.add_row(name, f"{mean:.2f}", f"{of_truth:.0%}")
    out.print(table)
    good = float((share >= SHARE).mean())
    met = bool(share.mean() >= SHARE and good >= GOOD)
    out.print(
        f"At least {SHARE:.0%} of it in {good:.0%} of the worlds; least {share.min():.0%}. "
        f"Goals {'met' if met else 'MISSED'}."
    )
    return met


def tell_poison(poisoned: Sequence[Found], clean: Sequence[Found]) -> bool:
    """Print when the poison was found; return whether the goals are met."""
    table = Table("worlds", "alarms", "of the audit", "of the guardrail", "left", "days")
    table.title = f"{len(poisoned)} worlds with the slow poison, and {len(clean)} without"
    for name, worlds, alarm in (
        ("poison, before 600 have left", poisoned, is_found),
        ("no poison", clean, lambda one: one.alarms),
    ):
        audit = sum(bool(one.by_audit) and alarm(one) for one in worlds)
        guardrail = sum(one.by_guardrail and alarm(one) for one in worlds)
        left, days = np.median([(one.left, one.day) for one in worlds], axis=0)
        counts = (sum(map(alarm, worlds)), audit, guardrail, int(left), int(days))
        table.add_row(name, *map(str, counts))
    out.print(table)
    found = sum(map(is_found, poisoned)) / len(poisoned)
    false = sum(one.alarms for one in clean) / len(clean)
    met = found >= FOUND and false <= FALSE
    out.print(f"Found {found:.0%}, false alarms {false:.0%}. Goals {'met' if met else 'MISSED'}.")
    return met


if __name__ == "__main__":
    sys.exit(main())
