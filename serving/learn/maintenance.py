"""Runs the learner's slow tasks in threads of their own, while it goes on learning outcomes.

It writes checkpoints, fits the trees and the effects again when enough was learned, and logs
versions of the bandit to MLflow. Each may take seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa

from features.business.domain import Domain
from features.clock import monotonic_s
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import EPOCH
from features.outcomes.attribution import shown_actions
from features.outcomes.silence import silent_interval
from serving.effects.effect_learner import EffectLearner
from serving.effects.fitting import PAUSE
from serving.effects.published import FittedEffects
from serving.learn.checkpoints import forgotten_at
from serving.learn.credits import read_credits
from serving.learn.learner import Learner
from serving.learn.steps import AT_ONCE, CLOCK, revise_soon
from serving.learn.updates import FittedTrees
from training.bandit.artifact import Bandit
from training.pipeline.registry import LEARNED, Registry

log = logging.getLogger(__name__)

LogVersion = Callable[[Bandit], str]

# The steps since the last but one checkpoint hold features of customers, though not who they are:
# for twice this time. Forgetting a customer empties them at once.
CHECKPOINT_EVERY_S = 60.0
GROWTH_BEHIND = 2.0  # outcomes, so many times as many, until trees are fitted while more waits
LOOK_EVERY_S = 5.0  # at what was forgotten, and at the clock
CLOCK_TOLERANCE = timedelta(seconds=1)
CHECKPOINTS = 1 / 20  # of the time, at most


class LearnerMaintenance:
    """Writes checkpoints, fits trees and effects, and logs versions for one learner.

    Parameters
    ----------
    effects
        Fits effects; None: nobody does.
    log_version
        Logs a bandit, and returns the number of its version.
    every_s : float
        Pause between two versions; no version is logged while nothing new was learned.
    now_s : float
        Monotonic time, in seconds.
    """

    def __init__(
        self,
        learner: Learner,
        log_version: LogVersion,
        every_s: float,
        now_s: float,
        effects: EffectLearner | None = None,
    ) -> None:
        self._learner = learner
        self._effects = effects
        self._log_version = log_version
        self._every_s = every_s
        self._next_version_s = now_s + every_s
        self._counted_in_version = learner.counted
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="learner-maintenance")
        self._trees: Future[FittedTrees] | None = None
        self._fit: Future[FittedEffects] | None = None
        self._version: Future[str] | None = None
        # Apart: MLflow may not answer for a long time.
        self._files = ThreadPoolExecutor(1, thread_name_prefix="learner-checkpoints")
        self._checkpoint: Future[None] | None = None
        self._next_checkpoint_s = self._next_look_s = now_s
        self._kept_at = EPOCH  # when the state was copied that the last checkpoint has
        self._took_s = 0.0
        self._clock: Future[None] | None = None

    def check(self, now: datetime, now_s: float, more_waits: bool = False) -> None:
        """Start the tasks that are due, and use the results of those that are done; does not wait.

        Parameters
        ----------
        now_s : float
            Monotonic time, in seconds.
        more_waits : bool
            Decisions wait for the steps: trees are fitted more seldom then, as it takes seconds.
        """
        self._keep_checkpoints(now, now_s)
        if self._trees is not None and self._trees.done():
            done, self._trees = self._trees, None
            self._adopt(done, now)
        growth = GROWTH_BEHIND if more_waits else 0.0
        if self._trees is None and self._learner.wants_trees(growth):
            self._trees = self._pool.submit(self._learner.fit_trees)
        if self._effects is not None:
            self._check_effects(self._effects, now, growth)
        if self._version is not None and self._version.done():
            finished, self._version = self._version, None
            log.info("What was learned is logged as bandit %s", finished.result())
        if self._version is None and now_s >= self._next_version_s:
            self._next_version_s = now_s + self._every_s
            self._log_what_is_new()

    def finish_trees(self, now: datetime) -> None:
        """Wait for trees that are being fitted, and fit those that are due then; takes seconds."""
        begun, self._trees = self._trees, None
        if begun is not None:
            self._adopt(begun, now)
        if self._learner.wants_trees():  # also if the features are others than when it was begun
            self._adopt(self._pool.submit(self._learner.fit_trees), now)

    def finish_effects(self, now: datetime) -> None:
        """Wait for effects that are being fitted, and fit those that are due; takes seconds."""
        effects, begun, self._fit = self._effects, self._fit, None
        if effects is None:
            return
        if begun is not None:
            effects.publish(begun.result(), now)
        if effects.wants_fit(now):
            effects.publish(self._pool.submit(effects.fit, now).result(), now)

    def _check_effects(self, effects: EffectLearner, now: datetime, growth: float) -> None:
        if self._fit is not None and self._fit.done():
            fitted, self._fit = self._fit, None
            effects.publish(fitted.result(), now)
        if self._fit is None and effects.wants_fit(now, growth):
            self._fit = self._pool.submit(effects.fit, now, PAUSE)

    def _adopt(self, fitted: Future[FittedTrees], now: datetime) -> None:
        self._learner.adopt_trees(fitted.result(), now)
        log.info("Trees were fitted again")

    def _keep_checkpoints(self, now: datetime, now_s: float) -> None:
        """Write a checkpoint every minute, and soon after a customer was forgotten."""
        if self._checkpoint is not None and self._checkpoint.done():
            finished, self._checkpoint = self._checkpoint, None
            finished.result()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_EVERY_S
            self._look(now, now_s)
        if self._checkpoint is None and now_s >= self._next_checkpoint_s:
            self._next_checkpoint_s = now_s + max(CHECKPOINT_EVERY_S, self._took_s / CHECKPOINTS)
            self._kept_at = now
            if (write := self._learner.checkpoint()) is not None:
                self._checkpoint = self._files.submit(self._timed, write)

    def _look(self, now: datetime, now_s: float) -> None:
        """Look if a customer was forgotten, and if the clock was put right."""
        ledger = self._learner.ledger
        if (ledger.read(forgotten_at) or EPOCH) > self._kept_at:
            self._next_checkpoint_s = now_s
        if self._clock is not None and self._clock.done():
            put_right, self._clock = self._clock, None
            put_right.result()
        if self._clock is None and ledger.read(lambda connection: _was_ahead(connection, now)):
            log.warning("The clock was ahead; silences that were counted then are revised")
            self._clock = self._pool.submit(revise_after_clock, ledger, now)

    def _timed(self, write: Callable[[], None]) -> None:
        began_s = monotonic_s()
        write()
        self._took_s = monotonic_s() - began_s

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


def revise_after_clock(ledger: Ledger, now: datetime) -> None:
    """Let the learner revise the silences that it counted while the clock was ahead.

    They count as those of older ones, and would do so until the time that the clock showed, or for
    ever if their window seemed to have ended.
    """
    begin = now, ""
    while True:
        ids = ledger.read(partial(_open_decisions, after=begin))
        if not ids:
            break
        begin = ids[-1][0], ids[-1][1]
        names = [name for _, name in ids]
        early = ledger.read(partial(_counted_too_early, decision_ids=names, now=now))
        if early:
            ledger.write_now(partial(revise_soon, decision_ids=early, now=now))
    ledger.write_now(lambda c: tables.set_meta(c, CLOCK, str(tables.micros(now))))


def _was_ahead(connection: sa.Connection, now: datetime) -> bool:
    noted = tables.get_meta(connection, CLOCK)
    return noted is not None and tables.from_micros(int(noted)) > now + CLOCK_TOLERANCE


def _open_decisions(
    connection: sa.Connection, after: tuple[datetime, str]
) -> list[tuple[datetime, str]]:
    """The next shown decisions whose window ends after a time, by its end."""
    columns = tables.decisions.c
    query = sa.select(columns.window_ends_at, columns.decision_id).where(columns.served)
    # So that the index of the windows is read from that time on.
    query = query.where(columns.window_ends_at >= after[0])
    later = sa.tuple_(columns.window_ends_at, columns.decision_id) > sa.tuple_(
        sa.literal(after[0], tables.UtcMicros), sa.literal(after[1])
    )
    query = query.where(later).order_by(columns.window_ends_at, columns.decision_id)
    return [(row[0], row[1]) for row in connection.execute(query.limit(AT_ONCE))]


def _counted_too_early(
    connection: sa.Connection, decision_ids: Sequence[str], now: datetime
) -> list[str]:
    """Those of some decisions whose next revision is not that of their age."""
    written = read_credits(connection, decision_ids)
    found: dict[str, None] = {}
    for shown in shown_actions(connection, decision_ids):
        row, end_at = written.get(shown.key), silent_interval(shown, now).end_at
        if row is not None and (row.credit is None or row.credit.acceptance == 0):
            is_due = row.revise_at is not None and row.revise_at <= now
            if row.revise_at != end_at and not is_due:
                found[shown.decision_id] = None
    return list(found)


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
