"""Plays `ContextualBandit` on made-up sets that show where a contextual bandit may fail.

    python -m tests.bench.made_up
    python -m tests.bench.made_up --only rare --shuffles 5

* rare: 1 % of the rows belong to a group whose best action is the one that the other rows make look
  worst there. In the last third of the group's rows the right action must have more than half of
  the probability, in each shuffle.
* scale: clear and noisy classes. The exploration scale that follows from the data is compared with
  that scale times fixed factors.
* wide: 2,000 columns. The time of the first 100 rows.

The generators of these sets were not used when settings were chosen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from training.arrays import Bools, Floats, Ints
from training.bandit.contextual_bandit import ContextualBandit
from training.params import BanditParams, load_params

RARE_ROWS, RARE_SHARE = 6_000, 0.01
FACTORS = (0.1, 0.3, 1.0, 3.0)
LOSS, WIDE_S = 0.005, 3.0  # goals
out = Console(width=120)


class MadeUp(NamedTuple):
    """Shuffled contexts (n, d), the right action of each (n,), uniforms (n,), rare rows (n,)."""

    contexts: Floats
    right: Ints
    uniforms: Floats
    rare: Bools


class Classes(NamedTuple):
    """A made-up set of classes: the noisier, the less the contexts tell."""

    seed: int
    rows: int
    columns: int
    actions: int
    noise: float
    products: bool = False


SETS = {
    "clear, 3 actions": Classes(11, 2_000, 8, 3, 0.2),
    "between, 4 actions": Classes(12, 2_000, 10, 4, 1.0),
    "noisy, 3 actions": Classes(13, 2_000, 8, 3, 4.0),
    "noisy, 3 actions, 20 columns": Classes(14, 2_000, 20, 3, 2.5),
    "clear, 10 actions": Classes(15, 2_000, 12, 10, 0.15),
    "products, 5 actions": Classes(16, 2_000, 8, 5, 1.5, products=True),
}


def classes(what: Classes, shuffle: int) -> MadeUp:
    """Make classes by linear scores, or by scores of products, with Gumbel noise."""
    rng = np.random.default_rng(what.seed)
    x = rng.normal(size=(what.rows, what.columns))
    if what.products:
        pairs = rng.integers(0, what.columns, size=(what.actions, 6, 2))
        terms = [(x[:, one[:, 0]] * x[:, one[:, 1]]).sum(axis=1) for one in pairs]
        score = np.stack(terms, axis=1) / np.sqrt(6)
    else:
        score = x @ rng.normal(size=(what.columns, what.actions)) / np.sqrt(what.columns)
    right = (3 * score / what.noise + rng.gumbel(size=score.shape)).argmax(axis=1)
    return _shuffled(x, right, np.zeros(what.rows, dtype=bool), shuffle)


def rare_group(shuffle: int) -> MadeUp:
    """Make three classes along lines, and a rare group far out whose class is the farthest one."""
    rng = np.random.default_rng(17)
    x = rng.normal(size=(RARE_ROWS, 6))
    right = np.where(x[:, 0] < -0.8, 1, 0)
    right = np.where(x[:, 1] > 1.2, 2, right)
    rare = rng.random(RARE_ROWS) < RARE_SHARE
    x[rare, 0] = 3.0 + 0.3 * rng.random(int(rare.sum()))
    return _shuffled(x, np.where(rare, 1, right), rare, shuffle)


def _shuffled(x: Floats, right: Ints, rare: Bools, shuffle: int) -> MadeUp:
    rng = np.random.default_rng(1_000 + shuffle)
    order = rng.permutation(len(x))
    contexts = (x - x.mean(axis=0)) / x.std(axis=0)
    return MadeUp(contexts[order], right[order], rng.random(len(x)), rare[order])


def play(given: MadeUp, params: BanditParams) -> tuple[float, float]:
    """Return the mean reward, and the mean probability of the right action in the rare rows.

    Only the last third of the rare rows counts; ``nan`` without any.
    """
    bandit = ContextualBandit(given.contexts.shape[1], int(given.right.max()) + 1, params)
    at = np.flatnonzero(given.rare)
    counted = set(at[2 * len(at) // 3 :].tolist())
    rewards, chances = [], []
    for number in range(len(given.right)):
        context, right = given.contexts[number : number + 1], int(given.right[number])
        probabilities = bandit.predict(context)[0]
        drawn = int(probabilities.cumsum().searchsorted(given.uniforms[number], side="right"))
        action = min(drawn, len(probabilities) - 1)
        if number in counted:
            chances.append(float(probabilities[right]))
        rewards.append(float(action == right))
        bandit.learn(context, [action], [rewards[-1]])
    return float(np.mean(rewards)), float(np.mean(chances)) if chances else float("nan")


def scaled(factor: float) -> BanditParams:
    """Return the settings of the service with another factor on the exploration scale."""
    params = load_params().bandit
    experts = tuple(
        one.model_copy(update={"exploration_scale": factor * one.exploration_scale})
        for one in params.linear_experts
    )
    return params.model_copy(update={"linear_experts": experts})


def _rare(shuffle: int) -> float:
    with threadpool_limits(1):
        return play(rare_group(shuffle), load_params().bandit)[1]


def _scale(asked: tuple[str, float, int]) -> float:
    name, factor, shuffle = asked
    with threadpool_limits(1):
        return play(classes(SETS[name], shuffle), scaled(factor))[0]


def show_rare(pool: ProcessPoolExecutor, shuffles: int) -> bool:
    """Play the rare group; print and return whether the goal is reached."""
    chances = list(pool.map(_rare, range(shuffles)))
    right = sum(chance > 0.5 for chance in chances)
    out.print(
        f"rare: the right action has more than half of the probability in {right} of {shuffles} "
        f"shuffles; lowest {min(chances):.2f}, mean {np.mean(chances):.2f}."
    )
    return right == shuffles


def show_scale(pool: ProcessPoolExecutor, shuffles: int) -> bool:
    """Compare fixed factors on the exploration scale; return whether the goal is reached."""
    asked = [(n, f, s) for n in SETS for f in FACTORS for s in range(shuffles)]
    rewards = np.array(list(pool.map(_scale, asked))).reshape(len(SETS), len(FACTORS), shuffles)
    mean, error = rewards.mean(axis=2), rewards.std(axis=2).mean(axis=1) / np.sqrt(shuffles)
    table = Table("mean reward", *(f"x {factor:g}" for factor in FACTORS), "lost", "error")
    lost = mean.max(axis=1) - mean[:, FACTORS.index(1.0)]
    for name, row, loss, deviation in zip(SETS, mean, lost, error, strict=True):
        cells = [f"{value:.4f}" for value in (*row, loss, deviation)]
        table.add_row(name, *cells)
    out.print(table)
    out.print(f"scale: at most {lost.max():.4f} is lost against the best factor ({LOSS:g} asked).")
    return bool(lost.max() <= LOSS)


def show_wide() -> bool:
    """Time the first 100 rows of 2,000 columns; return whether the goal is reached."""
    rng = np.random.default_rng(18)
    x, right = rng.normal(size=(100, 2_000)), rng.integers(0, 3, 100)
    bandit = ContextualBandit(2_000, 3)
    with threadpool_limits(1):
        began = time.perf_counter()
        for context, best in zip(x, right, strict=True):
            action = int(bandit.predict(context[None])[0].argmax())
            bandit.learn(context[None], [action], [float(action == best)])
        took = time.perf_counter() - began
    out.print(f"wide: the first 100 rows of 2,000 columns take {took:.1f} s ({WIDE_S:g} allowed).")
    return took <= WIDE_S


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=["rare", "scale", "wide"])
    parser.add_argument("--shuffles", type=int, help="default: 25 of the rare group, 20 of scales")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(arguments)
    wanted = asked.only or ["wide", "rare", "scale"]
    with ProcessPoolExecutor(asked.processes) as pool:
        reached = {
            "wide": lambda: show_wide(),
            "rare": lambda: show_rare(pool, asked.shuffles or 25),
            "scale": lambda: show_scale(pool, asked.shuffles or 20),
        }
        found = [reached[name]() for name in wanted]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
