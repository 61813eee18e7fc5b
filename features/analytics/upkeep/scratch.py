"""Folders of files that are built for one use, such as the journeys of a past day.

They lie with the other files of journeys, so an erasure finds them there. Whoever uses one holds a
lock on it. So one that a killed process has left behind is told from the others, and deleted.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "known-"


@contextmanager
def scratch_of(folder: Path) -> Iterator[Path]:
    """Make a folder for one use; it is deleted after it, with what was left behind before."""
    folder.mkdir(parents=True, exist_ok=True)
    discard_scratch(folder)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as name, _locked(Path(name)):
        yield Path(name)


def discard_scratch(folder: Path) -> None:
    """Delete the folders that nobody uses any more."""
    for place in folder.glob(f"{PREFIX}*"):
        try:
            with _locked(place):
                shutil.rmtree(place, ignore_errors=True)
        except OSError:  # somebody uses it, or has just deleted it
            continue


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system releases it if the process is killed."""
    opened = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)
