"""The command `nba`: from data to a running server, and back to an older model.

Heavy libraries are imported inside the commands, so that `nba --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from features.errors import GateFailed, NbaError

if TYPE_CHECKING:
    from features.ingest import Progress as Report
    from training.pipeline import Result, Sources

app = typer.Typer(
    help="Decides, while the customer waits, which one action is worth most.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
out = Console()
err = Console(stderr=True)

BROKEN, REFUSED = 1, 2

ModelName = Annotated[str | None, typer.Argument(help="churn, intent or bandit; all if left out.")]


@app.command("import")
def import_source(
    source: Annotated[str, typer.Argument(help="completejourney")] = "completejourney",
    to: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
) -> None:
    """Turn a real data set into the four contract tables.

    Example: nba import completejourney --to /tmp/grocery
    """
    with _plain_errors(), _progress() as report:
        _import(source, to, report)


@app.command()
def load(
    folder: Annotated[Path, typer.Argument(help="Holds customers, events, decisions, outcomes.")],
    dry_run: Annotated[bool, typer.Option(help="Check only; write nothing.")] = False,
) -> None:
    """Check the contract tables of a folder and bring them into the ledger.

    Example: nba load my-business/ --dry-run
    """
    with _plain_errors(), _progress() as report:
        _load(folder, dry_run, report)


@app.command()
def build() -> None:
    """Fold all events into features and put the newest ones online.

    Example: nba build
    """
    with _plain_errors(), _progress() as report:
        _build(report)


@app.command()
def train(
    model: ModelName = None,
    promote: Annotated[bool, typer.Option(help="Make it champion if its gates pass.")] = False,
) -> None:
    """Train models, judge them on later time, and log them to MLflow as challengers.

    Example: nba train churn --promote
    """
    with _plain_errors():
        _train(model, promote)


@app.command()
def tune(
    model: Annotated[str, typer.Argument(help="churn or intent")],
    trials: Annotated[int, typer.Option(min=1, help="How many settings to try.")] = 30,
) -> None:
    """Search better LightGBM settings with Optuna, on the training moments only.

    Example: nba tune churn --trials 50
    """
    from training.tuning import search

    with _plain_errors():
        sources = _sources()
        with _progress() as report:
            best = search(model, sources, trials, report)
        out.print(f"Log loss forward in time: {best.before:.5f} before, {best.after:.5f} now.")
        out.print(f"Put this under {model}.lightgbm in training/params.yaml:")
        for name, value in best.params.items():
            out.print(f"    {name}: {value:g}")


@app.command()
def models() -> None:
    """List the model versions in MLflow and which of them serve.

    Example: nba models
    """
    from features.settings import load_settings
    from training.registry import Registry

    with _plain_errors():
        table = Table("model", "version", "aliases", "gates")
        for version in Registry(load_settings()).versions():
            row = (version.name, version.version, ", ".join(version.aliases), version.gates)
            table.add_row(*row)
        out.print(table)


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="churn, intent or bandit")],
    version: Annotated[str | None, typer.Option(help="Default: the challenger.")] = None,
    force: Annotated[bool, typer.Option(help="Although a gate was missed.")] = False,
) -> None:
    """Make a version the champion. Running servers swap it in within seconds.

    Example: nba promote churn --version 3
    """
    from features.settings import load_settings
    from training.registry import Registry

    with _plain_errors():
        now = Registry(load_settings()).promote(model, version, force)
        out.print(f"{model}: version {now} is champion.")


@app.command()
def rollback(model: Annotated[str, typer.Argument(help="churn, intent or bandit")]) -> None:
    """Make the champion before this one the champion again.

    Example: nba rollback churn
    """
    from features.settings import load_settings
    from training.registry import Registry

    with _plain_errors():
        now = Registry(load_settings()).roll_back(model)
        out.print(f"{model}: version {now} is champion again.")


@app.command()
def quickstart() -> None:
    """Real data, features and models, from nothing; does only what is not there yet.

    Example: nba quickstart && nba serve
    """
    with _plain_errors():
        if _loaded():
            out.print("The ledger holds data already.")
        else:
            with _progress() as report:
                _load(_import("completejourney", None, report), False, report)
        if _built():
            out.print("The features are online already.")
        else:
            with _progress() as report:
                _build(report)
        missing = _without_champion()
        for model in missing:
            _train(model, promote=True)
        if not missing:
            out.print("All models have a champion already.")


@app.command()
def serve() -> None:
    """Start the server, and say what to try once it is ready.

    Example: NBA_PORT=8080 NBA_WORKERS=2 nba serve
    """
    from serving.launch import serve_until_stopped

    with _plain_errors():
        raise typer.Exit(serve_until_stopped(out.print))


@app.command()
def learn() -> None:
    """Run the learner by itself, for servers that were started with NBA_LEARNER=false.

    Example: NBA_LEARNER=false nba serve & nba learn
    """
    from features.settings import load_settings
    from serving.learner_process import run

    with _plain_errors():
        run(load_settings())


def _import(source: str, to: Path | None, report: Report) -> Path:
    from features.errors import InvalidSetting
    from features.settings import load_settings
    from features.sources.completejourney import write_tables

    if source != "completejourney":
        raise InvalidSetting(
            f"source is {source!r}.", expected="completejourney", remedy="Name that one."
        )
    folder = to or load_settings().home / "sources" / source
    report("import", 0, 1)
    shift = write_tables(folder, datetime.now(UTC))
    report("import", 1, 1)
    out.print(f"Tables in {folder}; all times moved by {shift.days // 7} weeks.")
    return folder


def _load(folder: Path, dry_run: bool, report: Report) -> None:
    from features.catalog import load_catalog
    from features.domain import load_domain
    from features.ingest import load_folder
    from features.ledger import Ledger
    from features.settings import load_settings

    settings = load_settings()
    domain = load_domain(settings.domain)
    catalog = load_catalog(settings.actions, domain)
    found = load_folder(folder, Ledger(settings.ledger_url), domain, catalog, report, dry_run)
    for table in found:
        out.print(str(table))
    if not all(table.passed for table in found):
        err.print("Nothing was loaded. Correct the tables and try again.")
        raise typer.Exit(REFUSED)


def _build(report: Report) -> None:
    from features.history import build_features

    sources = _sources()
    now = datetime.now(UTC)
    count = build_features(sources.ledger, sources.store, sources.domain, now, report)
    out.print(f"{count:,} events folded; features are online.")


def _train(model: str | None, promote: bool) -> None:
    from features.errors import InvalidSetting
    from features.settings import load_settings
    from training.pipeline import train as train_one
    from training.pipeline import trainable
    from training.registry import Registry

    sources, registry = _sources(), Registry(load_settings())
    names = trainable(sources.domain)
    if model is not None and model not in names:
        raise InvalidSetting(
            f"model is {model!r}.", expected=f"one of {', '.join(names)}", remedy="Name one."
        )
    failed = []
    for name in [model] if model else names:
        with _progress() as report:
            result = train_one(name, sources, registry, report)
        _show(result)
        if promote and not result.gate_failures:
            registry.promote(name)
            out.print(f"  {name}: version {result.version} is champion.")
        failed += [f"{name}: {why}" for why in result.gate_failures]
    if failed:
        err.print(f"Gates missed, not promoted: {'; '.join(failed)}.")
        raise typer.Exit(BROKEN)


def _show(result: Result) -> None:
    table = Table(f"{result.name} version {result.version}", "on the test moments")
    for name, value in result.metrics.items():
        table.add_row(name, f"{value:.4f}")
    out.print(table)


def _sources() -> Sources:
    from features.catalog import load_catalog
    from features.domain import load_domain
    from features.ledger import Ledger
    from features.settings import load_settings
    from features.store import FeatureStore
    from training.params import load_params
    from training.pipeline import Sources

    settings = load_settings()
    domain = load_domain(settings.domain)
    return Sources(
        ledger=Ledger(settings.ledger_url),
        store=FeatureStore(settings, domain),
        domain=domain,
        catalog=load_catalog(settings.actions, domain),
        params=load_params(),
    )


def _loaded() -> bool:
    from features.ingest import is_loaded
    from features.ledger import Ledger
    from features.settings import load_settings

    return is_loaded(Ledger(load_settings().ledger_url))


def _built() -> bool:
    return _sources().store.why_unusable() is None


def _without_champion() -> list[str]:
    from features.domain import load_domain
    from features.settings import load_settings
    from training.pipeline import trainable
    from training.registry import Registry

    settings = load_settings()
    registry = Registry(settings)
    names = trainable(load_domain(settings.domain))
    return [name for name in names if registry.champion(name) is None]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """A sentence instead of a traceback; 2 for what the caller can correct, 1 for the rest."""
    try:
        yield
    except GateFailed as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(BROKEN) from None
    except NbaError as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(REFUSED) from None


@contextmanager
def _progress() -> Iterator[Report]:
    """Bars on a terminal; a line for each finished step elsewhere."""
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, disable=not err.is_terminal) as bars:
        tasks: dict[str, object] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
                if not err.is_terminal:
                    sys.stderr.write(f"{what} ...\n")
            bars.update(tasks[what], completed=done, total=of)  # type: ignore[arg-type]

        yield report
