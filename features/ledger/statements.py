"""Statements of the hot path: put together by SQLAlchemy once, then run by the driver itself.

SQLAlchemy takes ten times as long to hand a statement to the driver and to wrap up its rows as
SQLite does to answer it; a decision asks seven times. Errors are SQLAlchemy's nevertheless, so
that all who catch them need not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

Row = tuple[Any, ...]
KEYS_PER_QUERY = 10_000  # databases take 32,766 variables in one statement, or 65,535


class _Ready(NamedTuple):
    """A statement in the words of one database."""

    text: str
    positions: tuple[str, ...] | None  # of its parameters; None where they go by name
    turned: tuple[tuple[str, Callable[[Any], Any]], ...]  # what a value becomes for the driver

    def given(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver takes them."""
        if self.turned:
            values = {**values, **{name: turn(values[name]) for name, turn in self.turned}}
        if self.positions is None:
            return values
        return [values[name] for name in self.positions]


class Statement:
    """A statement of SQLAlchemy that takes its values by name.

    Rows are as the driver gives them: a `UtcMicros` is a whole number there.

    Parameters
    ----------
    made
        Whole as it is: without parameters that expand.
    columns
        Of an insert: those that each row has.
    """

    def __init__(self, made: sa.Executable, columns: tuple[str, ...] | None = None) -> None:
        self._made: Any = made
        self._columns = columns
        self._ready: dict[str, _Ready] = {}

    def rows(self, connection: sa.Connection, values: Mapping[str, Any]) -> list[Row]:
        """All rows of the answer."""
        found: list[Row] = self._run(connection, values).fetchall()
        return found

    def first(self, connection: sa.Connection, values: Mapping[str, Any]) -> Row | None:
        """Its first row; None if there is none."""
        found: Row | None = self._run(connection, values).fetchone()
        return found

    def run(self, connection: sa.Connection, values: Mapping[str, Any]) -> None:
        """For what has no answer."""
        self._run(connection, values)

    def count(self, connection: sa.Connection, values: Mapping[str, Any]) -> int:
        """How many rows it changed."""
        changed: int = self._run(connection, values).rowcount
        return changed

    def _run(self, connection: sa.Connection, values: Mapping[str, Any]) -> Any:
        ready = self._ready.get(connection.dialect.name) or self._prepared(connection.dialect)
        try:
            given = ready.given(values)
        except Exception as error:  # a value that is missing, or of a type that is not kept
            raise sa.exc.StatementError(
                repr(error), ready.text, None, error, hide_parameters=True
            ) from error
        return say(connection, ready.text, given)

    def _prepared(self, dialect: sa.Dialect) -> _Ready:
        made = self._made.compile(dialect=dialect, column_keys=self._columns)
        turned = []
        for bound, name in made.bind_names.items():
            turn = bound.type.dialect_impl(dialect).bind_processor(dialect)
            if turn is not None:
                turned.append((name, turn))
        positions = tuple(made.positiontup) if made.positional else None
        ready = _Ready(str(made), positions, tuple(turned))
        self._ready[dialect.name] = ready
        return ready


def list_parameters(name: str, count: int) -> list[sa.BindParameter[str]]:
    """Parameters for one of some texts: a statement that has them is made once for each count."""
    return [sa.bindparam(f"{name}_{number}", type_=sa.Text) for number in range(count)]


def list_values(name: str, values: Iterable[str]) -> dict[str, str]:
    """The values of `list_parameters`."""
    return {f"{name}_{number}": value for number, value in enumerate(values)}


def select_in_batches(
    connection: sa.Connection, query: sa.Select[Any], column: sa.Column[str], keys: Iterable[str]
) -> Iterator[sa.Row[Any]]:
    """Select the rows whose column is one of some keys, however many these are."""
    keys = list(keys)
    for begin in range(0, len(keys), KEYS_PER_QUERY):
        # By name: an expression with each key in it would take longer than the database does.
        some = query.where(column.in_(sa.bindparam("keys", expanding=True)))
        yield from connection.execute(some, {"keys": keys[begin : begin + KEYS_PER_QUERY]})


def say(connection: sa.Connection, text: str, values: Any = None) -> Any:
    """Have the driver run a text in its own words; its cursor.

    Raises
    ------
    sa.exc.DBAPIError
        As SQLAlchemy would of its own statements.
    """
    driver: Any = connection.connection.driver_connection
    try:
        return driver.execute(text) if values is None else driver.execute(text, values)
    except _errors(connection.dialect) as error:
        lost = connection.dialect.is_disconnect(error, driver, None)  # type: ignore[arg-type]
        wrapped = sa.exc.DBAPIError.instance(
            text,
            None,
            error,
            _errors(connection.dialect),
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=connection.dialect,
        )
        if lost:
            connection.invalidate(error)
        raise wrapped from error


@cache
def _errors(dialect: sa.Dialect) -> type[Exception]:
    """What the driver of a database raises."""
    found: type[Exception] = dialect.loaded_dbapi.Error
    return found
