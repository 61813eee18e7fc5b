"""Reads the champion of the bandit from MLflow for the learner, which builds on it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from serving.learn.updates import BanditUpdates
from serving.models.served_models import PRIOR
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.pipeline.registry import Registry

log = logging.getLogger("nba.learner")

ReadChampion = Callable[[], tuple[str, Bandit] | None]


class ChampionReader:
    """Reads the champion of the bandit; its files only when it is another than before.

    The learner asks every few seconds whether there is another, and the files take longer to read
    than the learner needs for all else that it does meanwhile.

    Parameters
    ----------
    registry
        Where the champion is looked up.
    first
        Version and files of the champion, for the first call: MLflow takes seconds to open, in
        which customers are served already. None, or files that cannot be read: MLflow is asked.
    """

    def __init__(self, registry: Registry, first: tuple[str, Path] | None = None) -> None:
        self._registry = registry
        self._first = first
        self._last: tuple[str, Bandit] | None = None

    def __call__(self) -> tuple[str, Bandit] | None:
        """Return version and bandit; None if there is none or MLflow does not answer.

        Nobody may change the bandit: the same one is returned again.
        """
        first, self._first = self._first, None
        try:
            if first is not None and first[1].is_dir():
                self._last = first[0], Bandit.load(first[1])
                return self._last
            version = self._registry.champion("bandit")
            if version is None:
                return None
            if self._last is None or self._last[0] != version.base:
                self._last = version.base, Bandit.load(self._registry.folder(version))
            return self._last
        except Exception as error:  # MLflow is down; the learner goes on with what it has
            log.warning("%s", error)
            return None


class Champions:
    """Knows the champion that was read last, and the state that it learned from imported decisions.

    Parameters
    ----------
    read
        Returns the version and the bandit to build on; None if MLflow has none or does not answer.
    updates
        Tells whether a bandit fits the domain, and makes the blank state.
    """

    def __init__(self, read: ReadChampion, updates: BanditUpdates) -> None:
        self._read = read
        self._updates = updates
        self._last: tuple[str, Bandit] | None = None  # MLflow may take seconds
        self._refused = ""  # champion of another domain, so that it is logged once

    def another_than(self, base: str) -> tuple[str, Bandit] | None:
        """Return the champion if it is another than this base, and fits the domain."""
        champion = self._read()
        self._last = champion or self._last
        if champion is None or champion[0] == base:
            return None
        if self._updates.fits(champion[1].imported):
            return champion
        if champion[0] != self._refused:
            log.warning("Bandit %s was trained for another domain file; not built on", champion[0])
        self._refused = champion[0]
        return None

    def imported(self, base: str) -> BanditState | None:
        """The state that a base has learned from imported decisions; None if it cannot be read."""
        if base == PRIOR:
            return self._updates.blank()
        if self._last is None or self._last[0] != base:
            self._last = self._read()
        return self._last[1].imported if self._last is not None and self._last[0] == base else None

    def imported_until(self, base: str) -> datetime | None:
        """The time of the latest imported decision that a base has learned from, if it was read."""
        is_last = self._last is not None and self._last[0] == base
        return self._last[1].imported_until if self._last is not None and is_last else None
