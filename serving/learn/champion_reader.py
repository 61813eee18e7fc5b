"""Reads the champion of the bandit from MLflow for the learner, which builds on it."""

from __future__ import annotations

import logging
from pathlib import Path

from training.bandit.artifact import Bandit
from training.pipeline.registry import Registry

log = logging.getLogger("nba.learner")


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
