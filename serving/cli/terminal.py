"""How the command talks: progress on long work, a sentence instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

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

from features.errors import GateFailed, InvalidSetting, NbaError

out = Console()
err = Console(stderr=True)

BROKEN, REFUSED = 1, 2  # exit codes


@contextmanager
def plain_errors() -> Iterator[None]:
    """Exit code 2 for what the caller can correct, 1 for a gate that was missed."""
    try:
        yield
    except NbaError as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(BROKEN if isinstance(error, GateFailed) else REFUSED) from None


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on a terminal; elsewhere a line for each step that begins."""
    shown = err.is_terminal
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, disable=not shown) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
                if not shown:
                    sys.stderr.write(f"{what} ...\n")
            bars.update(tasks[what], completed=done, total=of)

        yield report


def moment(name: str, text: str) -> datetime:
    """A day, or a time, as a person writes it; in UTC unless it says otherwise.

    Raises
    ------
    InvalidSetting
        If it is neither; names the option it was given to.
    """
    from features.journeys.events import (
        as_utc,  # brings pydantic along, which help does not wait for
    )

    try:
        written = datetime.fromisoformat(text)
        return as_utc(written if written.tzinfo else written.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InvalidSetting(
            f"{name} is {text!r}.",
            expected="a day or a time after 1970, such as 2026-01-31 or 2026-01-31T10:00:00Z",
            remedy=f"Correct --{name}.",
        ) from None
