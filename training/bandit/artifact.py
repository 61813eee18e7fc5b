"""Saves and loads a version of the bandit, as the model registry keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.bandit.bandit_state import BanditState
from training.params import BanditParams


@dataclass(frozen=True)
class Bandit:
    """A version of the bandit.

    Attributes
    ----------
    state : BanditState
        All that was learned when the version was made. A server decides with it until the learner
        publishes something newer.
    params : BanditParams
        The settings with which it learns and decides. They are kept, so that a decision can be
        replayed after params.yaml has changed.
    start : BanditState or None
        What of it was learned from imported decisions only. A learner that builds on this version
        adds the served decisions, and must not count those twice. None: the same as ``state``.
    """

    state: BanditState
    params: BanditParams
    start: BanditState | None = None

    @property
    def imported(self) -> BanditState:
        """The state that was learned from imported decisions."""
        return self.start or self.state

    def save(self, folder: Path) -> None:
        """Write two or three files: knowledge.npz, bandit.json, and start.npz if it differs."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "knowledge.npz").write_bytes(self.state.to_bytes())
        if self.start is not None:
            (folder / "start.npz").write_bytes(self.start.to_bytes())
        (folder / "bandit.json").write_text(self.params.model_dump_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Bandit:
        """Read what `save` wrote."""
        note = (folder / "bandit.json").read_text(encoding="utf-8")
        params = BanditParams.model_validate_json(note)
        state = BanditState.from_bytes((folder / "knowledge.npz").read_bytes(), params)
        start = folder / "start.npz"
        imported = BanditState.from_bytes(start.read_bytes(), params) if start.exists() else None
        return cls(state, params, imported)
