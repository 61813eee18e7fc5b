"""Runs units of work, several in one transaction (group commit), each of them all or nothing.

One thread runs all waiting units in one transaction, because a commit takes the disk 0.4 ms, for
one row as for twenty. Brief units of an event loop may run on the loop's own thread (SQLite): two
changes of the thread take as long as the commit itself. They do so only if no unit waits for the
thread and the lock of the ledger is free, so an event loop never waits for another writer.

The units of a transaction that were submitted with `first` run before the others. A transaction
begins no further unit after `UNITS_S`; the units that are left run in the next one. Processes take
turns (`writer_queue`); units that come while the thread waits for its turn join the transaction.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from features.clock import monotonic_s
from features.errors import NbaError
from features.ledger import databases
from features.ledger.connections import Connections
from features.ledger.databases import LedgerClosed
from features.ledger.writing.unwaiting import UnwaitingConnection
from features.ledger.writing.writer_queue import WriterQueue

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class Awaited(NamedTuple):
    """A future of an event loop that gets the result of a unit of work."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Unit(NamedTuple):
    """A unit of work and the future of its result; ``first``: it runs before the others."""

    work: Work[Any]
    waiting: Future[Any] | Awaited
    first: bool = False

    def begin(self) -> bool:
        """Return False if the caller has cancelled the unit, such as a client that hung up.

        From then on a future of a thread cannot be cancelled. A unit that is repeated begins again.
        """
        if isinstance(self.waiting, Awaited):
            return not self.waiting.future.cancelled()
        return self.waiting.running() or self.waiting.set_running_or_notify_cancel()


Done = tuple[Future[Any] | Awaited, Any, BaseException | None]  # with an answer, or an error

CLOSE_S = databases.BUSY_MS / 1000  # a thread that has no turn is not waited for any longer
GROUP = 256  # units of work; no further ones join a group of so many
# A transaction begins no further unit after this time, so that other processes wait for the lock
# no longer than a caller notices. The units that are `first` have this time for themselves, so
# that they cannot keep the others waiting for ever.
UNITS_S = 0.05


class _UnitFailed(Exception):
    """A unit of a group raised an unexpected exception, which is the cause of this one."""


class GroupCommit:
    """The queue of units of work, and the thread that runs them.

    Parameters
    ----------
    engine
        Made by `databases.open_database`.
    unwaiting
        Runs brief units; None: they are queued.
    turns
        The place of the thread in the queue of the processes.
    """

    def __init__(
        self,
        engine: sa.Engine,
        unwaiting: UnwaitingConnection | None,
        turns: WriterQueue | None = None,
    ) -> None:
        self._writes = Connections(engine, read_only=False, queue=turns)
        self._turns = turns
        self._unwaiting = unwaiting
        self._waiting: queue.SimpleQueue[list[Unit] | None] = queue.SimpleQueue()
        self._pending = 0  # units that are queued or run by the thread
        self._writer: threading.Thread | None = None
        self._state = threading.Lock()  # of `_pending`, `_writer` and `_closed`
        self._closed = False
        self._ended = False  # the thread has taken the last units

    @property
    def pending(self) -> int:
        """The number of units that wait for the thread, or are run by it."""
        return self._pending

    def queue(self, units: list[Unit]) -> None:
        """Queue units of work for the thread.

        Raises
        ------
        LedgerClosed
            After `close`.
        """
        with self._state:
            self._refuse_closed()
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_groups, name="ledger")
                self._writer.daemon = True
                self._writer.start()
            self._pending += len(units)
            self._waiting.put(units)

    def run_or_queue(self, units: list[Unit]) -> None:
        """Run brief units of this thread's event loop at once, if nobody else is writing.

        Raises
        ------
        LedgerClosed
            After `close`.
        """
        with self._state:
            self._refuse_closed()
            first = not self._pending  # first come, first served
        if self._unwaiting is None or not first or not _run_at_once(self._unwaiting, units):
            self.queue(units)

    def close(self) -> None:
        """Finish the waiting units of work, then close the connections of the thread."""
        with self._state:
            self._closed = True
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join(CLOSE_S)
            while self._writer.is_alive():
                if self._turns is not None and self._turns.waiting:
                    return  # for a process that was stopped with the lock
                self._writer.join(CLOSE_S)
        self._writes.close()
        if self._turns is not None:
            self._turns.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LedgerClosed

    def _write_groups(self) -> None:
        group = list[Unit]()
        while self._take(group) or group:
            group = self._commit(group)

    def _take(self, group: list[Unit]) -> bool:
        """Add waiting units to a group; wait for one if it is empty. Return False at the end."""
        while not self._ended and len(group) < GROUP:
            try:
                units = self._waiting.get(block=not group)
            except queue.Empty:
                break
            if units is None:
                self._ended = True
            else:
                group += units
        return not self._ended

    def _commit(self, group: list[Unit], alone: bool = False) -> list[Unit]:
        """Run units in one transaction; return those that it had no time for.

        Unless they are to run ``alone``, those that came meanwhile are added to the group.
        """
        try:
            with self._writes.transaction() as connection:
                if not alone:
                    self._take(group)
                done, left = _run_units(connection, group)
        except _UnitFailed as failed:
            # The whole group was rolled back; run one by one, only that unit fails. This is rare,
            # so the usual case is spared a savepoint for each unit.
            if len(group) == 1:
                self._end(1, [_failed(group[0], failed.__cause__ or failed)])
                return []
            for unit in sorted(group, key=lambda unit: not unit.first):
                self._commit([unit], alone=True)
            return []
        except Exception as lost:  # no lock or no disk: nothing of the group was written
            self._end(len(group), [_failed(unit, lost) for unit in group if unit.begin()])
            return []
        self._end(len(group) - len(left), done)
        return left

    def _end(self, count: int, done: Sequence[Done]) -> None:
        """Count units as pending no more, then deliver their results."""
        with self._state:
            self._pending -= count
        _deliver(done)


