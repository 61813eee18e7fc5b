"""Trains the bandit on an imported log, the real way, and judges it on the last wave.

    python -m tests.bench.imported_log --seeds 0 1 2

The tables of a seeded business (`imported_world`) are written, loaded and built, and the bandit is
trained on the first two of three waves, by the code of `nba load`, `nba build` and `nba train`. On
the last wave its log loss must be below that of each action's acceptance rate by `GAIN`. Choosing
for each customer the action that it believes in most must earn at least what the best action alone
earns, less one standard error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from features.business.domain import load_domain
from features.ledger.ledger import Ledger
from features.settings import load_settings
from features.store.feast_store import FeatureStore
from serving.catalog.compiled_catalog import load_catalog
from tests.bench.imported_world import (
    FIRST_WAVE,
    N_ACTIONS,
    WAVE_DAYS,
    WAVES,
    ImportedWorld,
    action_name,
    make_world,
    write_business,
    write_tables,
)
from tests.bench.served_home import Env, RunNba
from tests.commands import environment, nba
from training.arrays import Floats, Indices
from training.params import load_params
from training.pipeline.train import Sources
from training.pipeline.warm_start import fit_encoder, warm_start
from training.pipeline.warm_start_data import ImportedDecisions, read_imported_decisions

N_DECISIONS = 60_000
GAIN = 0.05  # less log loss than the rates of the actions have
PRODUCT_SHARE = 0.5  # of the variance within actions, at least
CLIP = 1e-3  # probabilities are kept so far from 0 and 1
out = Console()


class Result(NamedTuple):
    """Figures of one seed: log losses, rewards on the last wave, and their standard error.

    Attributes
    ----------
    greedy, best_action : float
        Mean reward, weighted by the inverse of the logged probability, of choosing the action that
        is believed in most, and of always choosing the action with the highest rate.
    error : float
        Standard error of ``best_action``.
    true_greedy : float
        True mean chance of the greedy choice.
    """

    seed: int
    decisions: int
    product_share: float
    log_loss: float
    log_loss_of_rates: float
    log_loss_of_truth: float
    greedy: float
    best_action: float
    error: float
    true_greedy: float

    @property
    def gain(self) -> float:
        """By how much the log loss of the bandit is below that of the rates."""
        return self.log_loss_of_rates - self.log_loss


def make_home(world: ImportedWorld, folder: Path, *names: str, run: RunNba = nba) -> Env:
    """Load a world's tables (those of ``names``, or all) and build its features.

    Returns
    -------
    dict
        The settings of the home.
    """
    folder.mkdir(parents=True, exist_ok=True)
    domain_file, actions_file = write_business(folder)
    write_tables(world, folder / "tables", *names)
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(domain_file),
        "NBA_ACTIONS": str(actions_file),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
    }
    for command in (["load", str(folder / "tables")], ["build"]):
        done = run(command, env)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
    return env


def open_sources() -> Sources:
    """Open the home of the environment, as `nba train` does."""
    settings = load_settings()
    domain = load_domain(settings.domain)
    return Sources(
        Ledger(settings.ledger_url),
        FeatureStore(settings, domain),
        domain,
        load_catalog(settings.actions, domain),
        load_params(),
        datetime.now(UTC),
    )


def read(sources: Sources, waves: int | None = None) -> ImportedDecisions:
    """Read the decisions of the first waves, or of all."""
    until = None if waves is None else FIRST_WAVE + timedelta(days=WAVE_DAYS * waves - 1)
    return read_imported_decisions(
        sources.ledger,
        sources.history,
        sources.domain,
        sources.catalog,
        sources.params.bandit,
        sources.now,
        until,
    )


def believed(sources: Sources, learned: ImportedDecisions, asked: ImportedDecisions) -> Floats:
    """Acceptance of each action that a bandit believes, shape (n_asked, N_ACTIONS)."""
    domain, catalog, params = sources.domain, sources.catalog, sources.params.bandit
    encoder = fit_encoder(learned, sources.ledger, sources.history, domain, params, sources.now)
    model = warm_start(learned, encoder, catalog, params).model(catalog.priors, catalog.groups_of)
    columns = [model.actions.index(action_name(number)) for number in range(N_ACTIONS)]
    rows = asked.columns_of(encoder)
    return np.concatenate(
        [
            model.acceptance(rows[start : start + 1000], asked.channels[start : start + 1000])
            for start in range(0, len(rows), 1000)
        ]
    )[:, columns]


def judge(world: ImportedWorld, seed: int, last: Indices, chance: Floats) -> Result:
    """Compare what is believed of the ``last`` decisions, shape (n_last, N_ACTIONS), with them."""
    action, accepted, n = world.action[last], world.accepted[last], len(last)
    before = np.setdiff1d(np.arange(len(world.action)), last)
    each = range(N_ACTIONS)
    rates = np.array([world.accepted[before][world.action[before] == one].mean() for one in each])
    here = np.arange(n)

    def log_loss(p: Floats) -> float:
        p = np.clip(p, CLIP, 1 - CLIP)
        return float(-np.mean(accepted * np.log(p) + (1 - accepted) * np.log(1 - p)))

    chosen, best = chance.argmax(axis=1), int(rates.argmax())
    of_greedy = N_ACTIONS * accepted * (action == chosen)
    of_best = N_ACTIONS * accepted * (action == best)
    return Result(
        seed,
        len(world.action),
        world.product_share,
        log_loss(chance[here, action]),
        log_loss(rates[action]),
        log_loss(world.chance[last][here, action]),
        float(of_greedy.mean()),
        float(of_best.mean()),
        float(of_best.std() / np.sqrt(n)),
        float(world.chance[last][here, chosen].mean()),
    )


def run(seed: int, n_decisions: int, folder: Path) -> Result:
    """Make a world, load and build it, train on all waves but the last, and judge on that."""
    world = make_world(seed, n_decisions)
    with environment(make_home(world, folder)):
        sources = open_sources()
        learned, everything = read(sources, WAVES - 1), read(sources)
        last = np.flatnonzero(world.wave == WAVES - 1)
        # Decisions stand in order of time, as those of the world do.
        asked = everything.selected(last)
        return judge(world, seed, last, believed(sources, learned, asked))


def missed(result: Result) -> list[str]:
    """Say which goals are missed."""
    found = []
    if result.product_share < PRODUCT_SHARE:
        found.append(f"the product makes {result.product_share:.0%} of the variance")
    if result.gain < GAIN:
        found.append(f"the log loss is {result.gain:.4f} below that of the rates")
    if result.greedy < result.best_action - result.error:
        found.append(f"greedy earns {result.greedy:.4f}, the best action {result.best_action:.4f}")
    return [f"seed {result.seed}: {sentence}." for sentence in found]


def show(results: Sequence[Result]) -> None:
    """Print the figures beside the goals."""
    table = Table(
        *("seed", "decisions", "product's share", f"log loss less (>= {GAIN})", "truth's"),
        *("greedy earns", "best action - error", "greedy, true"),
    )
    for one in results:
        table.add_row(
            *(str(one.seed), f"{one.decisions:,}", f"{one.product_share:.2f}", f"{one.gain:.4f}"),
            f"{one.log_loss_of_rates - one.log_loss_of_truth:.4f}",
            *(f"{one.greedy:.4f}", f"{one.best_action - one.error:.4f}", f"{one.true_greedy:.4f}"),
        )
    out.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--decisions", type=int, default=N_DECISIONS)
    asked = parser.parse_args()
    results = []
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            results.append(run(seed, asked.decisions, Path(scratch)))
        out.print(f"seed {seed} is done", highlight=False)
    show(results)
    mistakes = [sentence for one in results for sentence in missed(one)]
    for sentence in mistakes:
        out.print(f"MISSED: {sentence}")
    out.print("All goals are reached." if not mistakes else f"{len(mistakes)} goals are missed.")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
