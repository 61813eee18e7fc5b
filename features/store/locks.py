"""Who works on the files of a home: one at a time, and nothing is left of one that was cut off."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from features.errors import InvalidSetting


@contextlib.contextmanager
def held(path: Path, wait: bool) -> Iterator[None]:
    """Hold a lock file; the system gives it back if we are killed.

    Raises
    ------
    InvalidSetting
        If somebody else holds it and we are not to wait.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InvalidSetting(
                f"Somebody else is at work here and holds {path.name}.",
                expected="one at a time",
                remedy="Wait until the other is done.",
            ) from None
        yield


def only_build(journey_folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the lock of a history while it is built; see `held`."""
    return held(journey_folder.parent / "build.lock", wait=False)


def unfinished(journey_folder: Path) -> Path:
    """Where a history is written before it takes the place of the old one."""
    return journey_folder.with_suffix(".part")


def discard_unfinished(journey_folder: Path) -> None:
    """Remove what a build that was cut off left; one that is at work is left alone."""
    if journey_folder.parent.exists():
        with contextlib.suppress(InvalidSetting), only_build(journey_folder):
            shutil.rmtree(unfinished(journey_folder), ignore_errors=True)
