"""Compares `ContextualBandit` with rival bandits on classification data sets.

    python -m tests.bench.bandit
    python -m tests.bench.bandit --sets letter vehicle --seeds 0 --only ours
    python -m tests.bench.bandit --rivals

A data set becomes a bandit problem: an action is a class, the reward is 1 for the right class and
else 0, and a learner sees the reward of its own action only. The first 6,000 rows of each set are
shuffled and pass once; the figure is the mean reward over all of them. Features are standardised,
categories are 0/1 columns. The same uniform numbers draw the actions of all learners. Settings were
tuned on the eight sets of the published figures; `--sets others` runs sets without any tuning.

Results of the rivals were measured once and are read from `rivals.json`; only ours plays. With
`--rivals` the installed rivals play again and the file is rewritten; `--rivals missing` measures
only what the file lacks. A rival without a result there plays too, where it is installed.

Hillstrom's e-mails were sent at random. There, only the rows count in which a learner draws the
e-mail that was sent; it then learns whether a visit followed. The mean reward of these rows is an
unbiased estimate of that in use (Li et al. 2011, "Unbiased Offline Evaluation of Contextual-bandit-
based News Article Recommendation Algorithms", Algorithm 1).
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tests.bench.problems import (
    EIGHT,
    EMAILS,
    MADE,
    OTHERS,
    ROWS,
    Problem,
    emails,
    fixed_emails,
    problem,
)
from tests.bench.rivals import RIVALS, Failed, Results, Rival, Run
from training.bandit.contextual_bandit import ContextualBandit

OURS = "ours"
ALL, MISSING = "all", "missing"
out = Console(width=200)


class Ours:
    """Plays `ContextualBandit` row by row."""

    def __init__(self, n_features: int, n_actions: int) -> None:
        self.bandit = ContextualBandit(n_features, n_actions)

    def predict(self, context: np.ndarray) -> np.ndarray:
        return self.bandit.predict(context[None])[0]

    def learn(self, context: np.ndarray, action: int, reward: float, probability: float) -> None:
        self.bandit.learn(context[None], [action], [reward])


def play(given: Problem, learner: Rival, visits: np.ndarray | None = None) -> Run:
    """Play each row once.

    With ``visits``, only those rows count and are learned in which the learner draws the e-mail
    that was sent. Time is that of the CPU, so that other processes do not add to it.
    """
    rewards: list[float] = []
    predict_s = learn_s = 0.0
    for row, (context, right, uniform) in enumerate(
        zip(given.contexts, given.right, given.uniforms, strict=True)
    ):
        began = time.process_time()
        chances = learner.predict(context)
        predict_s += time.process_time() - began
        action = _drawn(chances, uniform)
        if visits is not None and action != right:
            continue
        earned = float(action == right) if visits is None else float(visits[row])
        rewards.append(earned)
        began = time.process_time()
        learner.learn(context, action, earned, float(chances[action]))
        learn_s += time.process_time() - began
    n = len(given.right)
    return Run(float(np.mean(rewards)), predict_s / n * 1e6, learn_s / len(rewards) * 1e6)


def _drawn(chances: np.ndarray, uniform: float) -> int:
    cumulated = chances.cumsum()
    return int(np.searchsorted(cumulated, uniform * cumulated[-1], side="right"))


class Tournament:
    """Runs of learners on sets and seeds: ours plays, rivals play or are read from the results.

    Attributes
    ----------
    learners : names of ours and of rivals
    runs : by set and learner, one for each seed that it could play
    seeds : by set, the number of seeds
    failed : sentences about rivals that could not play or are not installed
    """

    def __init__(self, only: Sequence[str] | None, rivals: str | None, results: Results) -> None:
        self.learners = list(only or (OURS, *RIVALS))
        self.runs: dict[tuple[str, str], list[Run]] = {}
        self.failed: list[str] = []
        self.seeds: Counter[str] = Counter()
        self._rivals, self._results = rivals, results

    def play(self, name: str, seed: int, rows: int = ROWS) -> None:
        """Let each learner play one set with one seed."""
        self.seeds[name] += 1
        given, visits = emails(seed) if name == EMAILS else (problem(name, seed, rows), None)
        for who in self.learners:
            if who == OURS:
                ours = Ours(given.contexts.shape[1], given.n_actions)
                found: Run | Failed | None = play(given, ours, visits)
            else:
                found = self._rival(who, name, seed, given, visits)
            if isinstance(found, Run):
                self.runs.setdefault((name, who), []).append(found)
            elif found is not None:
                self.failed.append(f"{who} on {name}, seed {seed}: {found.missing}.")

    def _rival(
        self, who: str, name: str, seed: int, given: Problem, visits: np.ndarray | None
    ) -> Run | Failed | None:
        entry, n = RIVALS[who], len(given.right)
        known = self._results.find(name, seed, who, n)
        if known is not None and self._rivals != ALL:
            return known
        if not entry.is_installed():
            self.failed.append(
                f"{who}: {entry.package} is not installed (extra 'bench'); there is "
                f"{'only an old' if known else 'no'} result for {name}, seed {seed}, {n} rows."
            )
            return known
        if self._rivals is None:
            out.print(f"{who} on {name}, seed {seed}, {n} rows: not in rivals.json; it plays now.")
        try:
            learner = entry.make(given.contexts, given.n_actions, seed)
            found: Run | Failed = play(given, learner, visits)
        except Exception as error:  # whatever a library raises, the other rivals go on
            found = Failed(f"{type(error).__name__}: {str(error)[:100]}")
        if self._rivals is not None:
            today = datetime.now(UTC).date().isoformat()
            self._results.add(name, seed, who, n, found, today)
        return found

    def mean(self, name: str, who: str) -> float:
        """Mean reward of a learner on a set; nan unless it played all seeds."""
        rewards = [run.reward for run in self.runs.get((name, who), [])]
        complete = 0 < self.seeds[name] == len(rewards)
        return float(np.mean(rewards)) if complete else float("nan")

    def best_rival(self, name: str) -> float:
        """Mean reward of the rival that is best on a set; nan if none played all seeds."""
        means = [self.mean(name, who) for who in self.learners if who != OURS]
        known = [mean for mean in means if not np.isnan(mean)]
        return max(known) if known else float("nan")

    def time(self, names: Sequence[str], who: str, field: str) -> float:
        """Mean time of a row, in CPU microseconds."""
        runs = [run for name in names for run in self.runs.get((name, who), [])]
        return float(np.mean([getattr(run, field) for run in runs])) if runs else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["eight"], help="eight, others, or names")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", help=f"{OURS}, or names of the table's columns")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--hillstrom", action="store_true", help="Hillstrom's e-mails alone.")
    parser.add_argument(
        "--rivals",
        nargs="?",
        const=ALL,
        choices=(ALL, MISSING),
        help="measure the installed rivals again, or those without a result, and keep the results",
    )
    asked = parser.parse_args()
    named = {"eight": EIGHT, "others": OTHERS}
    sets = [name for given in asked.sets for name in named.get(given, (given,))]
    played = Tournament(asked.only, asked.rivals, Results())
    with threadpool_limits(1):  # matrices this small are slower on two cores
        for name in [] if asked.hillstrom else sets:
            for seed in asked.seeds:
                played.play(name, seed, asked.rows)
            means = (f"{who} {played.mean(name, who):.3f}" for who in played.learners)
            out.print(f"{name}: {', '.join(means)}", highlight=False)
        if not asked.hillstrom:
            played.play(MADE, 0)
            _print_rewards(played, sets)
            _print_times(played, sets, "all of these sets")
            _print_times(played, [MADE], MADE)
        if asked.hillstrom or asked.sets == ["eight"]:
            for seed in asked.seeds:
                played.play(EMAILS, seed)
            _print_emails(played)
    for sentence in [*dict.fromkeys(played.failed), *goals(played)]:
        out.print(str(sentence), highlight=False)


class Goal(NamedTuple):
    """A goal of the bake-off: its figure, the bound as text, and if the figure reaches it."""

    what: str
    figure: float
    asked: str
    reached: bool

    def __str__(self) -> str:
        return f"{self.what}: {self.figure:.4g} ({self.asked}): {'yes' if self.reached else 'NO'}"


def goals(played: Tournament) -> list[Goal]:
    """Compare ours with each goal of which all figures are known."""
    ours = {name: played.mean(name, OURS) for name in (*EIGHT, EMAILS)}
    best = {name: played.best_rival(name) for name in (*EIGHT, EMAILS)}
    mean = float(np.mean([ours[name] for name in EIGHT]))
    ahead = np.array([ours[name] - best[name] for name in EIGHT])
    won = np.where(np.isnan(ahead), np.nan, ahead > -1e-6).sum()  # kept results have 6 digits
    blocks, ms = ours["page_blocks"], played.time([MADE], OURS, "both_us") / 1e3
    behind = 100 * (best[EMAILS] - ours[EMAILS])
    every = (
        Goal("mean over the eight sets", mean, "at least 0.845", mean >= 0.845),
        Goal("sets of 8 with ours at least the best rival", won, "at least 7", won >= 7),
        Goal("page_blocks", blocks, "at least 0.93", blocks >= 0.93),
        Goal(f"{MADE}: predict and learn with refits, ms a row", ms, "at most 1", ms <= 1),
        Goal("Hillstrom: best rival less ours, points", behind, "at most 0.3", behind <= 0.3),
    )
    return [goal for goal in every if not np.isnan(goal.figure)]


def _print_rewards(played: Tournament, sets: Sequence[str]) -> None:
    """Print the mean reward of each learner on each set, means, and the best rival."""
    table = Table("mean reward", *played.learners, "best rival")
    rewards = np.array(
        [
            [*(played.mean(name, who) for who in played.learners), played.best_rival(name)]
            for name in sets
        ]
    )
    for name, row in zip([*sets, "mean"], [*rewards, rewards.mean(axis=0)], strict=True):
        table.add_row(name, *("-" if np.isnan(value) else f"{value:.4f}" for value in row))
    out.print(table)


def _print_times(played: Tournament, sets: Sequence[str], title: str) -> None:
    table = Table(f"a row of {title}", *played.learners)
    fields = {"predict": "predict_us", "learn, refits included": "learn_us", "both": "both_us"}
    for line, field in fields.items():
        times = (played.time(sets, who, field) for who in played.learners)
        table.add_row(f"{line}, us", *(f"{value:.0f}" for value in times))
    out.print(table)


def _print_emails(played: Tournament) -> None:
    """Print the percentage of visits by each learner, and by each e-mail if sent to all."""
    fixed = fixed_emails()
    table = Table("visits, %", *played.learners, *fixed)
    means = [*(played.mean(EMAILS, who) for who in played.learners), *fixed.values()]
    table.add_row(EMAILS, *(f"{100 * value:.2f}" for value in means))
    out.print(table)


if __name__ == "__main__":
    main()
