"""Compares `ContextualBandit` with Vowpal Wabbit and MABWiser on classification data sets.

    python -m tests.bench.bandit
    python -m tests.bench.bandit --sets letter vehicle --seeds 0 --only ours

A data set becomes a bandit problem: an action is a class, the reward is 1 for the right class and
else 0, and a learner sees the reward of its own action only. The first 6,000 rows of each set are
shuffled and pass once; the figure is the mean reward over all of them. Features are standardised,
categories are 0/1 columns. The same uniform numbers draw the actions of all learners. Settings were
tuned on the eight sets of the published figures; `--sets others` runs sets without any tuning.

Hillstrom's e-mails were sent at random. There, only the rows count in which a learner draws the
e-mail that was sent; it then learns whether a visit followed. The mean reward of these rows is an
unbiased estimate of that in use (Li et al. 2011, "Unbiased Offline Evaluation of Contextual-bandit-
based News Article Recommendation Algorithms", Algorithm 1).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import sklearn.datasets
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tests.bench import hillstrom
from tests.bench.rivals import Rival, rivals
from training.bandit.contextual_bandit import ContextualBandit

ROWS = 6_000
DATA = Path(__file__).parents[3] / "shared" / "data"
EIGHT = (
    *("pendigits", "satimage", "segment", "vehicle"),
    *("nursery", "page_blocks", "spambase", "letter"),
)
SHIPPED = ("digits", "wine", "breast_cancer", "iris")  # with scikit-learn
TABLES = {  # file, target, columns to leave out: they contain the target, or are keys
    "shoppers": ("online_shoppers_intention.csv.gz", "Revenue", []),
    "bank": ("bank_additional_full.csv.gz", "y", ["duration"]),
    "telco": ("telco_customer_churn.csv.gz", "Churn", ["customerID", "TotalCharges"]),
}
OTHERS = (*SHIPPED, *TABLES)
MADE = "10 actions, 20 features"  # a synthetic set, for the time that a row takes
OURS = "ours"
out = Console(width=200)


class Problem(NamedTuple):
    """Contexts (n, d), the right action of each (n,), the number of actions, uniforms (n,)."""

    contexts: np.ndarray
    right: np.ndarray
    n_actions: int
    uniforms: np.ndarray


class Run(NamedTuple):
    """Mean reward; microseconds of one predict and one learn; milliseconds of refits per row."""

    reward: float
    predict_us: float
    learn_us: float
    refit_ms: float = 0.0


class Ours:
    """Plays `ContextualBandit` row by row."""

    def __init__(self, n_features: int, n_actions: int) -> None:
        self.bandit = ContextualBandit(n_features, n_actions)

    def predict(self, context: np.ndarray) -> np.ndarray:
        return self.bandit.predict(context[None])[0]

    def learn(self, context: np.ndarray, action: int, reward: float, probability: float) -> None:
        self.bandit.learn(context[None], [action], [reward])


def problem(name: str, seed: int, rows: int = ROWS) -> Problem:
    """Make a bandit problem of a data set."""
    x, y = (part[:rows] for part in _table(name))
    y = np.unique(y, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    x, y = x[order], y[order]
    scale = x.std(axis=0)
    contexts = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    return Problem(contexts, y, int(y.max()) + 1, rng.random(len(y)))


def _table(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name in SHIPPED:
        found = getattr(sklearn.datasets, f"load_{name}")()
        return found.data.astype(float), found.target
    if name == MADE:
        return sklearn.datasets.make_classification(
            ROWS, 20, n_informative=10, n_redundant=4, n_classes=10, random_state=0
        )
    file, target, left_out = TABLES.get(name, (f"multiclass/{name}.csv.gz", "target", []))
    table = pd.read_csv(DATA / file).drop(columns=left_out)
    x = pd.get_dummies(table.drop(columns=target)).to_numpy(dtype=float)
    return x, pd.factorize(table[target], sort=True)[0]


def emails(seed: int) -> tuple[Problem, np.ndarray]:
    """Return Hillstrom's e-mails, with those sent as ``right``, and visits of shape (n,)."""
    contexts, arm, rewards = hillstrom.read(hillstrom.FILE)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(arm))
    contexts = ((contexts - contexts.mean(axis=0)) / contexts.std(axis=0))[order]
    sent = Problem(contexts, arm[order], len(hillstrom.ARMS), rng.random(len(arm)))
    return sent, rewards["visits"][order]


def replay(sent: Problem, visits: np.ndarray, learner: Rival) -> float:
    """Mean reward of the rows in which the learner draws the e-mail that was sent."""
    earned = []
    for context, arm, visit, uniform in zip(
        sent.contexts, sent.right, visits, sent.uniforms, strict=True
    ):
        chances = learner.predict(context)
        if _drawn(chances, uniform) == arm:
            earned.append(visit)
            learner.learn(context, int(arm), float(visit), float(chances[arm]))
    return float(np.mean(earned))


def play(given: Problem, learner: Rival) -> Run:
    """Play each row once."""
    reward = predict_s = learn_s = refit_s = 0.0
    bandit = getattr(learner, "bandit", None)
    for context, right, uniform in zip(given.contexts, given.right, given.uniforms, strict=True):
        began = time.perf_counter()
        chances = learner.predict(context)
        predict_s += time.perf_counter() - began
        action = _drawn(chances, uniform)
        earned = float(action == right)
        reward += earned
        fitted_at = bandit.fitted_at if bandit else 0
        began = time.perf_counter()
        learner.learn(context, action, earned, float(chances[action]))
        took = time.perf_counter() - began
        if bandit and bandit.fitted_at != fitted_at:
            refit_s += took
        else:
            learn_s += took
    n = len(given.right)
    return Run(reward / n, predict_s / n * 1e6, learn_s / n * 1e6, refit_s / n * 1e3)


