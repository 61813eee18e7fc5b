"""What the learner does beside its steps, in a thread of its own: it fits trees anew when enough
was learned, and logs versions of what it knows to MLflow. Both take seconds; outcomes go on being
learned meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from features.business.domain import Domain
from serving.learn.learner import Learner
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.pipeline.registry import LEARNED, Registry

log = logging.getLogger(__name__)

Logging = Callable[[Bandit], str]


class LearnerMaintenance:
    """Looks after trees and versions of one learner.

    Parameters
    ----------
    every_s : float
        Pause between two versions; there is none while nothing new was learned.
    write
        Logs a version, and says which it is.
    """

    def __init__(self, learner: Learner, write: Logging, every_s: float, now_s: float) -> None:
        self._learner = learner
        self._write = write
        self._every_s = every_s
        self._next_version = now_s + every_s
        self._logged = learner.counted
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._trees: Future[BanditState] | None = None
        self._version: Future[str] | None = None

    def look(self, now: datetime, now_s: float) -> None:
        """Begin what is due, and take over what is done; at once.

        Parameters
        ----------
        now_s : float
            Any steady clock, in seconds.
        """
        if self._trees is not None and self._trees.done():
            done, self._trees = self._trees, None
            self._learner.adopt(done.result(), now)
            log.info("Trees were fitted anew")
        if self._trees is None and self._learner.wants_trees():
            self._trees = self._pool.submit(self._learner.fit_trees)
        if self._version is not None and self._version.done():
            finished, self._version = self._version, None
            log.info("What was learned is logged as bandit %s", finished.result())
        if self._version is None and now_s >= self._next_version:
            self._next_version = now_s + self._every_s
            if self._learner.counted != self._logged:
                self._logged = self._learner.counted
                self._version = self._pool.submit(self._write, self._learner.version())

    def close(self) -> None:
        """Wait for what was begun."""
        self._pool.shutdown()


def to_registry(registry: Registry, domain: Domain) -> Logging:
    """Logs versions to MLflow, under an alias of their own: nobody's challenger is replaced."""

    def write(bandit: Bandit) -> str:
        from training.pipeline.train import bandit_version  # pandas and more: when it is needed

        squares = bandit.state.errors.squares.tolist()
        metrics = {f"squared_error_of_expert_{n}": value for n, value in enumerate(squares)}
        metrics["outcomes"] = bandit.state.counted
        made = bandit_version(bandit, domain, metrics, "outcomes as they came")
        return registry.log(made, LEARNED)

    return write
