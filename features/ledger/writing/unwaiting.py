"""Brief reads and transactions on one SQLite connection that never waits for a lock.

A decision runs on an event loop, which must not wait for another writer. It reads, computes, and
then writes on the same connection. If no version changed meanwhile, what was read still holds.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.ledger.connections import commit_begun
from features.ledger.statements import execute_text
from features.ledger.tables import FOLDED_EVENTS
from features.ledger.writing.writer_queue import WriterQueue

PRIMARY_CODE = 0xFF  # the bits of an error code of SQLite that say what kind of error it is


class Version(NamedTuple):
    """The state of the ledger as one connection sees it, see `version_of`."""

    connection: Any
    changes_of_others: int
    own_changes: int


class UnwaitingConnection:
    """One connection, kept open, for brief work that does not wait for the lock (SQLite).

    Its page cache stays valid as long as no other connection commits. So whoever reads before a
    transaction should read on the connection that writes afterwards.

    Parameters
    ----------
    engine
        Made by `databases.open_database`.
    queue
        Transactions begin only if nobody waits in it.
    """

    def __init__(self, engine: sa.Engine, queue: WriterQueue | None = None) -> None:
        self._engine = engine
        self._queue = queue
        self._connection: sa.Connection | None = None
        self._lock = threading.Lock()  # one thread at a time

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection | None]:
        """Open a transaction; yield None if another thread or writer is in the way."""
        with self._taken() as connection:
            if connection is None or not self._lock_at_once(connection):
                yield None
                return
            try:
                yield connection
                if not commit_begun(connection):  # only `Statement`s were run
                    execute_text(connection, "COMMIT")
            except BaseException:
                self._discard()  # rolls back, before the next writer's turn
                raise
            finally:
                if self._queue is not None:
                    self._queue.leave()

    @contextmanager
    def autocommit(self) -> Iterator[sa.Connection | None]:
        """Lend the connection without a transaction; yield None if another thread has it."""
        with self._taken() as connection:
            yield connection
            if connection is not None:
                commit_begun(connection)

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._lock:
            self._discard()
            if self._queue is not None:
                self._queue.close()

    def _lock_at_once(self, connection: sa.Connection) -> bool:
        if self._queue is None:
            return lock_at_once(connection)
        locked = False
        try:
            locked = self._queue.enter_at_once() and lock_at_once(connection)
        finally:
            if not locked:
                self._queue.leave()
        return locked

    @contextmanager
    def _taken(self) -> Iterator[sa.Connection | None]:
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            self._connection = self._connection or self._connect()
            yield self._connection
        except BaseException:
            if _in_transaction(self._connection):
                self._discard()  # the database rolls back
            raise
        finally:
            self._lock.release()

    def _connect(self) -> sa.Connection:
        # To write, `lock_at_once` has to be called. A query through SQLAlchemy begins by reading.
        connection = self._engine.connect().execution_options(read_only=True)
        execute_text(connection, "PRAGMA busy_timeout=0")
        return connection

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # the pool must not lend a connection that does not wait
            connection.close()


def lock_at_once(connection: sa.Connection) -> bool:
    """Begin a transaction with the lock of an SQLite ledger; False if another writer has it.

    The connection must have a busy timeout of 0.
    """
    try:
        execute_text(connection, "BEGIN IMMEDIATE")
    except sa.exc.OperationalError as error:
        if is_busy(error):
            return False
        raise
    connection.info.pop(FOLDED_EVENTS, None)
    return True


def _in_transaction(connection: sa.Connection | None) -> bool:
    if connection is None:
        return False
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction or connection.in_transaction())


def is_busy(error: BaseException) -> bool:
    """Return True if SQLite has refused because another connection holds a lock."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return bool(code & PRIMARY_CODE == sqlite3.SQLITE_BUSY)


@contextmanager
def suppressing_busy() -> Iterator[None]:
    """Go on after the block if SQLite refuses because another connection holds a lock."""
    try:
        yield
    except sa.exc.OperationalError as error:
        if not is_busy(error):
            raise


def version_of(connection: sa.Connection) -> Version | None:
    """Return the version of the ledger that a connection sees; None for PostgreSQL.

    If it is the same at two times, nothing was committed between them, so that a query has the
    same answer at both. It is only comparable with versions of the same connection.
    """
    if connection.dialect.name != "sqlite":
        return None
    # The first number counts the commits of other connections, the second the rows changed by
    # this one.
    (others,) = execute_text(connection, "PRAGMA data_version").fetchone()
    driver: Any = connection.connection.driver_connection
    return Version(driver, others, driver.total_changes)
