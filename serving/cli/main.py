"""The command `nba`: imports data, builds features, trains and promotes models, and serves.

Each command imports `steps` or `steps_data` when it runs, because `nba --help` must answer at once
and Feast alone takes seconds to import.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from features.private_files import protect_process
from serving.cli.audit_surrogate import surrogate
from serving.cli.guardrails.command import guarding
from serving.cli.identity import identity
from serving.cli.journeys.command import journeys_command
from serving.cli.keys import access
from serving.cli.migrate import migrate_and_say, migration
from serving.cli.prune import deletion
from serving.cli.review import review
from serving.cli.simulate import simulation
from serving.cli.terminal import BROKEN, REFUSED, err, moment, out, plain_errors, progress, show

app = typer.Typer(
    help="Decides, while the customer waits, which action serves that customer best.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

_REVIEW = (review, guarding, surrogate, journeys_command)
for more in (*_REVIEW, simulation, migration, deletion, identity, access):
    app.add_typer(more)


@app.callback()
def begin() -> None:
    """Keep files to their owner, and secrets out of the output, in every command."""
    protect_process()


OneModel = Annotated[str, typer.Argument(help="churn, intent or bandit.")]


@app.command("import")
def import_source(
    source: Annotated[
        str, typer.Argument(help="completejourney, telco or helpdesk.")
    ] = "completejourney",
    file: Annotated[
        Path | None, typer.Option(help="The published table; completejourney needs none.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
) -> None:
    """Turn a real data set into the contract tables.

    Example: nba import completejourney --to /tmp/grocery

    Example: nba import telco --file telco_customer_churn.csv.gz --to /tmp/telco

    Example: nba import helpdesk --file helpdesk.csv.gz --to /tmp/helpdesk
    """
    from serving.cli.steps_data import import_tables

    with plain_errors(), progress() as report:
        folder, shift = import_tables(source, file, to, report)
        moved = f"; all times moved by {shift.days // 7} weeks" if shift else ""
        out.print(f"Tables in {folder}{moved}.", soft_wrap=True)


@app.command()
def load(
    folder: Annotated[
        Path, typer.Argument(help="Folder with the tables customers, events, decisions, outcomes.")
    ],
    dry_run: Annotated[bool, typer.Option(help="Check only; write nothing.")] = False,
    encoding: Annotated[
        str, typer.Option(help="Encoding of the CSV files, such as cp1252, latin-1 or utf-16.")
    ] = "utf-8",
) -> None:
    """Check the contract tables of a folder and bring them into the ledger.

    Example: nba load my-business/ --dry-run

    Example: nba load from-excel/ --encoding cp1252
    """
    with plain_errors():
        _load(folder, dry_run, encoding)


@app.command()
def build() -> None:
    """Fold all events into features and put the newest ones online.

    Example: nba build
    """
    with plain_errors():
        _build()


@app.command()
def train(
    model: Annotated[str | None, typer.Argument(help="churn, intent or bandit; else all.")] = None,
    promote: Annotated[bool, typer.Option(help="Make champion if the gates pass.")] = False,
    until: Annotated[
        str | None,
        typer.Option(help="Bandit: learn from imported decisions before this day or time only."),
    ] = None,
) -> None:
    """Train models, evaluate them on unseen data, and log them to MLflow as challengers.

    With --until, the bandit has not learned from the imported decisions since then, so that 'nba
    evaluate --since' can judge it on them.

    Example: nba train churn --promote

    Example: nba train bandit --until 2026-01-31
    """
    with plain_errors():
        _train(model, promote, None if until is None else moment("until", until))


@app.command()
def tune(
    model: Annotated[str, typer.Argument(help="churn or intent")],
    trials: Annotated[int, typer.Option(min=1, help="Number of settings to try.")] = 30,
) -> None:
    """Search for better LightGBM settings with Optuna, on the training moments only.

    Example: nba tune churn --trials 50
    """
    from serving.cli.steps import tune_model

    with plain_errors():
        with progress() as report:
            best = tune_model(model, trials, report)
        out.print(f"Log loss on held-out moments: {best.before:.5f} before, {best.after:.5f} now.")
        out.print(f"Put this under {model}.lightgbm in training/params.yaml:")
        for name, value in best.params.items():
            out.print(f"    {name}: {value:.6g}")


@app.command()
def models() -> None:
    """List the model versions in MLflow and which of them serve.

    Example: nba models
    """
    from features.settings import load_settings
    from training.pipeline.registry import Registry

    with plain_errors():
        table = Table("model", "version", "aliases", "gates")
        for version in Registry(load_settings()).versions():
            row = (version.name, version.version, ", ".join(version.aliases), version.gates)
            table.add_row(*row)
        out.print(table)


@app.command()
def promote(
    model: OneModel,
    version: Annotated[str | None, typer.Option(help="Default: the challenger.")] = None,
    force: Annotated[bool, typer.Option(help="Promote even if the model missed a gate.")] = False,
) -> None:
    """Make a version the champion. Running servers use it within seconds.

    Example: nba promote churn --version 3
    """
    from features.settings import load_settings
    from training.pipeline.registry import Registry

    with plain_errors():
        now = Registry(load_settings()).promote(model, version, force)
        out.print(f"{model}: version {now} is champion.")


@app.command()
def rollback(model: OneModel) -> None:
    """Make the previous champion the champion again.

    Example: nba rollback churn
    """
    from features.settings import load_settings
    from training.pipeline.registry import Registry

    with plain_errors():
        now = Registry(load_settings()).roll_back(model)
        out.print(f"{model}: version {now} is champion again.")


@app.command()
def quickstart() -> None:
    """Import real data, build features and train models; skips what is done already.

    Example: nba quickstart
    """
    from features.settings import load_settings
    from serving.cli.steps_data import has_data, has_features, import_tables

    with plain_errors():
        migrate_and_say(load_settings().ledger_url, out.print)
        if has_data():
            out.print("The ledger holds data already.")
        else:
            with progress() as report:
                folder, _ = import_tables("completejourney", None, None, report)
            _load(folder, dry_run=False)
        if has_features():
            out.print("The features are online already.")
        else:
            _build()
        from serving.cli.steps import models_without_champion

        missing = models_without_champion()
        for model in missing:
            _train(model, promote=True)
        if not missing:
            out.print("All models have a champion already.")


@app.command()
def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; default: NBA_HOST, else 127.0.0.1."),
    ] = None,
) -> None:
    """Start the server, and print a request to try once it is ready.

    On another address than loopback it needs keys: nba keys add NAME --scope SCOPES

    With NBA_CLOCK=simulated, POST /v1/clock sets its time, so that days pass in seconds.

    Example: NBA_PORT=8080 NBA_WORKERS=2 nba serve

    Example: NBA_CLOCK=simulated NBA_HOME=/tmp/simulated nba serve

    Example: nba serve --host 0.0.0.0
    """
    from serving.cli.serve import serve_until_stopped

    with plain_errors():
        raise typer.Exit(serve_until_stopped(_say, host))


@app.command()
def learn() -> None:
    """Run the learner alone, for servers that were started with NBA_LEARNER=false.

    Example: NBA_LEARNER=false nba serve & nba learn
    """
    from features.settings import load_settings
    from serving.learn.process import run

    with plain_errors():
        run(load_settings())


def _say(text: str) -> None:
    out.print(text, soft_wrap=True, markup=False)


def _load(folder: Path, dry_run: bool, encoding: str = "utf-8") -> None:
    from features.ingest.checks.folder import unread_files
    from serving.cli.steps_data import load_tables

    with progress() as report:
        found = load_tables(folder, dry_run, report, encoding)
    for line in (*found, *(f"      {one}" for one in unread_files(folder))):
        _say(str(line))
    if not all(table.passed for table in found):
        err.print("Nothing was loaded. Correct the tables and try again.")
        raise typer.Exit(REFUSED)


def _build() -> None:
    from serving.cli.steps_data import build as build_all

    with progress() as report:
        count = build_all(report)
    out.print(f"{count:,} events folded; features are online.")


def _train(model: str | None, promote: bool, until: datetime | None = None) -> None:
    from serving.cli.steps import train_models

    missed = []
    with progress() as report:
        for result in train_models(model, promote, report, until):
            show(result, promote)
            missed += [f"{result.name}: {gate}" for gate in result.gate_failures]
    if missed:
        err.print(f"Gates missed, not promoted: {'; '.join(missed)}.")
        raise typer.Exit(BROKEN)