def _drawn(chances: np.ndarray, uniform: float) -> int:
    cumulated = chances.cumsum()
    return int(np.searchsorted(cumulated, uniform * cumulated[-1], side="right"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["eight"], help="eight, others, or names")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", help=f"{OURS}, or names of the table's columns")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--hillstrom", action="store_true", help="Hillstrom's e-mails alone.")
    asked = parser.parse_args()
    learners = _learners(asked.only)
    if asked.hillstrom:
        _print_emails(learners, asked.seeds)
        return
    named = {"eight": EIGHT, "others": OTHERS}
    sets = [name for given in asked.sets for name in named.get(given, (given,))]
    played: dict[tuple[str, str], list[Run]] = {}
    with threadpool_limits(1):  # matrices this small are slower on two cores
        for name in sets:
            for seed in asked.seeds:
                given = problem(name, seed, asked.rows)
                for who, make in learners.items():
                    played.setdefault((name, who), []).append(play(given, make(given, seed)))
            out.print(f"{name}: " + _said(played, name, list(learners)), highlight=False)
        for who, make in learners.items():
            given = problem(MADE, 0)
            played[MADE, who] = [play(given, make(given, 0))]
    _print_table(played, sets, list(learners))
    _print_times(played, sets, list(learners), "all of these sets")
    _print_times(played, [MADE], list(learners), MADE)
    if asked.sets == ["eight"]:
        _print_emails(learners, asked.seeds)


def _learners(only: Sequence[str] | None) -> dict[str, Callable[[Problem, int], Rival]]:
    found: dict[str, Callable[[Problem, int], Rival]] = {
        OURS: lambda given, seed: Ours(given.contexts.shape[1], given.n_actions)
    }
    for name, make in rivals().items():
        found[name] = lambda given, seed, make=make: make(given.n_actions, seed)  # type: ignore[misc]
    if len(found) == 1:
        out.print("No rivals are installed (the extra 'bench'); ours runs alone.")
    return {name: found[name] for name in only or found}


def _mean(runs: Sequence[Run], field: str = "reward") -> float:
    return float(np.mean([getattr(run, field) for run in runs]))


def _said(played: dict[tuple[str, str], list[Run]], name: str, learners: list[str]) -> str:
    return ", ".join(f"{who} {_mean(played[name, who]):.3f}" for who in learners)


def _print_table(
    played: dict[tuple[str, str], list[Run]], sets: list[str], learners: list[str]
) -> None:
    """Print the mean reward of each learner on each set, means and ranks, and the best rival."""
    reward = np.array([[_mean(played[name, who]) for who in learners] for name in sets])
    table = Table("mean reward", *learners, "best of the others")
    others = [index for index, who in enumerate(learners) if who != OURS]
    best = reward[:, others].max(axis=1) if others else np.full(len(sets), np.nan)
    each = np.column_stack([reward, best])
    for name, row in zip([*sets, "mean"], [*each, each.mean(axis=0)], strict=True):
        table.add_row(name, *("-" if np.isnan(value) else f"{value:.4f}" for value in row))
    ranks = (reward[:, None, :] > reward[:, :, None]).sum(axis=2) + 1
    table.add_row("mean rank", *(f"{rank:.1f}" for rank in ranks.mean(axis=0)), "")
    out.print(table)
    if OURS in learners and others:
        ours = reward[:, learners.index(OURS)]
        out.print(
            f"Ours is at least the best of the others on {(ours >= best).sum()} of {len(sets)}."
        )


def _print_emails(
    learners: dict[str, Callable[[Problem, int], Rival]], seeds: Sequence[int]
) -> None:
    """Print the percentage of visits by each learner, and by each e-mail if sent to all."""
    table = Table("visits, %", *learners, *hillstrom.ARMS)
    earned: dict[str, list[float]] = {name: [] for name in learners}
    with threadpool_limits(1):
        for seed in seeds:
            sent, visits = emails(seed)
            for name, make in learners.items():
                earned[name].append(replay(sent, visits, make(sent, seed)))
    fixed = [visits[sent.right == arm].mean() for arm in range(sent.n_actions)]
    means = [float(np.mean(values)) for values in earned.values()]
    table.add_row("Hillstrom", *(f"{100 * value:.2f}" for value in (*means, *fixed)))
    out.print(table)


def _print_times(
    played: dict[tuple[str, str], list[Run]], sets: list[str], learners: list[str], title: str
) -> None:
    table = Table(f"a row of {title}", *learners)
    predict, learn, refits = (
        [float(np.mean([_mean(played[name, who], field) for name in sets])) for who in learners]
        for field in ("predict_us", "learn_us", "refit_ms")
    )
    for line, values in (
        ("predict, us", predict),
        ("learn, us", learn),
        ("both, us", [one + other for one, other in zip(predict, learn, strict=True)]),
        ("refits, ms", refits),
    ):
        table.add_row(line, *(f"{value:.2f}" for value in values))
    out.print(table)


if __name__ == "__main__":
    main()
