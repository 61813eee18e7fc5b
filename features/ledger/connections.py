"""Connections that rest between transactions.

Fetching one from SQLAlchemy's pool, and giving it back clean, takes longer than the database
needs for a small transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa

from features.ledger.databases import is_lost

T = TypeVar("T")
RESTING = 2  # of each kind at most; what is more goes back to the pool


class Connections:
    """Opens transactions; one whose connection was cut while it rested begins on another.

    Parameters
    ----------
    engine
        Made by `databases.open_database`.
    read_only
        What kind of transactions.
    """

    def __init__(self, engine: sa.Engine, read_only: bool) -> None:
        self._engine = engine
        self._read_only = read_only
        self._resting: list[sa.Connection] = []

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Committed at the end, or rolled back if something is raised.

        Reads are committed, too: at a rollback psycopg forgets the statements it has prepared.
        """
        connection, transaction = self._begun()
        try:
            with transaction:
                yield connection
        except BaseException:
            connection.close()  # the pool sees to it that nothing is left over
            raise
        self._rest(connection)

    def without_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        """What some work makes of a connection; done again if that was cut while it rested.

        Each `Statement` sees what was committed before it. What asks through SQLAlchemy begins
        a transaction, which is committed at the end.
        """
        while True:
            connection, rested = self._taken()
            try:
                answer = work(connection)
                if connection.in_transaction():
                    connection.commit()
            except BaseException as error:
                connection.close()
                if not (rested and is_lost(error)):
                    raise
            else:
                self._rest(connection)
                return answer

    def close(self) -> None:
        """Give all that rest back to the pool."""
        while self._resting:
            self._resting.pop().close()

    def _begun(self) -> tuple[sa.Connection, sa.RootTransaction]:
        while True:
            connection, rested = self._taken()
            try:
                return connection, connection.begin()
            except BaseException as error:
                connection.close()
                if not (rested and is_lost(error)):
                    raise

    def _taken(self) -> tuple[sa.Connection, bool]:
        """A connection, and whether it has rested: then it may have been cut meanwhile."""
        try:
            return self._resting.pop(), True
        except IndexError:
            connection = self._engine.connect()
            return connection.execution_options(read_only=self._read_only), False

    def _rest(self, connection: sa.Connection) -> None:
        if len(self._resting) < RESTING:
            self._resting.append(connection)
        else:
            connection.close()
