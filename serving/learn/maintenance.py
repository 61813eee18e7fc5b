"""Runs the learner's slow tasks in threads of their own, while it goes on learning outcomes.

It writes checkpoints, fits the trees again when enough was learned, and logs versions of the bandit
to MLflow. Each may take seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from features.business.domain import Domain
from serving.learn.learner import Learner
from serving.learn.updates import FittedTrees
from training.bandit.artifact import Bandit
from training.pipeline.registry import LEARNED, Registry

log = logging.getLogger(__name__)

LogVersion = Callable[[Bandit], str]

# The steps since the last but one checkpoint hold features of customers, though not who they are:
# for twice this time.
CHECKPOINT_EVERY_S = 60.0


class LearnerMaintenance:
    """Writes checkpoints, fits trees and logs versions for one learner.

    Parameters
    ----------
    log_version
        Logs a bandit, and returns the number of its version.
    every_s : float
        Pause between two versions; no version is logged while nothing new was learned.
    now_s : float
        Monotonic time, in seconds.
    """

    def __init__(
        self, learner: Learner, log_version: LogVersion, every_s: float, now_s: float
    ) -> None:
        self._learner = learner
        self._log_version = log_version
        self._every_s = every_s
        self._next_version_s = now_s + every_s
        self._counted_in_version = learner.counted
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="learner-maintenance")
        self._trees: Future[FittedTrees] | None = None
        self._version: Future[str] | None = None
        # Apart: MLflow may not answer for a long time.
        self._files = ThreadPoolExecutor(1, thread_name_prefix="learner-checkpoints")
        self._checkpoint: Future[None] | None = None
        self._next_checkpoint_s = now_s

    def check(self, now: datetime, now_s: float) -> None:
        """Start the tasks that are due, and use the results of those that are done; does not wait.

        Parameters
        ----------
        now_s : float
            Monotonic time, in seconds.
        """
        self._keep_checkpoints(now_s)
        if self._trees is not None and self._trees.done():
            done, self._trees = self._trees, None
            self._learner.adopt_trees(done.result(), now)
            log.info("Trees were fitted again")
        if self._trees is None and self._learner.wants_trees():
            self._trees = self._pool.submit(self._learner.fit_trees)
        if self._version is not None and self._version.done():
            finished, self._version = self._version, None
            log.info("What was learned is logged as bandit %s", finished.result())
        if self._version is None and now_s >= self._next_version_s:
            self._next_version_s = now_s + self._every_s
            self._log_what_is_new()

    def _keep_checkpoints(self, now_s: float) -> None:
        if self._checkpoint is not None and self._checkpoint.done():
            finished, self._checkpoint = self._checkpoint, None
            finished.result()
        if self._checkpoint is None and now_s >= self._next_checkpoint_s:
            self._next_checkpoint_s = now_s + CHECKPOINT_EVERY_S
            if (write := self._learner.checkpoint()) is not None:
                self._checkpoint = self._files.submit(write)

    def _log_what_is_new(self) -> None:
        if self._learner.counted == self._counted_in_version:
            return
        version = self._learner.version()
        if version is not None:  # else the registry does not answer; the next time is soon enough
            self._counted_in_version = version.state.counted
            self._version = self._pool.submit(self._log_version, version)

    def close(self) -> None:
        """Wait for the tasks that were started."""
        self._pool.shutdown()
        self._files.shutdown()


def log_to_registry(registry: Registry, domain: Domain) -> LogVersion:
    """Return a function that logs versions to MLflow.

    They get the alias `LEARNED`, so that the challenger of a training run is not replaced.
    """

    def log_version(bandit: Bandit) -> str:
        from training.pipeline.train import bandit_version  # imports pandas; only when it is needed

        squares = bandit.state.errors.squares.tolist()
        metrics = {f"squared_error_of_expert_{n}": value for n, value in enumerate(squares)}
        metrics["outcomes"] = bandit.state.counted
        made = bandit_version(bandit, domain, metrics, "outcomes as they came")
        return registry.log(made, LEARNED)

    return log_version
