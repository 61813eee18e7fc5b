"""Statements that SQLAlchemy compiles once and the driver runs directly.

They serve the path of a decision. SQLAlchemy takes ten times as long to pass a statement to the
driver and to wrap its rows as SQLite takes to answer it. Errors are raised as those of SQLAlchemy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

Row = tuple[Any, ...]
KEYS_PER_QUERY = 10_000  # databases take 32,766 variables in one statement, or 65,535


class _Compiled(NamedTuple):
    """A statement in the SQL of one database."""

    text: str
    parameters: tuple[tuple[str, Callable[[Any], Any] | None], ...]  # with what converts a value
    by_position: bool
    constants: Mapping[str, Any]  # values that the clause itself holds, such as a limit

    def driver_values(self, values: Mapping[str, Any]) -> Any:
        """Convert the values for the driver."""
        if self.constants:
            values = {**self.constants, **values}
        if self.by_position:
            return [
                values[name] if to is None else to(values[name]) for name, to in self.parameters
            ]
        return {
            name: values[name] if to is None else to(values[name]) for name, to in self.parameters
        }

    def driver_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Convert the values of many rows, without a call for each row if none is converted."""
        names = [name for name, _ in self.parameters]
        if self.constants or len(names) < 2 or any(to is not None for _, to in self.parameters):
            return [self.driver_values(row) for row in rows]
        return list(map(itemgetter(*names), rows)) if self.by_position else list(rows)


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

    def batches(
        self, connection: sa.Connection, values: Mapping[str, Any], size: int
    ) -> Iterator[list[Row]]:
        """Run the statement and yield its rows, up to ``size`` at a time."""
        cursor = self._run(connection, values)
        while found := cursor.fetchmany(size):
            yield found

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

    def run_many(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run the statement for each of some rows and return the number of rows that it changed."""
        compiled = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        try:
            driver_rows = compiled.driver_rows(rows)
        except Exception as error:
            raise _not_converted(compiled.text, error) from error
        if not driver_rows:
            return 0
        cursor = _with_driver(
            connection, compiled.text, lambda driver: _execute_many(driver, compiled, driver_rows)
        )
        return max(int(cursor.rowcount), 0)

    def _run(self, connection: sa.Connection, values: Mapping[str, Any]) -> Any:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name) or self._compile(dialect)
        try:
            driver_values = compiled.driver_values(values)
        except Exception as error:  # a value that is missing, or of a type that is not kept
            raise _not_converted(compiled.text, error) from error
        return execute_text(connection, compiled.text, driver_values)

    def _compile(self, dialect: sa.Dialect) -> _Compiled:
        clause = self.clause.compile(dialect=dialect, column_keys=self._columns)
        converters = {
            name: bound.type.dialect_impl(dialect).bind_processor(dialect)
            for bound, name in clause.bind_names.items()
        }
        names = clause.positiontup if clause.positional else converters
        parameters = tuple((name, converters[name]) for name in names)
        constants = {
            name: bound.effective_value
            for bound, name in clause.bind_names.items()
            if not bound.required and name not in (self._columns or ())
        }
        compiled = _Compiled(str(clause), parameters, bool(clause.positional), constants)
        self._compiled[dialect.name] = compiled
        return compiled


def list_parameters(name: str, count: int) -> list[sa.BindParameter[str]]:
    """Make the parameters of an IN list of texts, one statement for each length of the list."""
    return [sa.bindparam(f"{name}_{number}", type_=sa.Text) for number in range(count)]


def list_values(name: str, values: Iterable[str]) -> dict[str, str]:
    """Give the values for `list_parameters`."""
    return {f"{name}_{number}": value for number, value in enumerate(values)}


class _JsonTexts(FunctionElement[Any]):
    """A table of the texts in a JSON list: a parameter for a list of any length."""

    inherit_cache = True
    name = "json_texts"


class _JsonPairs(FunctionElement[Any]):
    """A table of the pairs of texts in a JSON list of lists."""

    inherit_cache = True
    name = "json_pairs"


_COMPILED_AS = {
    (_JsonTexts, "sqlite"): "json_each({})",
    (_JsonTexts, "postgresql"): "json_array_elements_text(CAST({} AS JSON))",
    (_JsonPairs, "sqlite"): "(SELECT json_extract(value, '$[0]') AS one, "
    "json_extract(value, '$[1]') AS other FROM json_each({}))",
    (_JsonPairs, "postgresql"): "(SELECT value ->> 0 AS one, value ->> 1 AS other "
    "FROM json_array_elements(CAST({} AS JSON)))",
}
for (_element, _dialect), _text in _COMPILED_AS.items():
    compiles(_element, _dialect)(
        lambda element, compiler, _text=_text, **more: _text.format(
            compiler.process(element.clauses, **more)
        )
    )


def texts_of(name: str) -> Any:
    """Make a table with the column ``value`` from a parameter, for a list made by `as_json`.

    Its statement is the same for any number of texts, so it is compiled once.
    """
    return _JsonTexts(sa.bindparam(name, type_=sa.Text)).table_valued("value", name=name)


def pairs_of(name: str) -> Any:
    """Make a table with the columns ``one`` and ``other``, as `texts_of` does."""
    return _JsonPairs(sa.bindparam(name, type_=sa.Text)).table_valued("one", "other", name=name)


def as_json(values: Iterable[str] | Iterable[tuple[str, str]]) -> str:
    """Encode texts for `texts_of`, or pairs of texts for `pairs_of`."""
    return json.dumps(list(values), ensure_ascii=False)


def among(column: Any, keys: Iterable[str]) -> sa.ColumnElement[bool]:
    """Make the condition that a column is one of some texts, however many.

    All texts are one parameter. With a parameter for each of them, PostgreSQL takes 65,535 at most,
    and SQLite 250,000 (both count those of the whole statement).
    """
    texts = _JsonTexts(sa.literal(as_json(keys), sa.Text)).table_valued("value")
    found: sa.ColumnElement[bool] = column.in_(sa.select(texts.c.value))
    return found


def among_pairs(
    columns: tuple[Any, Any], pairs: Iterable[tuple[str, str]]
) -> sa.ColumnElement[bool]:
    """Make the condition that two columns are one of some pairs of texts, as `among` does."""
    both = _JsonPairs(sa.literal(as_json(pairs), sa.Text)).table_valued("one", "other")
    found: sa.ColumnElement[bool] = sa.tuple_(*columns).in_(sa.select(both.c.one, both.c.other))
    return found


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
    return _with_driver(
        connection,
        text,
        lambda driver: driver.execute(text) if values is None else driver.execute(text, values),
    )


def _with_driver(connection: sa.Connection, text: str, run: Callable[[Any], Any]) -> Any:
    """Call ``run`` with the driver's connection; raise its errors as SQLAlchemy does."""
    driver: Any = connection.connection.driver_connection
    try:
        return run(driver)
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


def _execute_many(driver: Any, compiled: _Compiled, rows: list[Any]) -> Any:
    cursor = driver.cursor()
    cursor.executemany(compiled.text, rows)
    return cursor


def _not_converted(text: str, error: Exception) -> sa.exc.StatementError:
    """Make the error for values that are missing, or of a type that is not kept."""
    return sa.exc.StatementError(repr(error), text, None, error, hide_parameters=True)


@cache
def _errors(dialect: sa.Dialect) -> type[Exception]:
    """Return the base class of the errors of a driver."""
    found: type[Exception] = dialect.loaded_dbapi.Error
    return found
