"""Statements that SQLAlchemy compiles once and the driver runs directly.

They serve the path of a decision. SQLAlchemy takes ten times as long to pass a statement to the
driver and to wrap its rows as SQLite takes to answer it. Errors are raised as those of SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

Row = tuple[Any, ...]
KEYS_PER_QUERY = 10_000  # databases take 32,766 variables in one statement, or 65,535


class _Compiled(NamedTuple):
    """A statement in the SQL of one database."""

    text: str
    parameters: tuple[tuple[str, Callable[[Any], Any] | None], ...]  # with what converts a value
    by_position: bool

    def driver_values(self, values: Mapping[str, Any]) -> Any:
        """Convert the values for the driver."""
        if self.by_position:
            return [
                values[name] if to is None else to(values[name]) for name, to in self.parameters
            ]
        return {
            name: values[name] if to is None else to(values[name]) for name, to in self.parameters
        }


class Statement:
    """A statement that takes its values by name.

    Rows are those of the driver: a `UtcMicros` is a whole number. ``clause`` is the statement for
    SQLAlchemy, for many rows at once.

    Parameters
    ----------
    clause
        The statement of SQLAlchemy, without expanding parameters.
    columns
        Of an insert: the columns of each row.
    """

    def __init__(self, clause: sa.Executable, columns: tuple[str, ...] | None = None) -> None:
        self.clause: Any = clause
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: sa.Connection, values: Mapping[str, Any]) -> list[Row]:
        """Run the statement and return all rows."""
        found: list[Row] = self._run(connection, values).fetchall()
        return found

    def first(self, connection: sa.Connection, values: Mapping[str, Any]) -> Row | None:
        """Run the statement and return the first row; None if there is no row."""
        found: Row | None = self._run(connection, values).fetchone()
        return found

    def run(self, connection: sa.Connection, values: Mapping[str, Any]) -> None:
        """Run a statement that returns no rows."""
        self._run(connection, values)

    def count(self, connection: sa.Connection, values: Mapping[str, Any]) -> int:
        """Run the statement and return the number of rows that it changed."""
        return int(self._run(connection, values).rowcount)

    def _run(self, connection: sa.Connection, values: Mapping[str, Any]) -> Any:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name) or self._compile(dialect)
        try:
            driver_values = compiled.driver_values(values)
        except Exception as error:  # a value that is missing, or of a type that is not kept
            raise sa.exc.StatementError(
                repr(error), compiled.text, None, error, hide_parameters=True
            ) from error
        return execute_text(connection, compiled.text, driver_values)

    def _compile(self, dialect: sa.Dialect) -> _Compiled:
        clause = self.clause.compile(dialect=dialect, column_keys=self._columns)
        converters = {
            name: bound.type.dialect_impl(dialect).bind_processor(dialect)
            for bound, name in clause.bind_names.items()
        }
        names = clause.positiontup if clause.positional else converters
        parameters = tuple((name, converters[name]) for name in names)
        compiled = _Compiled(str(clause), parameters, bool(clause.positional))
        self._compiled[dialect.name] = compiled
        return compiled


def list_parameters(name: str, count: int) -> list[sa.BindParameter[str]]:
    """Make the parameters of an IN list of texts, one statement for each length of the list."""
    return [sa.bindparam(f"{name}_{number}", type_=sa.Text) for number in range(count)]


def list_values(name: str, values: Iterable[str]) -> dict[str, str]:
    """Give the values for `list_parameters`."""
    return {f"{name}_{number}": value for number, value in enumerate(values)}


def select_in_batches(
    connection: sa.Connection, query: sa.Select[Any], column: sa.Column[str], keys: Iterable[str]
) -> Iterator[sa.Row[Any]]:
    """Select the rows whose column is one of some keys, however many these are."""
    # An expression with each key in it would take longer to compile than the database to answer.
    some = query.where(column.in_(sa.bindparam("keys", expanding=True)))
    for batch in in_batches(keys):
        yield from connection.execute(some, {"keys": batch})


def in_batches(keys: Iterable[str]) -> Iterator[list[str]]:
    """Divide keys into lists that one statement can take."""
    keys = list(keys)
    for begin in range(0, len(keys), KEYS_PER_QUERY):
        yield keys[begin : begin + KEYS_PER_QUERY]


def execute_text(connection: sa.Connection, text: str, values: Any = None) -> Any:
    """Run a text of SQL with the driver and return the cursor.

    Raises
    ------
    sa.exc.DBAPIError
        The error that SQLAlchemy would raise for its own statements.
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
    """Return the base class of the errors of a driver."""
    found: type[Exception] = dialect.loaded_dbapi.Error
    return found
