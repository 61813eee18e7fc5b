"""Keeps the files of the home to their owner, and names the files that others may open."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from features.masking import mask_output

if TYPE_CHECKING:
    from features.settings import Settings

OTHERS = 0o077  # the rights of the group and of all other users
BESIDE_SQLITE = ("", "-wal", "-shm")


def keep_files_private() -> None:
    """Make what this process and its children create from now on their owner's only.

    Files get the mode 0600, folders 0700.
    """
    os.umask(OTHERS)


def protect_process() -> None:
    """Keep new files private, and mask the output, of a process of ours; called at its start."""
    keep_files_private()
    mask_output()


def open_to_others(settings: Settings) -> str:
    """Say in a sentence which files and folders of the home others may open; empty if none.

    A folder that only its owner may enter protects all that is in it.
    """
    found = list(dict.fromkeys(path for path in _roots(settings) if _is_open(path)))
    if not found:
        return ""
    named = ", ".join(f"{path} (mode {path.stat().st_mode & 0o777:04o})" for path in found)
    return (
        f"Other users of this machine may open {named}. Expected files and folders that only "
        f"their owner may open. Run: chmod -R go-rwx {shlex.join(map(str, found))}"
    )


def _roots(settings: Settings) -> list[Path]:
    """The home, and what is kept elsewhere: the ledger and the files of MLflow."""
    roots = [settings.home, settings.mlflow_artifacts]
    for url in (settings.ledger_url, settings.mlflow_uri):
        scheme, _, file = url.partition(":///")
        if scheme.startswith("sqlite") and file not in ("", ":memory:"):
            roots += [Path(f"{file}{ending}") for ending in BESIDE_SQLITE]
    return [path for path in roots if path == settings.home or settings.home not in path.parents]


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & OTHERS)
