"""File locks of a home: one process writes its files at a time, and partial files are removed."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from features.errors import InvalidSetting


@contextlib.contextmanager
def file_lock(path: Path, wait: bool) -> Iterator[None]:
    """Hold a lock file; the operating system releases the lock if the process is killed.

    Raises
    ------
    InvalidSetting
        If another process holds the lock and ``wait`` is False.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InvalidSetting(
                f"Another process is at work here and holds {path.name}.",
                expected="one at a time",
                remedy="Wait until the other is done.",
            ) from None
        yield


def build_lock(journey_folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the lock of a build of the offline tables; see `file_lock`."""
    return file_lock(journey_folder.parent / "build.lock", wait=False)


def partial_path(path: Path) -> Path:
    """The path at which a file or folder is written before it replaces the old one."""
    return path.with_suffix(".part")


def discard_partial_build(journey_folder: Path) -> None:
    """Remove the files of a build that was interrupted; a running build is left alone."""
    if journey_folder.parent.exists():
        with contextlib.suppress(InvalidSetting), build_lock(journey_folder):
            shutil.rmtree(partial_path(journey_folder), ignore_errors=True)
