"""Measures the time that 1,000 actions take in one decision: conditions, and probabilities.

    python -m tests.bench.eligibility

Each action has three conditions of its own, drawn from what business people write: one to three
comparisons, joined, over 600 names. Each evaluation is of another customer, a tenth of whose
values are unknown.
"""

from __future__ import annotations

import argparse
import time
from math import nan

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from features.conditions.conditions import Conditions, Texts
from features.conditions.names import Names
from features.conditions.terms import Kind
from training.bandit.exploration import ThompsonProbabilities

ACTIONS, EACH, ALLOWED_MS, PROBABILITIES_MS = 1000, 3, 1.0, 5.0
NUMBERS, TRUTHS, TEXTS = 500, 50, 50
WORDS = [f"word{number}" for number in range(30)]
KINDS: dict[str, Kind] = {
    **{f"number{index}": "number" for index in range(NUMBERS)},
    **{f"truth{index}": "truth" for index in range(TRUTHS)},
    **{f"text{index}": "text" for index in range(TEXTS)},
}
NAMES = Names(KINDS)
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    began = time.perf_counter()
    conditions = Conditions(NAMES, policy(rng))
    out.print(f"{ACTIONS * EACH} conditions read in {time.perf_counter() - began:.2f} s")
    times, held = _evaluations(conditions, rng, asked.evaluations)
    p50, p99 = np.percentile(times, [50, 99])
    table = Table(f"{ACTIONS} actions, {EACH} conditions each, ms", "p50", "p99", "max", "allowed")
    figures = (f"{p50:.3f}", f"{p99:.3f}", f"{max(times):.3f}", f"{ALLOWED_MS:g}")
    table.add_row("one evaluation of all", *figures)
    out.print(table)
    out.print(f"{held:.0%} of the conditions held.")
    out.print(_probabilities(rng))


def policy(rng: np.random.Generator) -> list[str]:
    texts: set[str] = set()
    while len(texts) < ACTIONS * EACH:
        texts.add(_condition(rng))
    return sorted(texts)


def _condition(rng: np.random.Generator) -> str:
    atoms = [_atom(rng) for _ in range(rng.integers(1, 4))]
    if len(atoms) == 3 and rng.random() < 0.5:
        return f"({atoms[0]} or {atoms[1]}) and {atoms[2]}"
    return f" {rng.choice(['and', 'or'])} ".join(atoms)


def _atom(rng: np.random.Generator) -> str:
    number = f"number{rng.integers(NUMBERS)}"
    text = f"text{rng.integers(TEXTS)}"
    order = rng.choice(["<", "<=", ">", ">="])
    draw = rng.random()
    if draw < 0.6:
        return f"{number} {order} {rng.normal():.2f}"
    if draw < 0.75:
        return f"{text} {rng.choice(['==', '!='])} '{rng.choice(WORDS)}'"
    if draw < 0.85:
        return f"{text} in {rng.choice(WORDS, 3, replace=False).tolist()}"
    if draw < 0.95:
        return f"{rng.choice(['', 'not '])}truth{rng.integers(TRUTHS)}"
    return f"{number} / number{rng.integers(NUMBERS)} {order} {rng.normal():.2f}"


def _evaluations(
    conditions: Conditions, rng: np.random.Generator, evaluations: int
) -> tuple[list[float], float]:
    """Milliseconds of each, and the share of conditions that held."""
    times: list[float] = []
    held = 0
    for number in range(evaluations + 100):
        numbers, texts = customer(rng)
        began = time.perf_counter()
        answer = conditions.holds(numbers, texts)
        took_ms = (time.perf_counter() - began) * 1000
        if number >= 100:  # the first ones warm caches up
            times.append(took_ms)
            held += int(answer.sum())
    return times, held / evaluations / len(conditions.texts)


def _probabilities(rng: np.random.Generator) -> Table:
    """Milliseconds in which the probabilities of all actions are computed."""
    like = rng.normal(1.0, 0.1, ACTIONS), np.full(ACTIONS, 0.5)
    far = like[0].copy(), like[1].copy()
    far[0][0], far[1][0] = 2.5, 0.01
    mixed = rng.normal(1.0, 0.1, ACTIONS), 10 ** rng.uniform(-2.0, 0.0, ACTIONS)
    policy = ThompsonProbabilities()
    table = Table("probabilities of 1,000 actions, ms", "p50", "p99", "allowed", "above 0")
    cases = {"like actions": like, "one far better": far, "mixed deviations": mixed}
    for name, (mean, deviation) in cases.items():
        times: list[float] = []
        for _ in range(200):
            began = time.perf_counter()
            chance = policy.probabilities(mean, deviation)
            times.append((time.perf_counter() - began) * 1000)
        figures = [f"{figure:.3f}" for figure in np.percentile(times, [50, 99])]
        table.add_row(name, *figures, f"{PROBABILITIES_MS:g}", str((chance > 0).sum()))
    return table


def customer(rng: np.random.Generator) -> tuple[np.ndarray, Texts]:
    numbers = np.concatenate([rng.normal(size=NUMBERS), rng.integers(0, 2, TRUTHS)])
    numbers[rng.random(len(numbers)) < 0.1] = nan
    words = [*WORDS, "another", None]
    return numbers, {f"text{index}": words[rng.integers(len(words))] for index in range(TEXTS)}


if __name__ == "__main__":
    out.print(f"{psutil.cpu_count()} cores")
    main()
