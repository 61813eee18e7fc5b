"""Compares the served bandit over HTTP with the same class in a notebook, told as late.

Each row of a classification set is a customer with its columns as attributes, each class an action
that is worth 1 at no cost. A fresh server without `nba train` decides the rows in order; the answer
"accepted" or "rejected" is posted at once. The figure is the mean reward of the drawn actions.

Beside it, `ContextualBandit` and Vowpal Wabbit's SquareCB play the same rows in the same order, and
before row i they have been told exactly the rows that the snapshot named in answer i had learned.
At last the same is played after `nba train --promote`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.classification_sets import SIZES, ClassificationSet, read_set
from tests.bench.served_home import Env, copy_home, make_home, train
from tests.bench.served_run import NEVER, Played, play
from tests.bench.told_with_delay import (
    NOTEBOOK,
    SQUARECB,
    Draw,
    makers,
    replay_all,
    told_before,
)
from tests.server import running

EXAMPLES = """examples:
  python -m tests.bench.served                                  all sets, 20 minutes
  python -m tests.bench.served --sets vehicle --runs 1 --draws 5 --no-trained   half a minute
  python -m tests.bench.served --sets segment --rows 1000 --rate 60
"""
MEAN_RATIO, EACH_RATIO, TRAINED_RATIO = 0.97, 0.94, 0.98
out = Console(width=120)


class Found(NamedTuple):
    """The mean rewards of one set: of each run or draw; ``trained`` after `nba train`."""

    name: str
    served: list[float]
    notebook: list[float]
    squarecb: list[float]
    trained: list[float]
    a_second: list[float]

    @property
    def ratio(self) -> float:
        """Mean reward of the served bandit divided by that of the notebook's object."""
        return float(np.mean(self.served) / np.mean(self.notebook))

    @property
    def trained_ratio(self) -> float:
        """Mean reward after `nba train` divided by that without."""
        return float(np.mean(self.trained) / np.mean(self.served))


def measure(given: ClassificationSet, asked: argparse.Namespace, folder: Path) -> Found:
    """Play one set: over HTTP, in this process, and over HTTP after `nba train`."""
    env = make_home(folder, given)
    runs = _runs(given, asked, folder / "untrained", env, "no nba train")
    if n := sum(int((run.learned == NEVER).sum()) for run in runs):
        out.print(f"{given.name}: {n} rows got no action, so they were never learned.")
    rewards: dict[str, list[float]] = {}
    for learner in makers():
        out.print(f"{given.name}: {asked.draws} draws of {learner} ...", highlight=False)
        rewards[learner] = replay_all(given, _draws(learner, runs, asked))
    trained = []
    if asked.trained:
        out.print(f"{given.name}: nba train --promote ...")
        of_trained = train(folder / "trained", env)
        trained = _runs(given, asked, folder / "after", of_trained, "after nba train")
    return Found(
        given.name,
        [float(run.rewards.mean()) for run in runs],
        rewards[NOTEBOOK],
        rewards.get(SQUARECB, []),
        [float(run.rewards.mean()) for run in trained],
        [run.a_second for run in (*runs, *trained)],
    )


def _runs(
    given: ClassificationSet, asked: argparse.Namespace, folder: Path, env: Env, title: str
) -> list[Played]:
    """Play the runs of a set, each from a fresh copy of the home."""
    played = []
    for number in range(1, asked.runs + 1):
        home = folder / str(number)
        home.parent.mkdir(exist_ok=True)
        here = copy_home(home, env)
        with running(home, here) as server:
            played.append(
                play(
                    server,
                    f"sqlite:///{home / 'ledger.db'}",
                    given,
                    f"{asked.seed}-{number}",
                    asked.rate,
                    _sayer(f"{given.name}, run {number} of {asked.runs}, {title}"),
                )
            )
        last = played[-1]
        out.print(
            f"{given.name}, run {number}, {title}: mean reward {last.rewards.mean():.3f}, "
            f"{last.a_second:.0f} decisions a second, {last.used.max()} snapshots.",
            highlight=False,
        )
    return played


def _sayer(title: str) -> Callable[[str], None]:
    return lambda said: out.print(f"{title}: {said}", highlight=False)


def _draws(learner: str, runs: list[Played], asked: argparse.Namespace) -> list[Draw]:
    """The draws of a learner; in turn they are told as late as each of the runs."""
    told = [told_before(run.used, run.learned) for run in runs]
    return [
        Draw(learner, (asked.seed, number), told[number % len(told)])
        for number in range(asked.draws)
    ]


def goals(found: list[Found]) -> list[tuple[str, bool]]:
    """Say each goal with its figure, and whether it is reached."""
    mean = float(np.mean([one.ratio for one in found]))
    said = [(f"mean ratio {mean:.3f}, asked {MEAN_RATIO}", mean >= MEAN_RATIO)]
    for one in found:
        said.append((f"{one.name}: {one.ratio:.3f}, asked {EACH_RATIO}", one.ratio >= EACH_RATIO))
        if one.squarecb:
            ours, theirs = np.mean(one.served), np.mean(one.squarecb)
            said.append((f"{one.name}: {ours:.3f} above SquareCB's {theirs:.3f}", ours > theirs))
    trained = [one.trained_ratio for one in found if one.trained]
    if trained:
        mean = float(np.mean(trained))
        what = f"after nba train, divided by without: mean {mean:.3f}, asked {TRAINED_RATIO}"
        said.append((what, mean >= TRAINED_RATIO))
    return said


def report(found: list[Found], rate: float) -> int:
    """Print the figures and the goals; return the exit code."""
    table = Table("mean reward", "served, each run", "served", "notebook", "ratio", SQUARECB)
    for title in ("after nba train", "ratio", "decisions/s"):
        table.add_column(title)
    for one in found:
        table.add_row(
            one.name,
            " ".join(f"{value:.3f}" for value in one.served),
            *(_mean(values) for values in (one.served, one.notebook)),
            f"{one.ratio:.3f}",
            *(_mean(values) for values in (one.squarecb, one.trained)),
            f"{one.trained_ratio:.3f}" if one.trained else "-",
            f"{min(one.a_second):.0f}",
        )
    out.print(table)
    if SQUARECB not in makers():
        out.print("SquareCB is left out: vowpalwabbit (the extra 'bench') is not installed.")
    if (slowest := min(min(one.a_second) for one in found)) < 0.95 * rate:
        out.print(f"The slowest run had {slowest:.0f} of {rate:g} decisions a second.")
    reached = goals(found)
    for said, holds in reached:
        out.print(f"{'reached' if holds else 'MISSED '}  {said}", highlight=False)
    return 0 if all(holds for _, holds in reached) else 1


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" if values else "-"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--runs", type=int, default=3, help="runs over HTTP of each set (3)")
    parser.add_argument("--draws", type=int, default=20, help="draws in this process (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the rows' order and the draws (0)")
    parser.add_argument("--rate", type=float, default=120, help="decisions a second (120)")
    parser.add_argument("--rows", type=int, help="play only so many rows of each set")
    parser.add_argument(
        "--trained",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also play after 'nba train --promote' (yes)",
    )
    return parser.parse_args()


def main() -> int:
    asked, found = _asked(), []
    for name in asked.sets:
        given = read_set(name, asked.seed, asked.rows)
        with tempfile.TemporaryDirectory() as scratch:
            found.append(measure(given, asked, Path(scratch)))
    return report(found, asked.rate)


if __name__ == "__main__":
    sys.exit(main())
