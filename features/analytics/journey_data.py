"""Journeys and steps, opened for queries: one DuckDB connection over the columns.

The views `journeys` and `steps` have the columns of `tables`. A delta of the files replaces the
rows of its customers in the base.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.analytics.journey_files import FilePair
from features.analytics.nodes import MapNodes
from features.analytics.stored_columns import journeys_sql, steps_sql
from features.analytics.tables import steps_schema
from features.business.domain import Domain

if TYPE_CHECKING:
    import duckdb

MEMORY = "1500MB"
_AGAIN_S = 0.05  # between two interrupts: one that comes just before a query has no effect


class JourneyData:
    """The journeys of a business as of one moment; close it after use.

    Attributes
    ----------
    domain : Domain
    nodes : MapNodes
        The maps, and the numbers of their nodes.
    as_of_us : int
        The moment up to which all is counted, microseconds since 1970.
    version : int
        Number of the state of the data; it rises with each change.
    erased : int
        Customers who were erased since, of data as they were known on a past day.
    zone : str
        The time zone in which a day begins and ends for views; who opens the data may change it.
    """

    def __init__(
        self,
        domain: Domain,
        connection: duckdb.DuckDBPyConnection,
        as_of_us: int,
        version: int = 0,
        erased: int = 0,
    ) -> None:
        self.domain = domain
        self.nodes = MapNodes(domain)
        self.as_of_us, self.version, self.erased = as_of_us, version, erased
        self._connection = connection
        self._late = False
        self.zone = "UTC"

    @classmethod
    def of_tables(
        cls, domain: Domain, journeys: pa.Table, steps: pa.Table, as_of_us: int, version: int = 0
    ) -> JourneyData:
        """Open tables that are in memory."""
        connection = connect()
        connection.register("journeys", journeys)
        connection.register("steps", steps)
        return cls(domain, connection, as_of_us, version)

    @classmethod
    def of_files(
        cls,
        domain: Domain,
        base: Sequence[tuple[Path, Path]],
        deltas: Sequence[tuple[Path, Path]],
        as_of_us: int,
        version: int,
        erased: int = 0,
    ) -> JourneyData:
        """Open pairs of files, journeys and steps; of a customer the last file counts.

        Parameters
        ----------
        base
            Whole customers in each pair, and each customer in one of them.
        deltas
            In their order; see `journey_files`.
        """
        connection = connect()
        pairs = [FilePair(*one) for one in deltas]
        last: dict[str, int] = {}
        for number, pair in enumerate(pairs):
            last |= dict.fromkeys(pq.read_table(pair.customers)["customer_id"].to_pylist(), number)
        replaced = pa.table(
            {
                "customer_id": pa.array([*last], pa.string()),
                "last": pa.array([*last.values()], "i4"),
            }
        )
        connection.register("replaced", replaced)
        for place, name in enumerate(("stored_journeys", "stored_steps")):
            files = [str(one[place]) for one in base]
            texts = [f"SELECT * FROM read_parquet({files!r})"]
            if last:
                texts[0] += " WHERE customer_id NOT IN (SELECT customer_id FROM replaced)"
            texts += [
                f"SELECT * FROM read_parquet('{pair[place]}') WHERE customer_id IN"
                f" (SELECT customer_id FROM replaced WHERE last = {number})"
                for number, pair in enumerate(pairs)
            ]
            connection.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(texts)}")
        steps = steps_sql(steps_schema(domain), "stored_steps")
        connection.execute(f"CREATE VIEW steps AS {steps}")
        connection.execute(f"CREATE VIEW journeys AS {journeys_sql('stored_journeys')}")
        return cls(domain, connection, as_of_us, version, erased)

    def rows(
        self, sql: str, parameters: Sequence[Any] = (), computed: pa.Table | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows.

        Parameters
        ----------
        computed
            A table that the query may read by the name ``computed``.
        """
        with self._reading(computed):
            return self._query.execute(sql, list(parameters)).fetchall()

    def columns(
        self, sql: str, parameters: Sequence[Any] = (), computed: pa.Table | None = None
    ) -> dict[str, Any]:
        """Run a query and return its columns as arrays of NumPy, by name; see `rows`."""
        with self._reading(computed):
            return self._query.execute(sql, list(parameters)).fetchnumpy()

    def table(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run a query and return its columns as a table of Arrow."""
        return self._query.sql(sql, params=list(parameters)).to_arrow_table()

    @property
    def _query(self) -> duckdb.DuckDBPyConnection:
        if self._late:
            raise TimeoutError("the time for these queries is over")
        return self._connection

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Stop the query that runs after so many seconds, and begin no other one.

        Raises
        ------
        TimeoutError
            If a query was stopped, or not begun.
        """
        import duckdb  # see `connect`

        done = threading.Event()

        def watch() -> None:
            if done.wait(max(seconds, 0.0)):
                return
            self._late = True
            while not done.wait(_AGAIN_S):
                self._connection.interrupt()

        thread = threading.Thread(target=watch, name="nba-journeys-time", daemon=True)
        thread.start()
        try:
            yield
        except duckdb.InterruptException as error:
            raise TimeoutError("a query took too long") from error
        finally:
            done.set()
            thread.join()
            self._late = False

    @contextmanager
    def _reading(self, computed: pa.Table | None) -> Iterator[None]:
        if computed is None:
            yield
            return
        self._connection.register("computed", computed)
        try:
            yield
        finally:
            self._connection.unregister("computed")

    def close(self) -> None:
        """Close the connection and its files."""
        self._connection.close()

    def __enter__(self) -> JourneyData:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Open an empty database in memory that reads no other file than it is told to.

    It writes none: a file of what does not fit into memory would outlive a process that is killed,
    and no erasure would look for it.
    """
    import duckdb  # the process that starts the workers does without

    connection = duckdb.connect(
        ":memory:", config={"threads": threads, "memory_limit": MEMORY, "temp_directory": ""}
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection
