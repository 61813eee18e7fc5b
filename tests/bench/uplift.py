"""Measures the ranking by effect, and its profit, on 20 half splits of a real e-mail experiment.

    python -m tests.bench.uplift --splits 20

The experiment is Hillstrom's: the e-mail about women's clothes against none, 42,693 customers. The
effect model of the service (`fit_effects`) learns on one half what an e-mail adds to the visits,
with the settings in params.yaml. The other half tells by how much its ranking is better than a
random one (Qini coefficient), and what is earned if those get the e-mail to whose visits it adds
more than it costs.

A visit is worth the spending of the learning half divided by its visits (some 7 dollars). What was
learned from visits is so judged by money: the spending of the other half, less 0.10 an e-mail,
doubly robust. The settings are those of the service. They were compared with others on the splits
of the seeds 100 to 119 only; the figures are of the seeds 0 to 19.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from features.business.catalog import NO_ACTION
from features.value_labels.labelled_decisions import labelled_decisions
from tests.bench.hillstrom import ARMS, COST, FILE, read
from training.arrays import Bools, Floats
from training.effects.effect_fit import EffectInput, fit_effects
from training.evaluation.log import Log
from training.evaluation.off_policy import Estimate, compare, evaluate
from training.evaluation.qini import interval_over_splits, qini_coefficient, qini_interval
from training.evaluation.reward_regression import cross_fitted
from training.params import load_params

MAIL = "e-mail"
DAYS = 14.0  # visits and spending were counted for two weeks
CHANCE = 0.5  # of the e-mail, among the customers of the two arms
LEAST_QINI = 0.055
NOBODY, EVERYBODY = 0, 1
out = Console()


class Experiment(NamedTuple):
    """Customers of two arms: contexts (n, n_features), and for each n what happened."""

    contexts: Floats
    mailed: Floats
    visit: Floats
    spend: Floats

    def take(self, which: Bools) -> Experiment:
        return Experiment(*(column[which] for column in self))


def womens_mail(path: Path) -> Experiment:
    """Read the customers who got the e-mail about women's clothes or none."""
    contexts, arm, rewards = read(path)
    two = arm != ARMS.index("Mens E-Mail")
    mailed = (arm == ARMS.index("Womens E-Mail")).astype(np.float64)
    spend = rewards["spend - cost"] + COST * mailed
    return Experiment(contexts, mailed, rewards["visits"], spend).take(two)


def added_visits(learned: Experiment, contexts: Floats, worth: float) -> Floats:
    """Learn what an e-mail adds to the visits, and predict it for others: shape (n,), dollars."""
    n, columns = learned.contexts.shape
    names = tuple(f"x{number}" for number in range(columns))
    shown = np.where(learned.mailed > 0, MAIL, NO_ACTION).tolist()
    chances = np.tile([CHANCE, 1 - CHANCE], (n, 1))
    margin = worth * learned.visit
    log = labelled_decisions((MAIL,), learned.contexts, shown, chances, margin=margin)
    business = EffectInput((MAIL,), {}, names, (), DAYS, tells_leaving=False)
    params = load_params().effects
    model = fit_effects(lambda step: iter([log.take(np.arange(0, n, step))]), n, business, params)
    assert model is not None
    rows = contexts[:, [names.index(name) for name in model.features]]
    found = model.predict_each(rows, [""] * len(rows))
    return np.array([one.purchases[0] for one in found])


def split(told: Experiment, seed: int, resamples: int) -> dict[str, float]:
    """Learn on a random half, and judge on the other; figures of one split."""
    half = np.random.default_rng(seed).permutation(len(told.visit)) < len(told.visit) // 2
    learned, other = told.take(half), told.take(~half)
    worth = float(learned.spend.sum() / learned.visit.sum())
    effect = added_visits(learned, other.contexts, worth)
    ranked = other.visit, effect, other.mailed
    interval = qini_interval(*ranked, seed=seed, resamples=resamples)
    found = {"qini": qini_coefficient(*ranked), "low": interval.low, "high": interval.high}
    found |= {"worth": worth, "share": float((effect > COST).mean())}
    for name, reward in (("spend", other.spend), ("visits", worth * other.visit)):
        profits = profit(other, reward - COST * other.mailed, effect > COST, seed)
        found |= {f"{name} {figure}": value for figure, value in profits.items()}
    return found


def profit(other: Experiment, reward: Floats, mails: Bools, seed: int) -> dict[str, float]:
    """Dollars a customer, doubly robust: of the policy, and of both fixed arms."""
    log = Log(reward, other.mailed.astype(np.int64), np.full(len(reward), CHANCE))
    expected = cross_fitted(other.contexts, log, 2, seed=seed)
    policy = np.column_stack([~mails, mails]).astype(np.float64)
    fixed = [np.tile(row, (len(reward), 1)) for row in np.eye(2)]
    ours, nobody, everybody = (_robust(evaluate(log, one, expected)) for one in (policy, *fixed))
    best = everybody if everybody.value >= nobody.value else nobody
    against = fixed[EVERYBODY if best is everybody else NOBODY]
    more = _robust(compare(log, policy, against, expected))
    return {
        "policy": ours.value,
        "nobody": nobody.value,
        "everybody": everybody.value,
        "best fixed": best.value,
        "error": (best.high - best.low) / 2 / 1.96,
        "gain error": (more.high - more.low) / 2 / 1.96,
    }


def _robust(found: object) -> Estimate:
    assert isinstance(found, dict)
    answer = found["doubly_robust"]
    assert isinstance(answer, Estimate), answer
    return answer


def print_qini(splits: pd.DataFrame) -> None:
    value, low, high = interval_over_splits(splits["qini"].to_numpy(), held_out=0.5)
    above = int((splits["low"] > 0).sum())
    met = value >= LEAST_QINI and low > 0
    out.print(
        f"Qini coefficient, visits, held-out halves: {value:.4f} [{low:.4f}, {high:.4f}]; bootstrap"
        f" intervals above 0 in {above} of {len(splits)} splits, {splits['low'].mean():.4f} to "
        f"{splits['high'].mean():.4f} on average.\n"
        f"Goal {LEAST_QINI}, interval above 0: {'met' if met else 'missed'}."
    )


def print_profit(splits: pd.DataFrame) -> None:
    mean = splits.mean()
    worth, share = mean["worth"], mean["share"]
    table = Table(title=f"Profit at {COST:.2f} an e-mail, dollars a customer, doubly robust")
    for column in ("counted by", "by effect", "nobody", "everybody", "by effect - best fixed"):
        table.add_column(column)
    table.add_column(">= best fixed - 1 error")
    for name in ("spend", "visits"):
        figures = {
            str(c).removeprefix(f"{name} "): v for c, v in mean.items() if str(c).startswith(name)
        }
        more = figures["policy"] - figures["best fixed"]
        table.add_row(
            name,
            *(f"{figures[column]:.4f}" for column in ("policy", "nobody", "everybody")),
            f"{more:+.4f} +- {figures['gain error']:.4f}",
            f"{'yes' if more >= -figures['error'] else 'no'} (error {figures['error']:.4f})",
        )
    out.print(table)
    out.print(f"A visit is worth {worth:.2f}. {share:.0%} of the customers get the e-mail.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--resamples", type=int, default=500, help="of the bootstrap")
    parser.add_argument("--file", type=Path, default=FILE)
    asked = parser.parse_args()
    if not asked.file.exists():
        sys.exit(f"{asked.file} is not there. It is public: Hillstrom's MineThatData challenge.")
    began = time.perf_counter()
    told = womens_mail(asked.file)
    seeds = range(asked.first_seed, asked.first_seed + asked.splits)
    splits = pd.DataFrame([split(told, seed, asked.resamples) for seed in seeds])
    out.print(f"{len(told.visit):,} customers, half splits of seeds {seeds[0]} to {seeds[-1]}.")
    print_qini(splits)
    print_profit(splits)
    out.print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
