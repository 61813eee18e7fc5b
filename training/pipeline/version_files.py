"""Keeps the files of model versions that were downloaded, so that each is downloaded once.

MLflow downloads the files of a remote store into a new temporary folder at each call, and nobody
removes it. Here they come into one folder for each version. The last used ones are kept.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

KEPT = 6  # versions of a model: champion, challenger, previous, learned, and two explained ones


class VersionFiles:
    """The downloaded files of model versions; several processes may share the folder.

    Parameters
    ----------
    folder
        It has a folder for each model, with one for each version.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str, base: str) -> Path | None:
        """Return the files of a version if they were downloaded before.

        Parameters
        ----------
        name, base : str
            The model, and its version with the run, see `ModelVersion.base`.
        """
        kept = self._folder / name / base
        try:
            os.utime(kept)  # it was used, so others are removed first
        except FileNotFoundError:
            return None
        return kept

    def keep(self, name: str, base: str, download: Callable[[Path], Path]) -> Path:
        """Download the files of a version, and remove the files of those not used for longest.

        A process that is killed meanwhile leaves no half version behind.

        Parameters
        ----------
        download
            Writes the files into a folder; returns where they are in it.
        """
        of_model = self._folder / name
        of_model.mkdir(parents=True, exist_ok=True)
        kept = of_model / base
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="part-") as part:
            whole = download(Path(part))
            with suppress(OSError):  # another process has downloaded it, too
                whole.replace(kept)
        os.utime(kept)
        newest_first = sorted(of_model.iterdir(), key=_used_at, reverse=True)
        for old in newest_first[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        return kept


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another process has removed it
        return 0.0
