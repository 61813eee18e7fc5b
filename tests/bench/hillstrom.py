"""Measures the gain of a targeted policy on 20 half splits of a real, randomised e-mail experiment.

    python -m tests.bench.hillstrom --splits 20

A policy is learned on one half and evaluated on the other, doubly robust, by the amount spent less
0.10 an e-mail, and by visits. It is compared with the best fixed arm of the learning half, with the
best fixed arm of the other half (known only in hindsight), and with a greedy ridge model. Figures
are means over the splits; errors are those of one split.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from training.evaluation.log import Log
from training.evaluation.off_policy import Estimate, compare, evaluate
from training.evaluation.policy_learning import learn_policy
from training.evaluation.reward_regression import ActionValues, cross_fitted

Floats = NDArray[np.float64]
FILE = Path(__file__).parents[3] / "shared" / "data" / "hillstrom.csv.gz"
ARMS = ["Mens E-Mail", "Womens E-Mail", "No E-Mail"]
COST = 0.10  # of an e-mail, in dollars
out = Console()


def read(path: Path) -> tuple[Floats, NDArray[np.int64], dict[str, Floats]]:
    """Read contexts (n, n_features), arms (n,), and rewards (n,) by name."""
    told = pd.read_csv(path)
    contexts = told[["recency", "history", "mens", "womens", "newbie"]].astype(np.float64)
    contexts["history"] = np.log(contexts["history"])
    words = pd.get_dummies(told[["zip_code", "channel"]]).astype(np.float64)
    arm = told["segment"].map(ARMS.index).to_numpy(dtype=np.int64)
    spend = told["spend"].to_numpy() - COST * (arm != ARMS.index("No E-Mail"))
    rewards = {"spend - cost": spend, "visits": told["visit"].to_numpy(dtype=np.float64)}
    return np.column_stack([contexts, words]), arm, rewards


def split(contexts: Floats, arm: NDArray[np.int64], reward: Floats, seed: int) -> dict[str, float]:
    """Learn on a random half and evaluate on the other; the figures of one reward."""
    rng = np.random.default_rng(seed)
    learned_on = rng.permutation(len(arm)) < len(arm) // 2
    logs = [
        Log(reward[rows], arm[rows], np.full(rows.sum(), 1 / len(ARMS)))
        for rows in (learned_on, ~learned_on)
    ]
    policy = learn_policy(contexts[learned_on], logs[0], len(ARMS), seed=seed)
    here = contexts[~learned_on]
    expected = cross_fitted(here, logs[1], len(ARMS), seed=seed)
    wanted = policy.probabilities(here)
    fixed = [np.tile(row, (len(here), 1)) for row in np.eye(len(ARMS))]
    values = [_robust(evaluate(logs[1], target, expected)) for target in (wanted, *fixed)]
    best = int(np.argmax([each.value for each in values[1:]]))
    more = _robust(compare(logs[1], wanted, fixed[policy.fixed], expected))
    model = ActionValues(contexts[learned_on], arm[learned_on], reward[learned_on], len(ARMS))
    greedy = np.eye(len(ARMS))[model.expected(here).argmax(axis=1)]
    lost = _robust(compare(logs[1], greedy, fixed[policy.fixed], expected))
    return {
        "learned": values[0].value,
        "fixed": values[1 + policy.fixed].value,
        "hindsight": values[1 + best].value,
        "error": (values[1 + best].high - values[1 + best].low) / 2 / 1.96,
        "gain": more.value,
        "gain_error": (more.high - more.low) / 2 / 1.96,
        "greedy": lost.value,
        "greedy_error": (lost.high - lost.low) / 2 / 1.96,
        "personal": float(policy.values is not None),
    }


def _robust(found: object) -> Estimate:
    assert isinstance(found, dict)
    answer = found["doubly_robust"]
    assert isinstance(answer, Estimate), answer
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--file", type=Path, default=FILE)
    asked = parser.parse_args()
    if not asked.file.exists():
        sys.exit(f"{asked.file} is not there. It is public: Hillstrom's MineThatData challenge.")
    began = time.perf_counter()
    contexts, arm, rewards = read(asked.file)
    table = Table(title=f"{asked.splits} half splits, doubly robust, dollars or visits a customer")
    for column in ("reward", "learned", "best fixed", "in hindsight", "standard error"):
        table.add_column(column)
    for column in (
        "learned - best fixed",
        "greedy - best fixed",
        "personal in",
        "learned >= hindsight - 1 error",
    ):
        table.add_column(column)
    for name, reward in rewards.items():
        found = pd.DataFrame([split(contexts, arm, reward, seed) for seed in range(asked.splits)])
        mean = found.mean()
        reached = mean["learned"] >= mean["hindsight"] - mean["error"]
        table.add_row(
            name,
            *(f"{mean[column]:.4f}" for column in ("learned", "fixed", "hindsight", "error")),
            *(f"{mean[who]:+.4f} +- {mean[f'{who}_error']:.4f}" for who in ("gain", "greedy")),
            f"{int(found['personal'].sum())} of {asked.splits}",
            "yes" if reached else "no",
        )
    out.print(table)
    out.print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
