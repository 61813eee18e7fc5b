"""Decides when the learner fits its encoder again, and how long its short memory is then.

Both change all sums, so all credits are counted again: at once where they are few, else beside the
learner's steps, which go on meanwhile.

A memory that is shorter than the delays would know young silences only, which say little. So the
half-life is many times as long as the decisions that are made within a mean delay. Where answers
come within seconds, it is that of params.yaml.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil, log
from typing import Any

import sqlalchemy as sa

from features.errors import LedgerDown
from features.ledger import tables
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.credits import CreditChange, shown_decisions
from training.bandit.bandit_state import BanditState
from training.bandit.contextual_bandit import next_encoding
from training.params import BanditParams

RETRY_GROWTH = 1 / 8  # more shown decisions until a recount that was not possible is tried again
DELAYS_REMEMBERED = 10.0  # mean delays in one half-life, at least
STEP = 4.0  # scales are powers of it, so that they seldom change
AT_ONCE = 20_000  # shown decisions, up to which all credits are counted again within a step
CHUNK = 250  # decisions that are counted between two pauses, where there are more
PAUSE = 2.0  # so many times as long as the chunk took, so that steps go on at their speed

logger = logging.getLogger(__name__)


class EncodingThreshold:
    """Tells when the number of shown decisions has reached the next threshold of the encoder.

    Parameters
    ----------
    count_shown
        Counts the decisions that showed an action. It reads them all, so it is called only where
        the threshold may be reached.
    """

    def __init__(self, count_shown: Callable[[], int]) -> None:
        self._count_shown = count_shown
        self._shown: int | None = None  # shown decisions when they were counted; None: not yet
        self._shown_since = 0  # at most so many were shown since they were counted
        self._recount_from = 0  # no recount with fewer shown decisions; 0: by the threshold alone

    def reached(self, encoded_at: int, new: int) -> int:
        """Return the threshold that the number of shown decisions has newly reached; 0 for none.

        Every shown decision comes up in a step, with a first credit or as one of another layout of
        features.

        Parameters
        ----------
        encoded_at : int
            The threshold at which the encoder was fitted last.
        new : int
            So many shown decisions have come up in this step, at most.
        """
        self.come_up(new)
        threshold = next_encoding(encoded_at)
        wanted = max(threshold, self._recount_from)
        if self._shown is not None and self._shown + self._shown_since < wanted:
            return 0
        self._shown, self._shown_since = self._count_shown(), 0
        if self._shown < wanted:
            return 0
        while next_encoding(threshold) <= self._shown:
            threshold = next_encoding(threshold)
        return threshold

    def come_up(self, new: int) -> None:
        """Note that so many shown decisions, at most, have come up."""
        self._shown_since += new

    def postpone(self, encoded_at: int) -> None:
        """Wait for more shown decisions, as the threshold that was reached could not be used."""
        shown = self._shown or encoded_at
        self._recount_from = shown + max(1, int(RETRY_GROWTH * shown))


class Recount:
    """Counts all credits again in a thread of its own, while the learner's steps go on.

    The credits are read in chunks. A step that comes between changes some of them: what it changes
    is added here, too, unless its chunk is still to be read. Sums do not depend on the order, so in
    the end they are those of all credits as of the last step.

    Parameters
    ----------
    updates : BanditUpdates
        Its module imports this one.
    imported, shown, delays
        See `BanditUpdates.recounted`; nobody else may use ``delays``.

    Attributes
    ----------
    state : BanditState or None
        None until all credits are counted.
    failed : bool
        The credits could not be counted.
    is_dropped : bool
        Set to end the thread, as nobody will use the state.
    """

    def __init__(
        self, updates: Any, imported: BanditState, shown: int, delays: ResponseDelays
    ) -> None:
        self.shown = shown
        self.state: BanditState | None = None
        self.failed = self.is_dropped = False
        self._updates = updates
        self._given = imported, shown, delays
        self._counted: BanditState | None = None
        self._last = ""  # decision of the chunks that were read; chunks are in the order of ids
        self._all_read = False
        self._lock = threading.Lock()

    def run(self) -> None:
        """Count all chunks, with pauses between them."""
        try:
            began_s = time.perf_counter()
            for _ in self.chunks():
                if self.is_dropped:
                    return
                time.sleep(PAUSE * (time.perf_counter() - began_s))
                began_s = time.perf_counter()
        except Exception:  # it is none of the steps', which go on
            logger.exception("The credits cannot be counted again; encoding goes on as before")
            self.failed = True

    def chunks(self) -> Iterator[None]:
        """Count one chunk after the other."""
        updates = self._updates
        counted = updates.begun(*self._given)
        yield
        self._counted = counted
        while True:
            with self._lock:  # no step is between what is read and what it notes
                written = updates.next_credits(self._last, CHUNK)
                if not written:
                    self._all_read = True
                    break
                self._last = max(decision_id for decision_id, _ in written)
            outcomes = updates.outcomes_of(written, counted)
            with self._lock:
                counted.learn(outcomes)
            yield
        self.state = counted

    @contextmanager
    def step(self, changes: Sequence[CreditChange]) -> Iterator[None]:
        """Note what a step changes, which is committed within the block."""
        with self._lock:
            yield
            if self._counted is not None:
                self._updates.learn(self._counted, [one for one in changes if self._has_read(one)])

    def _has_read(self, change: CreditChange) -> bool:
        return self._all_read or change.action.shown.decision_id <= self._last


class Recounts:
    """Fits the encoder again and counts all credits with it, when enough decisions were shown.

    ``imported`` returns the state that a base has learned from imported decisions, or None if it
    cannot be read. ``start`` runs a function beside this thread.
    """

    def __init__(
        self,
        updates: Any,
        imported: Callable[[str], BanditState | None],
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._updates = updates
        self._imported = imported
        self._start = start or _in_thread
        self._threshold = EncodingThreshold(updates.shown)
        self._running: Recount | None = None
        self.base = ""  # that the last state builds on, or the one that is being counted

    def begin_on(
        self, base: str, imported: BanditState, shown: int, delays: ResponseDelays
    ) -> bool:
        """Count all credits on top of another champion, where they are many; False: they are few.

        It goes on with the count that runs, if that is on the same champion.
        """
        if self._running is not None and self.base == base:
            return True
        self.drop()
        if self._updates.shown() <= AT_ONCE:
            return False
        self._run(base, imported, shown, delays)
        return True

    def _run(self, base: str, imported: BanditState, shown: int, delays: ResponseDelays) -> None:
        own = ResponseDelays(delays.catalog)
        self.base, self._running = base, Recount(self._updates, imported, shown, own)
        self._start(self._running.run)

    def next_state(
        self, base: str, bandit: BanditState, new: int, delays: ResponseDelays
    ) -> BanditState | None:
        """Return the state with the credits as of the last step counted again; None: not now.

        Parameters
        ----------
        new : int
            See `EncodingThreshold.reached`.
        """
        if self._running is not None:
            self._threshold.come_up(new)
            return self._finished(self._running, base, bandit)
        self.base, shown = base, self._threshold.reached(bandit.encoded_at, new)
        if not shown:
            return None
        imported = self._imported(base)
        if imported is None:
            logger.warning("Bandit %s cannot be read; encoding goes on as before", base)
        elif shown > AT_ONCE:
            self._run(base, imported, shown, delays)
            return None
        else:
            try:
                again: BanditState = self._updates.recounted(imported, shown, delays, bandit)
                return again
            except LedgerDown:
                raise
            except Exception:  # it is none of the step's, which goes on
                logger.exception("The credits cannot be counted again; encoding goes on as before")
        self._threshold.postpone(shown)
        return None

    def _finished(self, running: Recount, base: str, bandit: BanditState) -> BanditState | None:
        if running.failed:
            self._running = None
            self._threshold.postpone(running.shown)
        elif running.state is not None:
            self._running = None
            if base == self.base and bandit.encoder.features == running.state.encoder.features:
                running.state.use_trees(bandit.trees, bandit.fitted_on)
        return running.state

    @contextmanager
    def step(self, changes: Sequence[CreditChange]) -> Iterator[None]:
        """Commit a step within the block, so that a recount that runs has its changes, too."""
        if self._running is None:
            yield
            return
        with self._running.step(changes):
            yield

    def drop(self) -> None:
        """Use no recount that runs: another learner has written, or the base is another."""
        if self._running is not None:
            self._running.is_dropped = True
        self._running = None


def _in_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="learner-recount", daemon=True).start()


def memory_scale(
    connection: sa.Connection,
    params: BanditParams,
    shown: int,
    delays: ResponseDelays,
    before: datetime | None = None,
) -> float:
    """Return the factor on the half-lives of ``params``, at least 1.

    Parameters
    ----------
    shown : int
        Delays and decisions are counted as of the decision with this number among those that
        showed an action, so that the factor does not depend on when a learner computes it.
    before
        Only decisions that were shown before this time are numbered; None: all.
    """
    last = _shown_decision(connection, shown, before)
    if last is None:
        return 1.0
    mean_s = delays.mean_delay_s(connection, last.activated_at)
    if mean_s is None:
        return 1.0
    columns = tables.decisions.c
    since = last.activated_at - timedelta(seconds=mean_s)
    within = sa.select(sa.func.min(columns.serial)).where(
        columns.serial <= last.serial, columns.decided_at >= since
    )
    first = connection.execute(within).scalar()
    return scale_of(last.serial - first + 1 if first is not None else 1, params)


def scale_of(decisions: int, params: BanditParams) -> float:
    """Return the factor on the half-lives where so many decisions are made within a mean delay."""
    lives = [one.half_life_decisions for one in params.linear_experts if one.half_life_decisions]
    if not lives:
        return 1.0
    wanted = DELAYS_REMEMBERED * decisions / min(lives)
    return float(STEP ** max(0, ceil(log(wanted, STEP))))


def _shown_decision(connection: sa.Connection, shown: int, before: datetime | None) -> Any:
    """Serial and time of the decision with this number among those that showed an action."""
    columns = tables.decisions.c
    query = shown_decisions(columns.serial, before).add_columns(columns.activated_at)
    return connection.execute(query.order_by(columns.serial).offset(shown - 1).limit(1)).first()
