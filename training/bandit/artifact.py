"""Saves and loads a version of the bandit, as the model registry keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
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
    imported_until : datetime or None
        Time of the latest imported decision that it has learned from, aware UTC; None: it has
        learned from none, or the version was made before that was noted.
    """

    state: BanditState
    params: BanditParams
    start: BanditState | None = None
    imported_until: datetime | None = None

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
        until = None if self.imported_until is None else self.imported_until.isoformat()
        note = {"params": self.params.model_dump(mode="json"), "imported_until": until}
        (folder / "bandit.json").write_text(json.dumps(note), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Bandit:
        """Read what `save` wrote, also when bandit.json held nothing but the settings."""
        note = json.loads((folder / "bandit.json").read_text(encoding="utf-8"))
        params = BanditParams.model_validate(note.get("params", note))
        state = BanditState.from_bytes((folder / "knowledge.npz").read_bytes(), params)
        start = folder / "start.npz"
        imported = BanditState.from_bytes(start.read_bytes(), params) if start.exists() else None
        until = note.get("imported_until")
        return cls(state, params, imported, datetime.fromisoformat(until) if until else None)
