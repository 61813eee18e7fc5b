"""Measures the coverage of the intervals of off-policy evaluation in worlds of known truth.

    python -m tests.bench.off_policy --worlds 1500

Each world draws customers from a pool of its own, so the true value of the evaluated policy is
computed, not sampled. Worlds differ in the number of actions (3 to 10) and decisions (500 to
5,000), in the reward (yes or no, or skewed money), in whether customers decide once or several
times, and in how far the truth is from linear; the log comes from an exploring policy.

Errors and widths are in standard deviations of the logged reward. "of its predictions" and
"refitted bootstrap" are two intervals of the direct method that are commonly used, and that
`off_policy` does not offer, for the reason that the table shows.

The bench fails if the default interval of an estimator covers less than 93 % or more than 97 %.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import expit, softmax

from training.evaluation.log import Log, NoSupport
from training.evaluation.off_policy import Estimate, Interval, compare, evaluate
from training.evaluation.reward_regression import RewardModelKind, cross_fitted

Floats = NDArray[np.float64]
POOL, FEATURES = 4000, 5
INTERVALS: tuple[Interval, ...] = ("skewness", "bootstrap", "bernstein")
KINDS: tuple[RewardModelKind, ...] = ("ridge", "trees")
REFITS = 20
COVERED = 0.93, 0.97  # what an interval of 95 % must cover
# Of the gain over the logged rewards, and over the policy that made the log.
LESS_LOGGED, LESS_DECIDED = "skewness, less logged", "skewness, less decided"
JUDGED = "skewness", LESS_LOGGED, LESS_DECIDED  # intervals that must
out = Console(width=140)


@dataclass(frozen=True)
class World:
    """A log, the policy to evaluate on it, and the true value of that policy.

    Attributes
    ----------
    contexts : shape (n_decisions, n_features)
    target, decided : shape (n_decisions, n_actions)
        Probabilities of the evaluated policy, and of the one that made the log.
    truth, logged_truth : float
        True mean reward of the evaluated policy, and of the logging policy.
    """

    kind: str
    log: Log
    contexts: Floats
    target: Floats
    decided: Floats
    truth: float
    logged_truth: float


def draw_world(seed: int) -> World:
    """Draw a world; rewards of even seeds are 0 or 1, of odd seeds amounts of money."""
    rng = np.random.default_rng(seed)
    n_actions, money = int(rng.integers(3, 11)), seed % 2 == 1
    pool = rng.normal(size=(POOL, FEATURES))
    pool[:, 0] = pool[:, 0] > 0.5
    score = _scores(rng, pool, n_actions)
    chance = expit(score - rng.uniform(0.0, 1.5))
    size = np.exp(2.5 + 0.3 * pool[:, 1]) if money else np.ones(POOL)
    logged = _policy(score + rng.normal(scale=1.0, size=n_actions), 1.0, rng.uniform(0.15, 0.5))
    target = _policy(score + rng.normal(scale=0.5, size=n_actions), 3.0, 0.05)
    n = int(np.exp(rng.uniform(np.log(500), np.log(5000))))
    customer = _customers(rng, n)
    row = rng.integers(POOL, size=customer[-1] + 1)[customer]
    action = (logged[row].cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    reward = (rng.random(n) < chance[row, action]).astype(np.float64)
    if money:
        reward *= size[row] * np.exp(0.8 * rng.normal(size=n) - 0.32)
    subject = np.array([f"c{number}" for number in customer])
    log = Log(reward, action, logged[row, action], subject if len(set(customer)) < n else None)
    truths = [
        float((policy * chance * size[:, None]).sum(axis=1).mean()) for policy in (target, logged)
    ]
    return World(
        "money" if money else "yes or no", log, pool[row], target[row], logged[row], *truths
    )


def _scores(rng: np.random.Generator, pool: Floats, n_actions: int) -> Floats:
    """The appeal of each action to each customer of the pool: linear, in most worlds with bends."""
    lines = pool @ rng.normal(scale=0.4, size=(FEATURES, n_actions))
    bends = np.sin(2 * pool[:, [1]]) * rng.normal(size=n_actions)
    bends += pool[:, [2]] * pool[:, [3]] * rng.normal(scale=0.5, size=n_actions)
    scores: Floats = lines + rng.choice([0.0, 0.5, 1.0]) * bends
    return scores


def _policy(score: Floats, inverse_temperature: float, floor: float) -> Floats:
    """Greedier the higher ``inverse_temperature``; a share ``floor`` of the choices is uniform."""
    chances: Floats = (1 - floor) * softmax(
        inverse_temperature * score, axis=1
    ) + floor / score.shape[1]
    return chances


def _customers(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """Number of the customer of each decision: one each, or one to five."""
    if rng.random() < 0.5:
        return np.arange(n)
    sizes = rng.integers(1, 6, size=n)
    return np.repeat(np.arange(n), sizes)[:n]


@dataclass(frozen=True, slots=True)
class IntervalResult:
    """One interval of one estimator in one world."""

    error: float
    covered: bool
    missed_above: bool
    width: float
    noise: float
    has_note: bool


Found = tuple[
    str, str, str, IntervalResult | None
]  # estimator, interval, kind of world; None: no support


def evaluate_world(
    seed: int,
    intervals: tuple[Interval, ...],
    refits: int = 0,
    kinds: tuple[RewardModelKind, ...] = KINDS,
) -> Iterator[Found]:
    """Compute every estimator and interval in one world; reward models take turns."""
    here = draw_world(seed)
    model = kinds[seed // 2 % len(kinds)]
    expected = cross_fitted(here.contexts, here.log, here.target.shape[1], seed=seed, kind=model)
    noise = float(here.log.reward.std())

    def result(
        value: float, low: float, high: float, note: str = "", truth: float = here.truth
    ) -> IntervalResult:
        covered, above = low <= truth <= high, truth > high
        return IntervalResult(value - truth, covered, above, high - low, noise, bool(note))

    for interval in intervals:
        found = evaluate(here.log, here.target, expected, interval=interval, seed=seed)
        for method, answer in found.items():
            yield method, interval, here.kind, _figures(answer, result)
    truth = here.truth - here.logged_truth
    for less, other in ((LESS_LOGGED, None), (LESS_DECIDED, here.decided)):
        for method, answer in compare(here.log, here.target, other, expected).items():
            hit = _figures(answer, lambda *figures: result(*figures, truth=truth))
            yield method, less, here.kind, hit
    if refits:
        predictions = (here.target * expected).sum(axis=1)
        value = float(predictions.mean())
        errors = predictions.std() / np.sqrt(len(predictions)), refitted(here, seed, refits)
        for way, error in zip(("of its predictions", "refitted bootstrap"), errors, strict=True):
            hit = result(value, value - 1.96 * error, value + 1.96 * error)
            yield "direct", way, here.kind, hit


def _figures(
    answer: Estimate | NoSupport, result: Callable[..., IntervalResult]
) -> IntervalResult | None:
    if isinstance(answer, NoSupport):
        return None
    return result(answer.value, answer.low, answer.high, answer.note)


def refitted(here: World, seed: int, refits: int) -> float:
    """The standard error of the direct method, by resampled customers and refitted ridge models."""
    rng, log = np.random.default_rng(seed), here.log
    customer, values = log.customer, []
    rows_of = np.split(np.argsort(customer, kind="stable"), np.cumsum(np.bincount(customer))[:-1])
    for _ in range(refits):
        drawn = rng.integers(len(rows_of), size=len(rows_of))
        rows = np.concatenate([rows_of[customer] for customer in drawn])
        subject = np.repeat(drawn, [len(rows_of[customer]) for customer in drawn]).astype(str)
        again = Log(log.reward[rows], log.action[rows], log.logged_probability[rows], subject)
        predictions = cross_fitted(here.contexts[rows], again, here.target.shape[1], seed=seed)
        values.append(float((here.target[rows] * predictions).sum(axis=1).mean()))
    return float(np.std(values, ddof=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0, help="number of the first world")
    parser.add_argument("--refits", type=int, default=REFITS)
    parser.add_argument("--intervals", nargs="+", choices=INTERVALS, default=INTERVALS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    started = time.perf_counter()
    one = partial(world_results, intervals=tuple(arguments.intervals), refits=arguments.refits)
    seeds = range(arguments.seed, arguments.seed + arguments.worlds)
    results: dict[tuple[str, str], list[tuple[str, IntervalResult | None]]] = defaultdict(list)
    with ProcessPoolExecutor(arguments.processes) as pool:
        for found in pool.map(one, seeds, chunksize=10):
            for method, interval, kind, result in found:
                results[method, interval].append((kind, result))
    out.print(_table(results, arguments.worlds))
    out.print(f"{time.perf_counter() - started:.0f} s")
    verdicts = list(coverage_verdicts(results))
    for sentence, _ in verdicts:
        out.print(sentence)
    sys.exit(not all(passed for _, passed in verdicts))


def world_results(seed: int, intervals: tuple[Interval, ...], refits: int) -> list[Found]:
    """All that `evaluate_world` finds, so that a process can hand it over."""
    return list(evaluate_world(seed, intervals, refits))


def coverage_verdicts(
    results: dict[tuple[str, str], list[tuple[str, IntervalResult | None]]],
) -> Iterator[tuple[str, bool]]:
    """Say for each estimator if its default interval covers what it must."""
    low, high = COVERED
    for (method, interval), found in sorted(results.items()):
        if interval not in JUDGED:
            continue
        covered = float(np.mean([result.covered for _, result in found if result]))
        passed = low <= covered <= high
        asked = f"{low:.0%} to {high:.0%} {'pass' if passed else 'FAIL'}"
        yield f"{method}, {interval}: {covered:.1%} covered, asked {asked}", passed


def _table(
    results: dict[tuple[str, str], list[tuple[str, IntervalResult | None]]], worlds: int
) -> Table:
    error = 100 * np.sqrt(0.95 * 0.05 / worlds)
    table = Table(title=f"{worlds} worlds, intervals of 95 %, standard error {error:.1f} %")
    for column in ("estimator", "interval", "worlds", "covered", "yes or no", "money"):
        table.add_column(column, no_wrap=True)
    for column in ("below", "above", "bias", "rmse", "width", "noted"):
        table.add_column(column, no_wrap=True)
    for (method, interval), found in sorted(results.items()):
        given = [(kind, result) for kind, result in found if result]
        covered = {
            name: np.mean([result.covered for kind, result in given if kind == name])
            for name in ("yes or no", "money")
        }
        all_ = [result for _, result in given]
        scaled = np.array([result.error / result.noise for result in all_])
        table.add_row(
            method,
            interval,
            f"{len(all_)}/{len(found)}",
            f"{np.mean([result.covered for result in all_]):.1%}",
            *(f"{covered[name]:.1%}" for name in ("yes or no", "money")),
            f"{np.mean([not s.covered and not s.missed_above for s in all_]):.1%}",
            f"{np.mean([s.missed_above for s in all_]):.1%}",
            f"{scaled.mean():+.4f}",
            f"{np.sqrt((scaled**2).mean()):.4f}",
            f"{np.mean([s.width / s.noise for s in all_]):.3f}",
            f"{sum(s.has_note for s in all_)}",
        )
    return table


if __name__ == "__main__":
    main()