def _run_at_once(unwaiting: UnwaitingConnection, units: Sequence[Unit]) -> bool:
    """Run units on this thread; False if they have to be queued."""
    done: list[Done] = []
    try:
        with unwaiting.transaction() as connection:
            if connection is None:
                return False
            done, _ = _run_units(connection, units, float("inf"))
    except _UnitFailed as failed:
        if len(units) > 1:
            return False  # the thread runs them one by one
        done = [_failed(units[0], failed.__cause__ or failed)]
    except Exception as lost:  # no disk: nothing of the units was written
        done = [_failed(unit, lost) for unit in units if unit.begin()]
    set_results(done)
    return True


def _run_units(
    connection: sa.Connection, group: Sequence[Unit], within_s: float = UNITS_S
) -> tuple[list[Done], list[Unit]]:
    """Run units in a transaction; raise `_UnitFailed` for one that may have written half.

    Parameters
    ----------
    within_s : float, seconds
        No further unit that is `first` begins later than this after the first one of them. The
        same holds for the others. So at least one unit of each kind is run.

    Returns
    -------
    done : list of Done
    left : list of Unit
        Units that have to wait for the next transaction.
    """
    done, left = list[Done](), list[Unit]()
    for first in (True, False):
        units = [unit for unit in group if unit.first == first]
        began_at = monotonic_s()
        for number, unit in enumerate(units):
            if number and monotonic_s() > began_at + within_s:
                left += units[number:]
                break
            if unit.begin():
                done.append(_run_unit(connection, unit))
    return done, left


def _run_unit(connection: sa.Connection, unit: Unit) -> Done:
    try:
        return (unit.waiting, unit.work(connection), None)
    except NbaError as refusal:  # it has written nothing; the others go on
        return (unit.waiting, None, refusal)
    except Exception as error:
        if databases.is_lost(error):  # one by one they would fail, too
            raise
        raise _UnitFailed from error


def _failed(unit: Unit, error: BaseException) -> Done:
    return (unit.waiting, None, databases.as_ledger_down(error))


def _deliver(done: Sequence[Done]) -> None:
    """Set the result of each future; an event loop is woken once for all of its futures."""
    of_loop: dict[asyncio.AbstractEventLoop, list[Done]] = {}
    for one in done:
        waiting, answer, error = one
        if isinstance(waiting, Awaited):
            of_loop.setdefault(waiting.loop, []).append(one)
        elif error is not None:
            waiting.set_exception(error)
        else:
            waiting.set_result(answer)
    for loop, some in of_loop.items():
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(set_results, some)


def set_results(done: Sequence[Done]) -> None:
    """Set the results from within the event loop, as asyncio requires."""
    for waiting, answer, error in done:
        future = waiting.future if isinstance(waiting, Awaited) else waiting
        if future.done():  # cancelled during the commit
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)
