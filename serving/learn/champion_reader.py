"""Reads the champion of the bandit from MLflow, and counts all credits again on top of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from features.errors import LedgerDown
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.credits import CreditChange
from serving.learn.memory import EncodingThreshold
from serving.learn.updates import BanditUpdates
from serving.models.served_models import PRIOR
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.pipeline.registry import Registry

log = logging.getLogger("nba.learner")

AT_ONCE = 20_000  # shown decisions, up to which all credits are counted again within a step
CHUNK = 250  # decisions that are counted between two pauses, where there are more
PAUSE = 2.0  # so many times as long as the chunk took, so that steps go on at their speed
PAUSE_BEHIND = 12.0  # the same while decisions wait for the steps: a newer encoder can wait longer

ReadChampion = Callable[[], tuple[str, Bandit] | None]


class ChampionReader:
    """Reads the champion of the bandit; its files only when it is another than before.

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
        """Return version and bandit, which nobody may change; None if MLflow has or tells none."""
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


class Recount:
    """Counts all credits again in a thread of its own, while the learner's steps go on.

    The credits are read in chunks. What a step between two of them changes is added here, too,
    unless its chunk is still to be read. Sums do not depend on the order.

    Parameters
    ----------
    updates
    imported, shown, delays
        See `BanditUpdates.recounted`; nobody else may use ``delays``.

    Attributes
    ----------
    state : BanditState or None
        None until all credits are counted.
    failed : bool
        The credits could not be counted.
    is_dropped, is_behind : bool
        Set to end the thread, as nobody will use the state; and to let it take less of the time.
    """

    def __init__(
        self, updates: BanditUpdates, imported: BanditState, shown: int, delays: ResponseDelays
    ) -> None:
        self.shown = shown
        self.state: BanditState | None = None
        self.failed = self.is_dropped = self.is_behind = False
        self._updates = updates
        self._given = imported, shown, delays
        self._counted: BanditState | None = None
        # Ids of decisions: the last one that was read, and the last one to be read. Those after it
        # come up in steps, or there would be no end.
        self._last = self._end = ""
        self._all_read = False
        self._lock = threading.Lock()

    def run(self) -> None:
        """Count all chunks, with pauses between them."""
        try:
            began_s = time.perf_counter()
            for _ in self.chunks():
                if self.is_dropped:
                    return
                pause = PAUSE_BEHIND if self.is_behind else PAUSE
                time.sleep(pause * (time.perf_counter() - began_s))
                began_s = time.perf_counter()
        except Exception:  # it is none of the steps', which go on
            log.exception("The credits cannot be counted again; encoding goes on as before")
            self.failed = True

    def chunks(self) -> Iterator[None]:
        """Count one chunk after the other."""
        updates = self._updates
        counted = updates.begun(*self._given)
        yield
        with self._lock:
            self._end, self._counted = updates.last_decision(), counted
        while True:
            with self._lock:  # no step is between what is read and what it notes
                written = updates.next_credits(self._last, self._end, CHUNK)
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
        name = change.action.shown.decision_id
        return self._all_read or name <= self._last or name > self._end


class Recounts:
    """Fits the encoder again and counts all credits with it, when enough decisions were shown.

    ``imported`` is that of `Champions`; ``start`` runs a function beside this thread, for more than
    ``at_once`` decisions (0: `AT_ONCE`).
    """

    def __init__(
        self,
        updates: BanditUpdates,
        imported: Callable[[str], BanditState | None],
        start: Callable[[Callable[[], None]], None] | None = None,
        at_once: int = 0,
    ) -> None:
        self._updates = updates
        self._imported = imported
        self._start, self._at_once = start or _in_thread, at_once or AT_ONCE
        self._threshold = EncodingThreshold(updates.shown)
        self._running: Recount | None = None
        self.base = ""  # that the last state builds on, or the one that is being counted

    def begin_on(
        self, base: str, imported: BanditState, shown: int, delays: ResponseDelays
    ) -> bool:
        """Count all credits, or go on, on top of another champion; False: they are few."""
        if self._running is not None and self.base == base:
            return True
        self.drop()
        if self._updates.shown() <= self._at_once:
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
            log.warning("Bandit %s cannot be read; encoding goes on as before", base)
        elif shown > self._at_once:
            self._run(base, imported, shown, delays)
            return None
        else:
            try:
                return self._updates.recounted(imported, shown, delays, bandit)
            except LedgerDown:
                raise
            except Exception:  # it is none of the step's, which goes on
                log.exception("The credits cannot be counted again; encoding goes on as before")
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

    def give_way(self, more_waits: bool) -> None:
        """Tell a recount that runs whether decisions wait for the steps."""
        if self._running is not None:
            self._running.is_behind = more_waits

    def drop(self) -> None:
        """Use no recount that runs: another learner has written, or the base is another."""
        running, self._running = self._running, None
        if running is not None:
            running.is_dropped = True


def _in_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="learner-recount", daemon=True).start()
