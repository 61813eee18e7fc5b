"""Keeps the temporary files of the tests in memory, where there is enough of it.

A commit of a ledger waits until the disk has it, for some milliseconds, and the suite commits some
ten thousand times. The tests kill processes, never the machine, so memory keeps what a disk would.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")  # the file system in memory that Linux brings
NEEDED = 8 * 2**30  # bytes; the files of a whole run are half of it


def use_memory(folder: Path = MEMORY) -> None:
    """Put temporary files, also those of the processes that tests start, into memory.

    Nothing changes where `TMPDIR` is set, or where ``folder`` is too small or runs no programs.
    """
    if "TMPDIR" not in os.environ and _fits(folder):
        os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None  # `tempfile` had perhaps chosen already


def _fits(folder: Path) -> bool:
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return False
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    free = min(shutil.disk_usage(folder).free, psutil.virtual_memory().available)
    return free >= NEEDED
