"""Runs units of work, several in one transaction (group commit), each of them all or nothing.

One thread runs all waiting units in one transaction, because a commit takes the disk 0.4 ms, for
one row as for twenty. Brief units of an event loop may run on the loop's own thread (SQLite): two
changes of the thread take as long as the commit itself. They do so only if no unit waits for the
thread and the lock of the ledger is free, so an event loop never waits for another writer.
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

from features.errors import NbaError
from features.ledger import databases
from features.ledger.connections import Connections
from features.ledger.unwaiting import UnwaitingConnection

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class Awaited(NamedTuple):
    """A future of an event loop that gets the result of a unit of work."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def set_running_or_notify_cancel(self) -> bool:
        """Return False if the future was cancelled, as the method of thread futures does."""
        return not self.future.cancelled()


Unit = tuple[Work[Any], Future[Any] | Awaited]
Done = tuple[Future[Any] | Awaited, Any, BaseException | None]  # with an answer, or an error

GROUP = 256  # units of work; no further ones join a group of so many


class _UnitFailed(Exception):
    """A unit of a group raised an unexpected exception, which is the cause of this one."""


class LedgerClosed(RuntimeError):
    """A unit of work was submitted to a ledger that was closed."""


class GroupCommit:
    """The queue of units of work, and the thread that runs them.

    Parameters
    ----------
    engine
        Made by `databases.open_database`.
    unwaiting
        Runs brief units; None: they are queued.
    """

    def __init__(self, engine: sa.Engine, unwaiting: UnwaitingConnection | None) -> None:
        self._writes = Connections(engine, read_only=False)
        self._unwaiting = unwaiting
        self._waiting: queue.SimpleQueue[list[Unit] | None] = queue.SimpleQueue()
        self._pending = 0  # units that are queued or run by the thread
        self._writer: threading.Thread | None = None
        self._state = threading.Lock()  # of `_pending`, `_writer` and `_closed`
        self._closed = False

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
            self._writer.join()
        self._writes.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LedgerClosed("the ledger is closed; nothing can be written any more")

    def _write_groups(self) -> None:
        while True:
            waited, last = self._next_group()
            # A unit whose caller has cancelled it (a client that hung up) is not run.
            group = _not_cancelled(waited)
            if group:
                self._commit(group)
            with self._state:
                self._pending -= len(waited)
            if last:
                return

    def _next_group(self) -> tuple[list[Unit], bool]:
        group = list[Unit]()
        units = self._waiting.get()
        while units is not None:
            group += units
            if len(group) >= GROUP:
                return group, False
            try:
                units = self._waiting.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: list[Unit]) -> None:
        try:
            with self._writes.transaction() as connection:
                done = _run_units(connection, group)
        except _UnitFailed as failed:
            # The whole group was rolled back; run one by one, only that unit fails. This is rare,
            # so the usual case is spared a savepoint for each unit.
            if len(group) == 1:
                _deliver([_failed(group[0], failed.__cause__ or failed)])
            else:
                for unit in group:
                    self._commit([unit])
        except Exception as lost:  # no lock or no disk: nothing of the group was written
            _deliver([_failed(unit, lost) for unit in group])
        else:
            _deliver(done)


def _run_at_once(unwaiting: UnwaitingConnection, units: Sequence[Unit]) -> bool:
    """Run units on this thread; False if they have to be queued."""
    group = _not_cancelled(units)
    done: list[Done] = []
    try:
        with unwaiting.transaction() as connection:
            if connection is None:
                return False
            done = _run_units(connection, group)
    except _UnitFailed as failed:
        if len(group) > 1:
            return False  # the thread runs them one by one
        done = [_failed(group[0], failed.__cause__ or failed)]
    except Exception as lost:  # no disk: nothing of the group was written
        done = [_failed(unit, lost) for unit in group]
    set_results(done)
    return True


def _not_cancelled(units: Sequence[Unit]) -> list[Unit]:
    return [unit for unit in units if unit[1].set_running_or_notify_cancel()]


def _run_units(connection: sa.Connection, group: Sequence[Unit]) -> list[Done]:
    """Run units in a transaction; raise `_UnitFailed` for one that may have written half."""
    done: list[Done] = []
    for work, waiting in group:
        try:
            done.append((waiting, work(connection), None))
        except NbaError as refusal:  # it has written nothing; the others go on
            done.append((waiting, None, refusal))
        except Exception as error:
            if databases.is_lost(error):  # one by one they would fail, too
                raise
            raise _UnitFailed from error
    return done


def _failed(unit: Unit, error: BaseException) -> Done:
    return (unit[1], None, databases.as_ledger_down(error))


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
