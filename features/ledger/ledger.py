"""The durable memory: customers, events, decisions, outcomes, and what the learner made of them.

SQLAlchemy Core on SQLite or PostgreSQL (`databases`). Writers hand in *units of
work*; one thread runs all that wait in one transaction (group commit), because a commit costs the
disk the same 0.4 ms whether it carries one row or twenty. A unit reads and writes inside that
transaction, so what it checks still holds when it is committed. Nobody is answered before the
commit. A unit may be run twice (if a neighbour fails, the group is rolled back and repeated one by
one), so it changes nothing but the database; one that refuses with an `NbaError` does so before
it writes.
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
    """Who waits for a unit of work in an event loop."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def set_running_or_notify_cancel(self) -> bool:
        """Whether they still wait, as a `Future` of threads says it."""
        return not self.future.cancelled()


Unit = tuple[Work[Any], Future[Any] | Awaited]
Done = tuple[Future[Any] | Awaited, Any, BaseException | None]  # with an answer, or an error

GROUP = 256  # units of work that share one commit at most


class _UnitFailed(Exception):
    """One unit of a group raised what it should not have; the cause says what."""


class LedgerClosed(RuntimeError):
    """Somebody wrote to a ledger after closing it."""


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
        self._waiting: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue a unit of work; the future is done once it is committed, or it raised."""
        future: Future[T] = Future()
        self._queue((work, future))
        return future

    async def write(self, work: Work[T]) -> T:
        """Run a unit of work in the next group commit."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue((work, Awaited(loop, future)))
        return await future

    def write_now(self, work: Work[T]) -> T:
        """The same for callers that are not asynchronous."""
        return self.submit(work).result()

    def read(self, work: Work[T]) -> T:
        """Read in a transaction of its own; sees everything committed before, and nothing after."""
        with databases.answering(), self._reads.transaction() as connection:
            return work(connection)

    def read_autocommit(self, work: Work[T]) -> T:
        """Read without a transaction, for work that is done again in one before it counts.

        Each question sees what was committed before it, so two may speak of two moments.
        """
        with databases.answering():
            return self._reads.without_transaction(work)

    def stream(self, query: sa.Select[Any], rows: int) -> Iterator[Any]:
        """The rows of a query, a few at a time, all of one moment; closed when it is exhausted.

        Parameters
        ----------
        rows : int
            How many are held in memory.
        """
        with databases.answering(), self._reads.transaction() as connection:
            yield from connection.execute(query.execution_options(yield_per=rows))

    def compact(self, at_most: int | None = None) -> bool:
        """Write the file, or the tables, anew, without what lingers in their free space.

        Parameters
        ----------
        at_most : int, bytes
            Leave a larger one alone: nobody can write meanwhile, some seconds for a gigabyte.

        Returns
        -------
        bool
            Whether nothing lingers any more.
        """
        return databases.compact(self.engine, at_most)

    def close(self) -> None:
        """Finish what waits, then close the files."""
        with self._starting:
            self._closed = True
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
        self._reads.close()
        self._writes.close()
        self.engine.dispose()

    def _queue(self, unit: Unit) -> None:
        with self._starting:
            if self._closed:
                raise LedgerClosed("the ledger is closed; nothing can be written any more")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_groups, name="ledger")
                self._writer.daemon = True
                self._writer.start()
            self._waiting.put(unit)

    def _write_groups(self) -> None:
        while True:
            group, last = self._next_group()
            # Whoever gave up waiting (a client that hung up) takes its unit out of the group.
            group = [unit for unit in group if unit[1].set_running_or_notify_cancel()]
            if group:
                self._commit(group)
            if last:
                return

    def _next_group(self) -> tuple[list[Unit], bool]:
        group = []
        item = self._waiting.get()
        while item is not None:
            group.append(item)
            if len(group) == GROUP:
                return group, False
            try:
                item = self._waiting.get_nowait()
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
                        if databases.is_lost(error):  # apart, they would fare no better
                            raise
                        raise _UnitFailed from error
        except _UnitFailed as failed:
            # It took the others back; apart, only that one fails. Rare, so the good case is
            # spared a savepoint for each unit.
            if len(group) == 1:
                _answer([(group[0][1], None, databases.plain(failed.__cause__ or failed))])
            else:
                for unit in group:
                    self._commit([unit])
        except Exception as lost:  # no lock, no disk: nothing of the group is written
            _answer([(waiting, None, databases.plain(lost)) for _, waiting in group])
        else:
            _answer(done)


def _answer(done: list[Done]) -> None:
    """Tell everybody who waits; an event loop is woken once for all of its own."""
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
        with suppress(RuntimeError):  # it was closed: nobody waits there any more
            loop.call_soon_threadsafe(_answer_here, some)


def _answer_here(done: list[Done]) -> None:
    """The same from within their event loop, as its futures ask for."""
    for waiting, answer, error in done:
        future = waiting.future if isinstance(waiting, Awaited) else waiting
        if future.done():  # who waited hung up in the middle of the commit
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)


def _create(connection: sa.Connection, url: str) -> None:
    """Make the tables, unless they are there; refuse those of an older or newer program."""
    there = sa.inspect(connection).has_table(tables.meta.name)
    if there:
        migrations.require_current_schema(tables.get_meta(connection, "schema"), url)
    databases.check_database(connection, url)
    tables.metadata.create_all(connection)
    tables.insert_new(connection, tables.meta, [{"key": "schema", "value": tables.SCHEMA}])
    salt = {"key": "salt", "value": secrets.token_hex(32)}
    tables.insert_new(connection, tables.meta, [salt])
