"""The ledger stores customers, events, decisions, outcomes, and the state of the learner.

It uses SQLAlchemy Core on SQLite or PostgreSQL (`databases`). Writers submit *units of work*. One
thread runs all waiting units in one transaction (group commit), because a commit takes the disk 0.4
ms, for one row as for twenty. A unit reads and writes inside that transaction, so what it checks
still holds when it is committed. Its caller gets the result after the commit. A unit may run twice:
if another unit of the group fails, the group is rolled back and its units are run one by one. So a
unit changes nothing but the database, and one that refuses with an `NbaError` does so before it
writes.
"""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from features.errors import NbaError
from features.ledger import databases, migrations, tables
from features.ledger.connections import Connections

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


class Ledger:
    """Opens the ledger, creating it if it is not there.

    Parameters
    ----------
    url : str
        SQLAlchemy address, ``sqlite:///path`` or ``postgresql+psycopg://…``.

    Raises
    ------
    InvalidSetting
        If the address cannot be one of a ledger, or the ledger there is of another schema: the
        sentence says whether `nba migrate` helps.
    LedgerDown
        If the database does not answer, now or later in any of the methods.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = databases.open_database(url)
        self._reads = Connections(self.engine, read_only=True)
        self._writes = Connections(self.engine, read_only=False)
        try:
            with self.engine.begin() as connection:
                _create(connection, url)
        except sa.exc.DBAPIError as error:
            raise databases.not_opened(url, error) from error
        self._waiting: queue.SimpleQueue[list[Unit] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[Unit]] = {}
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue a unit of work; the future is done after the commit, or when the unit raised."""
        future: Future[T] = Future()
        self._queue([(work, future)])
        return future

    async def write(self, work: Work[T]) -> T:
        """Run a unit of work in the next group commit.

        The units of one turn of the event loop are queued together, so they share a commit. If
        each was queued at once, the writer would commit the first one while the second is made.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        gathered = self._gathered.setdefault(loop, [])
        if not gathered:
            loop.call_soon(self._queue_gathered, loop)
        gathered.append((work, Awaited(loop, future)))
        return await future

    def write_now(self, work: Work[T]) -> T:
        """Run a unit of work in the next group commit, and wait for it without an event loop."""
        return self.submit(work).result()

    def read(self, work: Work[T]) -> T:
        """Read in a transaction of its own: a snapshot of everything committed before it."""
        with databases.raising_ledger_down(), self._reads.transaction() as connection:
            return work(connection)

    def read_autocommit(self, work: Work[T]) -> T:
        """Read without a transaction, for reads that are repeated in one before they count.

        Each query sees what was committed before it, so two queries may see two states.
        """
        with databases.raising_ledger_down():
            return self._reads.without_transaction(work)

    def stream(self, query: sa.Select[Any], rows: int) -> Iterator[Any]:
        """Read the rows of a query from one snapshot, some at a time.

        Parameters
        ----------
        rows : int
            Rows held in memory at a time.
        """
        with databases.raising_ledger_down(), self._reads.transaction() as connection:
            yield from connection.execute(query.execution_options(yield_per=rows))

    def compact(self, at_most: int | None = None) -> bool:
        """Rewrite the file, or the tables, without the deleted data in their free space.

        Parameters
        ----------
        at_most : int, bytes
            Leave a larger ledger as it is. Nobody can write meanwhile: some seconds per gigabyte.

        Returns
        -------
        bool
            True if no deleted data is left.
        """
        return databases.compact(self.engine, at_most)

    def close(self) -> None:
        """Finish the waiting units of work, then close the connections."""
        for loop in list(self._gathered):
            self._queue_gathered(loop)
        with self._starting:
            self._closed = True
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
        self._reads.close()
        self._writes.close()
        self.engine.dispose()

    def _queue_gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        units = self._gathered.pop(loop, [])  # nothing is left if `close` has queued them
        try:
            self._queue(units)
        except LedgerClosed as closed:
            _set_results([(waiting, None, closed) for _, waiting in units])

    def _queue(self, units: list[Unit]) -> None:
        with self._starting:
            if self._closed:
                raise LedgerClosed("the ledger is closed; nothing can be written any more")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_groups, name="ledger")
                self._writer.daemon = True
                self._writer.start()
            self._waiting.put(units)

    def _write_groups(self) -> None:
        while True:
            group, last = self._next_group()
            # A unit whose caller has cancelled it (a client that hung up) is not run.
            group = [unit for unit in group if unit[1].set_running_or_notify_cancel()]
            if group:
                self._commit(group)
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
        done: list[Done] = []
        try:
            with self._writes.transaction() as connection:
                for work, waiting in group:
                    try:
                        done.append((waiting, work(connection), None))
                    except NbaError as refusal:  # it has written nothing; the others go on
                        done.append((waiting, None, refusal))
                    except Exception as error:
                        if databases.is_lost(error):  # one by one they would fail, too
                            raise
                        raise _UnitFailed from error
        except _UnitFailed as failed:
            # The whole group was rolled back; run one by one, only that unit fails. This is rare,
            # so the usual case is spared a savepoint for each unit.
            if len(group) == 1:
                _deliver(
                    [(group[0][1], None, databases.as_ledger_down(failed.__cause__ or failed))]
                )
            else:
                for unit in group:
                    self._commit([unit])
        except Exception as lost:  # no lock or no disk: nothing of the group was written
            _deliver([(waiting, None, databases.as_ledger_down(lost)) for _, waiting in group])
        else:
            _deliver(done)


def _deliver(done: list[Done]) -> None:
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
            loop.call_soon_threadsafe(_set_results, some)


def _set_results(done: list[Done]) -> None:
    """Set the results from within the event loop, as asyncio requires."""
    for waiting, answer, error in done:
        future = waiting.future if isinstance(waiting, Awaited) else waiting
        if future.done():  # cancelled during the commit
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)


def _create(connection: sa.Connection, url: str) -> None:
    """Create the missing tables; refuse a ledger of another schema."""
    there = sa.inspect(connection).has_table(tables.meta.name)
    if there:
        migrations.require_current_schema(tables.get_meta(connection, "schema"), url)
    databases.check_database(connection, url)
    tables.metadata.create_all(connection)
    tables.insert_new(connection, tables.meta, [{"key": "schema", "value": tables.SCHEMA}])
    salt = {"key": "salt", "value": secrets.token_hex(32)}
    tables.insert_new(connection, tables.meta, [salt])
