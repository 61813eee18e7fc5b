"""Terminal output of `nba`: progress bars, and a sentence instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from features.errors import GateFailed, InvalidSetting, NbaError

if TYPE_CHECKING:
    from training.pipeline.train import TrainingResult

out = Console()
err = Console(stderr=True)

BROKEN, REFUSED = 1, 2  # exit codes


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print our errors as a sentence; exit with 1 for a missed gate, with 2 for all others."""
    try:
        yield
    except NbaError as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(BROKEN if isinstance(error, GateFailed) else REFUSED) from None


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show progress bars on a terminal; elsewhere print a line for each step that begins."""
    shown = err.is_terminal
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, disable=not shown) as bars:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
                if not shown:
                    sys.stderr.write(f"{step} ...\n")
            bars.update(tasks[step], completed=done, total=total)

        yield report


def business_zone() -> ZoneInfo:
    """Read the time zone of the business from the catalogue; it is UTC where none is named.

    Raises
    ------
    InvalidDomain
        If the catalogue breaks a rule.
    """
    from features.business.catalog import Catalog  # imports pydantic: `nba --help` does not wait
    from features.business.yaml_file import load_yaml
    from features.settings import load_settings

    path = load_settings().actions
    return load_yaml(path, Catalog).clock.of_business if path.exists() else ZoneInfo("UTC")


def moment(name: str, text: str) -> datetime:
    """Read a day or a time; without a time zone it is of the clock of the business.

    Raises
    ------
    InvalidSetting
        If the text is neither; names the option ``--name``.
    """
    from features.journeys.events import as_utc  # imports pydantic, too

    try:
        written = datetime.fromisoformat(text)
        return as_utc(written if written.tzinfo else written.replace(tzinfo=business_zone()))
    except (ValueError, OverflowError):
        raise InvalidSetting(
            f"{name} is {text!r}.",
            expected="a day or a time after 1970, such as 2026-01-31 or 2026-01-31T10:00:00Z",
            remedy=f"Correct --{name}.",
        ) from None


def show(result: TrainingResult, promoted: bool) -> None:
    """Print the metrics of a trained model, and the sentences about them."""
    table = Table(f"{result.name} version {result.version}", f"evaluated on {result.evaluated_on}")
    for name, value in result.metrics.items():
        table.add_row(name, f"{value:.4f}")
    out.print(table)
    for remark in result.remarks:
        out.print(remark, markup=False, soft_wrap=True)
    if promoted and not result.gate_failures:
        out.print(f"{result.name}: version {result.version} is champion.")
