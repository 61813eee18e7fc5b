"""Finds the model versions that were trained on a customer, without the files of each version.

A version names its customers by keyed hashes, in a file of 65 bytes a customer beside the model.
The first 8 bytes of each hash are kept in a sorted array in the home, so a version is downloaded
once. Two of a million customers share them with a chance of 3e-8.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from training.pipeline.registry import ModelVersion

DIGITS = 16  # of a hash in hexadecimal: 8 bytes


class Versions(Protocol):
    """The methods of the registry that are used here."""

    def versions(self) -> list[ModelVersion]: ...
    def customers_of(self, version: ModelVersion) -> set[str]: ...


class TrainedOnIndex:
    """Keeps, for each model version, a sorted array of the customers it was trained on.

    Parameters
    ----------
    folder
        Where the arrays are kept; it may be shared by several processes.
    """

    def __init__(self, registry: Versions, folder: Path) -> None:
        self._registry = registry
        self._folder = folder

    def find(self, hashes: Iterable[str]) -> list[ModelVersion]:
        """Find the versions that were trained on one of some customers.

        Parameters
        ----------
        hashes
            Keyed hashes, see `tombstones`.

        Raises
        ------
        RegistryDown
            If MLflow does not answer.
        """
        wanted = _numbers(hashes)
        versions = self._registry.versions()
        files = {self._file(one): one for one in versions}
        found = [one for file, one in files.items() if self._holds(file, one, wanted)]
        for file in {*self._folder.glob("*.npy")} - files.keys():  # of versions that were deleted
            file.unlink(missing_ok=True)
        return found

    def _file(self, version: ModelVersion) -> Path:
        return self._folder / f"{version.name}-{version.base}.npy"

    def _holds(self, file: Path, version: ModelVersion, wanted: np.ndarray) -> bool:
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}.part")  # another process may write it, too
            with part.open("wb") as opened:
                np.save(opened, _numbers(self._registry.customers_of(version)))
            part.replace(file)
        known = np.load(file, mmap_mode="r")
        places = np.searchsorted(known, wanted)
        inside = places < len(known)
        return bool((known[places[inside]] == wanted[inside]).any())


def _numbers(hashes: Iterable[str]) -> np.ndarray:
    """Convert hashes to sorted numbers of 64 bits, shape (n,)."""
    return np.unique(np.array([int(one[:DIGITS], 16) for one in hashes], dtype=np.uint64))
