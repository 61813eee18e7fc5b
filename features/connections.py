"""Connections that rest between transactions.

Fetching one from SQLAlchemy's pool, and giving it back clean, takes longer than the database
needs for a small transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from features.databases import is_lost

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
        if len(self._resting) < RESTING:
            self._resting.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Give all that rest back to the pool."""
        while self._resting:
            self._resting.pop().close()

    def _begun(self) -> tuple[sa.Connection, sa.RootTransaction]:
        while True:
            try:
                connection, rested = self._resting.pop(), True
            except IndexError:
                connection, rested = self._engine.connect(), False
                connection.execution_options(read_only=self._read_only)
            try:
                return connection, connection.begin()
            except BaseException as error:
                connection.close()
                if not (rested and is_lost(error)):
                    raise
