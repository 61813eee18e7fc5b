"""One `nba build` at a time, and nothing left of one that was cut off."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from features.errors import InvalidSetting


@contextlib.contextmanager
def only_build(journey_folder: Path) -> Iterator[None]:
    """Hold the lock of the history while it is built.

    Raises
    ------
    InvalidSetting
        If another `nba build` holds it.
    """
    with (journey_folder.parent / "build.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidSetting(
                "Another 'nba build' is at work here.",
                expected="one at a time",
                remedy="Wait until it is done.",
            ) from None
        yield


def discard_unfinished(journey_folder: Path) -> None:
    """Remove what a build that was cut off left; one that is at work is left alone."""
    if not journey_folder.parent.exists():
        return
    with contextlib.suppress(InvalidSetting), only_build(journey_folder):
        shutil.rmtree(unfinished(journey_folder), ignore_errors=True)


def unfinished(journey_folder: Path) -> Path:
    """Where a history is written before it takes the place of the old one."""
    return journey_folder.with_suffix(".part")
