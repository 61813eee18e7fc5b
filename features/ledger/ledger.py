"""The ledger stores customers, events, decisions, outcomes, and the state of the learner.

It uses SQLAlchemy Core on SQLite or PostgreSQL (`databases`). Writers submit *units of work*, which
are run in groups, one transaction for each (`group_commit`). A unit reads and writes inside that
transaction, so what it checks still holds when it is committed. Its caller gets the result after
the commit. A unit may run twice: if another unit of the group fails, the group is rolled back and
its units are run one by one. So a unit changes nothing but the database, and one that refuses with
an `NbaError` does so before it writes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from features.errors import Overloaded
from features.ledger import databases, migrations, tables
from features.ledger.compaction import compact
from features.ledger.connections import Connections
from features.ledger.databases import LedgerClosed
from features.ledger.writing.group_commit import (
    Awaited,
    GroupCommit,
    T,
    Unit,
    Work,
    set_results,
)
from features.ledger.writing.unwaiting import UnwaitingConnection, suppressing_busy
from features.ledger.writing.writer_queue import WriterQueue

# Units that wait for the ledger in one process, at most: decisions of two seconds. A wait beyond
# that ends in timeouts of callers, who send the same again.
MAX_WAITING = 1_000
READERS = 4  # threads that read for event loops, and connections of theirs


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
        self._file = databases.file_of(url)
        self._reads = Connections(self.engine, read_only=True)
        try:
            with self._turn(), self.engine.begin() as connection:
                _create(connection, url)
        except sa.exc.DBAPIError as error:
            raise databases.not_opened(url, error) from error
        self._unwaiting = (
            UnwaitingConnection(self.engine, self._new_queue())
            if self.engine.dialect.name == "sqlite"
            else None
        )
        self._group_commit = GroupCommit(self.engine, self._unwaiting, self._new_queue())
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._gathered: dict[asyncio.AbstractEventLoop, _Gathered] = {}
        self._closed = False

    def submit(self, work: Work[T], first: bool = False) -> Future[T]:
        """Queue a unit of work; the future is done after the commit, or when the unit raised."""
        future: Future[T] = Future()
        self._group_commit.queue([Unit(work, future, first)])
        return future

    async def write(
        self, work: Work[T], brief: bool = False, first: bool = False, begun: bool = False
    ) -> T:
        """Run a unit of work in the next group commit.

        The units of one turn of the event loop are queued together, so they share a commit. If
        each was queued at once, the writer would commit the first one while the second is made.

        Parameters
        ----------
        brief : bool
            The unit takes less than a millisecond, so it may hold up the event loop: see
            `GroupCommit.run_or_queue`.
        first : bool
            The unit runs before the others of its transaction, and never after one of them.
        begun : bool
            The unit belongs to work that has written already, so it is not refused.

        Raises
        ------
        Overloaded
            If `MAX_WAITING` units wait already, and the unit is neither `first` nor of work that
            was `begun`. Units of threads (`submit`) are not refused either.
        """
        if not (first or begun) and self._group_commit.pending >= MAX_WAITING:
            raise _overloaded()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        gathered = self._gathered.setdefault(loop, _Gathered())
        if not gathered.units:
            loop.call_soon(self._write_gathered, loop)
        gathered.units.append(Unit(work, Awaited(loop, future), first))
        gathered.brief &= brief
        return await future

    def write_now(self, work: Work[T]) -> T:
        """Run a unit of work in the next group commit, and wait for it without an event loop.

        Raises
        ------
        LedgerDown
            If the unit could not begin in time, or the database does not answer.
        """
        future = self.submit(work)
        try:
            return future.result(databases.NO_TURN_S)
        except TimeoutError:
            if future.cancel():
                raise databases.no_turn() from None
            return future.result()  # it has begun, or it raised the error itself

    def read(self, work: Work[T]) -> T:
        """Read in a transaction of its own: a snapshot of everything committed before it."""
        with databases.raising_ledger_down(), self._reads.transaction() as connection:
            return work(connection)

    async def read_async(self, work: Work[T]) -> T:
        """Read as `read` does, in a thread: the event loop answers others meanwhile."""
        return await self._in_thread(self.read, work)

    def read_autocommit(self, work: Work[T]) -> T:
        """Read without a transaction, for reads that are repeated in one before they count.

        Each query sees what was committed before it, so two queries may see two states.
        """
        with databases.raising_ledger_down():
            return self._reads.without_transaction(work)

    async def read_briefly(self, work: Work[T]) -> T:
        """Read as `read_autocommit` does, with queries of less than a millisecond.

        PostgreSQL is asked in a thread, because its answer may take as long as a network is
        disturbed. On SQLite the event loop reads itself if no lock is in the way: a change of
        threads and back takes 0.3 ms, as measured, and a decision of 2.2 ms reads twice.
        """
        if self._unwaiting is not None and not self._closed:
            with (
                databases.raising_ledger_down(),
                suppressing_busy(),
                self._unwaiting.autocommit() as connection,
            ):
                if connection is not None:
                    return work(connection)
        return await self._in_thread(self.read_autocommit, work)

    def stream(self, query: sa.Select[Any], rows: int) -> Iterator[Any]:
        """Read the rows of a query from one snapshot, some at a time.

        Parameters
        ----------
        rows : int
            Rows held in memory at a time.
        """
        with databases.raising_ledger_down(), self._reads.transaction() as connection:
            yield from connection.execute(query.execution_options(yield_per=rows))

    def compact(self) -> bool:
        """Rewrite the file, or the tables, without the deleted data in their free space.

        Nobody can write meanwhile: some seconds per gigabyte.

        Returns
        -------
        bool
            True if no deleted data is left.
        """
        with self._turn():
            return compact(self.engine)

    def close(self) -> None:
        """Finish the waiting units of work, then close the connections.

        From then on, and for reads that wait for a thread, `LedgerClosed` is raised.
        """
        self._closed = True
        for loop in list(self._gathered):
            self._write_gathered(loop, at_end=True)
        self._group_commit.close()
        self._readers.shutdown(cancel_futures=True)
        if self._unwaiting is not None:
            self._unwaiting.close()
        self._reads.close()
        self.engine.dispose()

    async def _in_thread(self, read: Callable[[Work[T]], T], work: Work[T]) -> T:
        """Read in one of the threads."""
        if self._closed:
            raise LedgerClosed
        future = self._readers.submit(read, work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._closed:  # the read waited for a thread and was dropped
                raise LedgerClosed from None
            raise

    def _new_queue(self) -> WriterQueue | None:
        return WriterQueue(self._file) if self._file else None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the turn of this process to write, beside the group commit."""
        queue = self._new_queue()
        if queue is None:
            yield
            return
        with closing(queue), queue.turn(databases.BUSY_MS / 1000):
            yield

    def _write_gathered(self, loop: asyncio.AbstractEventLoop, at_end: bool = False) -> None:
        gathered = self._gathered.pop(loop, None)
        if gathered is None:  # `close` has queued them
            return
        # `close` may be called by another thread than the loop's own.
        brief = gathered.brief and not at_end
        write = self._group_commit.run_or_queue if brief else self._group_commit.queue
        try:
            write(gathered.units)
        except LedgerClosed as closed:
            set_results([(unit.waiting, None, closed) for unit in gathered.units])


