"""Keeps idle connections between transactions, in front of SQLAlchemy's pool.

Taking a connection from the pool, and returning it clean, takes longer than the database needs for
a small transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import sqlalchemy as sa

from features.ledger.databases import is_lost
from features.ledger.writing.writer_queue import WriterQueue

T = TypeVar("T")
MAX_IDLE = 4  # connections; further ones go back to the pool


class Connections:
    """Opens transactions. If an idle connection was cut, the transaction begins on another one.

    Parameters
    ----------
    engine
        Made by `databases.open_database`.
    read_only
        The kind of transactions.
    queue
        Each transaction waits for its turn in it.
    """

    def __init__(
        self, engine: sa.Engine, read_only: bool, queue: WriterQueue | None = None
    ) -> None:
        self._engine = engine
        self._read_only = read_only
        self._queue = queue
        self._idle: list[sa.Connection] = []

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a transaction: committed at the end, rolled back if an exception is raised.

        Reads are committed, too: after a rollback psycopg drops its prepared statements.
        """
        with self._queue.turn() if self._queue else nullcontext():
            connection, transaction = self._begin()
            try:
                with transaction:
                    yield connection
            except BaseException:
                connection.close()  # the pool resets it
                raise
        self._put_back(connection)

    def without_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        """Run some work with a connection; run it again if the idle connection was cut.

        Each `Statement` sees what was committed before it. A query through SQLAlchemy begins a
        transaction, which is committed at the end.
        """
        while True:
            connection, was_idle = self._take()
            try:
                answer = work(connection)
                commit_begun(connection)
            except BaseException as error:
                connection.close()
                if not (was_idle and is_lost(error)):
                    raise
            else:
                self._put_back(connection)
                return answer

    def close(self) -> None:
        """Return all idle connections to the pool."""
        while self._idle:
            self._idle.pop().close()

    def _begin(self) -> tuple[sa.Connection, sa.RootTransaction]:
        while True:
            connection, was_idle = self._take()
            try:
                return connection, connection.begin()
            except BaseException as error:
                connection.close()
                if not (was_idle and is_lost(error)):
                    raise

    def _take(self) -> tuple[sa.Connection, bool]:
        """Take a connection; True if it was idle, so that it may have been cut."""
        try:
            return self._idle.pop(), True
        except IndexError:
            connection = self._engine.connect()
            return connection.execution_options(read_only=self._read_only), False

    def _put_back(self, connection: sa.Connection) -> None:
        if len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()


def commit_begun(connection: sa.Connection) -> bool:
    """Commit the transaction that SQLAlchemy has begun; False if it has begun none."""
    begun = connection.in_transaction()
    if begun:
        connection.commit()
    return begun
