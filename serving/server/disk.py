"""Watches the free space of the disks on which the service writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from features.settings import Settings

FULL_BYTES = 50_000_000  # with less, a write may fail half-way: the server is not ready
LOW_BYTES = 1_000_000_000  # on small disks
LOW_SHARE, LOW_SHARE_BYTES = 0.05, 10_000_000_000  # of the disk, but at most so much
HOLDS = {"home": "ledger and features", "ledger": "ledger", "mlruns": "models of MLflow"}


class DiskSpace(NamedTuple):
    """The size of a disk and its free space, in bytes."""

    total: int
    free: int

    @property
    def is_full(self) -> bool:
        """Return whether a write may fail for want of space."""
        return self.free < FULL_BYTES

    @property
    def is_low(self) -> bool:
        """Return whether somebody should make room soon."""
        return self.free < max(LOW_BYTES, min(LOW_SHARE * self.total, LOW_SHARE_BYTES))


def measure(folder: Path) -> DiskSpace:
    """Measure the disk of a folder, or of its next parent that exists."""
    found = shutil.disk_usage(_existing(folder))
    return DiskSpace(found.total, found.free)


@dataclass
class DiskWatch:
    """Measures the disks of the home, of a ledger elsewhere, and of MLflow's files elsewhere."""

    settings: Settings
    measure: Callable[[Path], DiskSpace] = measure
    spaces: Mapping[str, DiskSpace] = field(default_factory=dict)

    def look(self) -> Mapping[str, DiskSpace]:
        """Measure all disks; by kind, each disk once."""
        folders = {"home": self.settings.home}
        address = sa.make_url(self.settings.ledger_url)
        if address.get_backend_name() == "sqlite" and address.database:
            folders["ledger"] = Path(address.database).parent
        folders["mlruns"] = self.settings.mlflow_artifacts
        by_device: dict[int, str] = {}
        for kind, folder in folders.items():
            by_device.setdefault(_device(folder), kind)
        self.spaces = {kind: self.measure(folders[kind]) for kind in by_device.values()}
        return self.spaces

    @property
    def problems(self) -> list[str]:
        """One sentence for each disk with little space."""
        return [
            f"disk: {space.free / 1e6:,.0f} MB are free for the {HOLDS[kind]}; make room, or keep "
            "less: see NBA_RETENTION_RECORDS_DAYS"
            for kind, space in self.spaces.items()
            if space.is_low
        ]

    @property
    def is_full(self) -> bool:
        """Return whether a decision or an event may not find the space that it needs."""
        return any(space.is_full for kind, space in self.spaces.items() if kind != "mlruns")


def _existing(folder: Path) -> Path:
    """Return a folder, or its next parent that exists."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _device(folder: Path) -> int:
    return _existing(folder).stat().st_dev