def _overloaded() -> Overloaded:
    return Overloaded(
        f"{MAX_WAITING:,} writes wait for the ledger; this one was not begun.",
        expected="fewer at a time",
        remedy="Send the same again in a second.",
    )


@dataclass
class _Gathered:
    """The units of work of one turn of an event loop; ``brief`` if all of them are."""

    units: list[Unit] = field(default_factory=list)
    brief: bool = True


def _create(connection: sa.Connection, url: str) -> None:
    """Create the missing tables; refuse a ledger of another schema."""
    there = sa.inspect(connection).has_table(tables.meta.name)
    if there:
        migrations.require_current_schema(tables.get_meta(connection, "schema"), url)
    databases.check_database(connection, url)
    # One query; `create_all` would ask for each table by itself, most of the time of an opening.
    names = {*sa.inspect(connection).get_table_names()}
    if missing := [one for one in tables.metadata.tables.values() if one.name not in names]:
        tables.metadata.create_all(connection, missing, checkfirst=False)
    tables.insert_new(connection, tables.meta, [{"key": "schema", "value": tables.SCHEMA}])
    for name, secret in (("salt", secrets.token_hex(32)), (tables.DRAW_SECRET, new_draw_secret())):
        tables.insert_new(connection, tables.meta, [{"key": name, "value": secret}])  # if missing


def new_draw_secret() -> str:
    """Make the secret that a ledger mixes into its draws: 64 hexadecimal digits."""
    return secrets.token_hex(32)
