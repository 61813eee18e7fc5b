"""Evaluates policies on seeded logs whose attribution windows are still open, and checks the truth.

    python -m tests.bench.evaluate_open --logs 40

Of each log (`open_log`) it evaluates, as `nba evaluate` does, the policy that decided, the same
with another lever, and the same with another description, for which each decision is repeated. The
true value of each decision is known. The bench fails if a 95 % interval of an estimator holds the
true value in less than 36 of 40 logs, or if the policy that decided gains anything but 0 over
itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from features.business.catalog import Catalog
from features.ledger.ledger import Ledger
from features.ledger.tables import EPOCH
from features.progress import quiet
from serving.audit.archive import Archive
from serving.audit.evaluation_report import report_evaluation
from serving.audit.policy_evaluation import Evaluation
from serving.audit.repetition import EvaluationTarget
from serving.audit.replayed_log import ReplayedLog
from serving.contract.evaluation import EstimateView, EvaluationView
from tests.bench.open_log import (
    DOMAIN,
    Course,
    NoRegistry,
    World,
    draw_world,
    with_lever,
    with_text,
)
from training.params import load_params

HELD = 0.9  # least share of the logs in which an interval of 95 % must hold the truth
DAYS, A_DAY, LEVER = 40, 75, 1.15
out = Console(width=120)


Gain = tuple[float | None, float | None, float | None]


class Held(NamedTuple):
    """An interval, and the truth.

    Attributes
    ----------
    what : str
        The policy, and the estimator or "gain".
    value, low, high : float or None
        None: the log does not support the estimate.
    """

    what: str
    truth: float
    value: float | None
    low: float | None
    high: float | None

    @property
    def held(self) -> bool | None:
        """True if the interval holds the truth; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.truth <= self.high

    @property
    def width(self) -> float:
        """Length of the interval; nan without one."""
        return np.nan if self.low is None or self.high is None else self.high - self.low


class Judged(NamedTuple):
    """The findings on one log.

    Attributes
    ----------
    over_itself, repeated : tuple
        Value and interval of what the policy that decided gains over itself: by the same catalogue,
        and by one with another description.
    """

    seed: int
    decisions: int
    left_out: int
    intervals: list[Held]
    over_itself: Gain
    repeated: Gain


def judge(seed: int, days: int = DAYS, a_day: int = A_DAY) -> Judged:
    """Make the log of a seed, and evaluate two policies on it."""
    world = draw_world(seed)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        ledger = Ledger(f"sqlite:///{Path(folder) / 'ledger.db'}")
        course = Course(world, ledger, load_params(), np.random.default_rng((seed, 1)))
        end = asyncio.run(course.live(days, a_day))
        same, same_log = _evaluated(world, ledger, world.catalog, end)
        other = with_lever(world.catalog, ("short", "long", "other")[seed % 3], LEVER)
        more, more_log = _evaluated(world, ledger, other, end)
        again, _ = _evaluated(world, ledger, with_text(world.catalog), end)
        ledger.close()
    held = [*_held("same", world, same, same_log), *_held("lever", world, more, more_log)]
    left_out = sum(same_log.left_out.values())
    return Judged(seed, len(same_log.reward), left_out, held, _gain(same), _gain(again))


def _gain(view: EvaluationView) -> Gain:
    assert view.gain is not None
    return view.gain.value, view.gain.low, view.gain.high


def _evaluated(
    world: World, ledger: Ledger, target: Catalog, now: datetime
) -> tuple[EvaluationView, ReplayedLog]:
    params = load_params()
    registry: Any = NoRegistry()
    archive = Archive(registry, ledger, DOMAIN, params)
    evaluation = Evaluation(ledger, archive, world.catalog, DOMAIN.channels)
    log = evaluation.run(EvaluationTarget(target, {}), now, EPOCH, None, None, quiet)
    return report_evaluation(log, DOMAIN.currency, params.seed), log


def _held(policy: str, world: World, view: EvaluationView, log: ReplayedLog) -> Iterator[Held]:
    worth = world.worth(log.actions, log.customers)
    value = float((log.evaluated * worth).sum(axis=1).mean())
    decided = float((log.decided * worth).sum(axis=1).mean())

    def held(what: str, truth: float, found: EstimateView) -> Held:
        return Held(f"{policy}, {what}", truth, found.value, found.low, found.high)

    for found in view.estimates:
        yield held(found.method, value, found)
    if view.gain is not None and policy != "same":
        yield held("gain", value - decided, view.gain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="number of the first log")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    started = time.perf_counter()
    with ProcessPoolExecutor(asked.processes) as pool:
        found = list(pool.map(judge, range(asked.seed, asked.seed + asked.logs)))
    passed = show(found)
    out.print(f"{time.perf_counter() - started:.0f} s")
    sys.exit(not passed)


def show(found: list[Judged]) -> bool:
    """Print how often each interval held the truth; return whether all did that often enough."""
    counts = f"{_mean(found, 'decisions')} judged, {_mean(found, 'left_out')} left out"
    table = Table(title=f"{len(found)} logs; mean number of decisions: {counts}")
    for column in ("interval", "given", "held", "mean error", "mean width", ""):
        table.add_column(column)
    passed = True
    for what in dict.fromkeys(one.what for log in found for one in log.intervals):
        mine = [one for log in found for one in log.intervals if one.what == what]
        given = [one for one in mine if one.held is not None]
        held = sum(bool(one.held) for one in given)
        enough = held >= HELD * len(given) and bool(given)
        passed &= enough
        errors = [one.value - one.truth for one in given if one.value is not None]
        widths = [
            one.high - one.low for one in given if one.low is not None and one.high is not None
        ]
        table.add_row(
            what,
            f"{len(given)}/{len(mine)}",
            f"{held}/{len(given)}",
            f"{np.mean(errors):+.4f}" if given else "",
            f"{np.mean(widths):.3f}" if given else "",
            "pass" if enough else "FAIL",
        )
    out.print(table)
    zero = (0.0, 0.0, 0.0)
    exact = sum(log.over_itself == log.repeated == zero for log in found)
    out.print(f"gain over itself exactly 0: {exact} of {len(found)}")
    return passed and exact == len(found)


def _mean(found: list[Judged], name: str) -> str:
    return f"{np.mean([getattr(one, name) for one in found]):,.0f}"


if __name__ == "__main__":
    main()
