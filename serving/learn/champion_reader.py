"""Reads the champion of the bandit from MLflow for the learner, which builds on it."""

from __future__ import annotations

import logging

from training.bandit.artifact import Bandit
from training.pipeline.registry import Registry

log = logging.getLogger("nba.learner")


class ChampionReader:
    """Reads the champion of the bandit; its files only when it is another than before.

    The learner asks every few seconds whether there is another, and the files take longer to read
    than the learner needs for all else that it does meanwhile.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._last: tuple[str, Bandit] | None = None

    def __call__(self) -> tuple[str, Bandit] | None:
        """Return version and bandit; None if there is none or MLflow does not answer.

        Nobody may change the bandit: the same one is returned again.
        """
        try:
            version = self._registry.champion("bandit")
            if version is None:
                return None
            if self._last is None or self._last[0] != version.base:
                self._last = version.base, Bandit.load(self._registry.folder(version))
            return self._last
        except Exception as error:  # MLflow is down; the learner goes on with what it has
            log.warning("%s", error)
            return None
