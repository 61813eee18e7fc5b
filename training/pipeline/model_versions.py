"""Defines a trained model with all that is logged about it, and a version of a registered model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model with all that is logged about it."""

    name: str
    save: Callable[[Path], None]
    example: pd.DataFrame
    predict: Callable[[pd.DataFrame], pd.DataFrame]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    features: tuple[str, ...]
    data_fingerprint: str
    gate_failures: tuple[str, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    customers: frozenset[str] = frozenset()  # keyed hashes, see `tombstones`
    remarks: tuple[str, ...] = ()  # sentences about what the metrics do not tell


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: str
    aliases: tuple[str, ...]
    gates: str
    run_id: str

    @property
    def base(self) -> str:
        """Number and run: the numbers of a new registry begin at 1 again, run ids are unique."""
        return f"{self.version}@{self.run_id[:8]}"
