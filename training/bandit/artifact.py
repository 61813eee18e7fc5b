"""A version of the bandit as the registry keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.bandit.bandit_state import BanditState
from training.params import BanditParams


@dataclass(frozen=True)
class Bandit:
    """What was learned until a version was made.

    Attributes
    ----------
    knowledge : BanditState
        All of it: what a server decides with that knows nothing newer.
    params : BanditParams
        By which it was learned, and is decided with: kept, so that a decision can be repeated
        after params.yaml has changed.
    start : BanditState or None
        Of it, what was learned from imported decisions only: a learner that builds on this
        version counts what was served on top, and must not count that twice. None: the same.
    """

    knowledge: BanditState
    params: BanditParams
    start: BanditState | None = None

    @property
    def imported(self) -> BanditState:
        """What was learned from imported decisions."""
        return self.start or self.knowledge

    def save(self, folder: Path) -> None:
        """Write it as two or three files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "knowledge.npz").write_bytes(self.knowledge.to_bytes())
        if self.start is not None:
            (folder / "start.npz").write_bytes(self.start.to_bytes())
        (folder / "bandit.json").write_text(self.params.model_dump_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Bandit:
        """Read what `save` wrote."""
        note = (folder / "bandit.json").read_text(encoding="utf-8")
        knowledge = BanditState.from_bytes((folder / "knowledge.npz").read_bytes())
        start = folder / "start.npz"
        imported = BanditState.from_bytes(start.read_bytes()) if start.exists() else None
        return cls(knowledge, BanditParams.model_validate_json(note), imported)
