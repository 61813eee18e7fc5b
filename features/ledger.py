"""The durable memory: customers, events, decisions, outcomes, and what the learner made of them.

SQLAlchemy Core on SQLite (WAL) or PostgreSQL. Writers hand in *units of work*; one thread runs
all that wait in one transaction (group commit), because a commit costs the disk the same 0.4 ms
whether it carries one row or twenty. A unit reads and writes inside that transaction, so what it
checks still holds when it is committed. Nobody is answered before the commit. A unit may be run
twice (if a neighbour fails, the group is rolled back and repeated one by one), so it changes
nothing but the database; one that refuses with an `NbaError` does so before it writes.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from features.errors import NbaError

T = TypeVar("T")
Work = Callable[[sa.Connection], T]
Unit = tuple[Work[Any], Future[Any]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GROUP = 256  # units of work that share one commit at most
BUSY_MS = 30_000


class UtcMicros(sa.TypeDecorator[datetime]):
    """An aware UTC time, kept as whole microseconds since 1970: exact, sortable, the same in
    every database. A naive time is refused."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


def micros(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - EPOCH) // timedelta(microseconds=1)


metadata = sa.MetaData()
_TEXT = sa.Text

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", _TEXT, primary_key=True),
    sa.Column("value", _TEXT, nullable=False),
)
customers = sa.Table(
    "customers",
    metadata,
    sa.Column("customer_id", _TEXT, primary_key=True),
    sa.Column("attributes", _TEXT, nullable=False),  # JSON
)
identifiers = sa.Table(
    "identifiers",
    metadata,
    sa.Column("identifier", _TEXT, primary_key=True),  # namespace:value
    sa.Column("customer_id", _TEXT, nullable=False, index=True),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("event_id", _TEXT, primary_key=True),
    sa.Column("customer_id", _TEXT, nullable=False),
    sa.Column("type", _TEXT, nullable=False),
    sa.Column("occurred_at", UtcMicros, nullable=False),
    sa.Column("channel", _TEXT, nullable=False),
    sa.Column("properties", _TEXT, nullable=False),  # JSON
    sa.Index("events_in_order", "customer_id", "occurred_at", "event_id"),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("decision_id", _TEXT, primary_key=True),
    sa.Column("customer_id", _TEXT, nullable=False),
    sa.Column("decided_at", UtcMicros, nullable=False),
    sa.Column("channel", _TEXT, nullable=False),
    sa.Column("action_id", _TEXT, nullable=False),
    sa.Column("probability", sa.Float),  # null: imported, nobody logged it
    sa.Column("served", sa.Boolean, nullable=False),
    sa.Column("window_ends_at", UtcMicros, nullable=False),
    sa.Column("record", _TEXT),  # JSON: all that replay needs; null if imported
    sa.Column("answer", _TEXT),  # JSON as it was sent; null if imported
    sa.Index("decisions_of_customer", "customer_id", "decided_at"),
    sa.Index("decisions_by_window", "served", "window_ends_at"),
)
outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("outcome_id", _TEXT, primary_key=True),
    sa.Column("decision_id", _TEXT, nullable=False, index=True),
    sa.Column("action_id", _TEXT, nullable=False),
    sa.Column("outcome", _TEXT, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("occurred_at", UtcMicros, nullable=False),
    sa.Column("received_at", UtcMicros, nullable=False),
    sa.Column("retracts", _TEXT),
    sa.Column("learned", sa.Boolean, nullable=False),
    sa.Index("outcomes_to_learn", "learned"),
)
# What the learner has counted: one row for each decided action, revised when outcomes change.
credits = sa.Table(
    "credits",
    metadata,
    sa.Column("decision_id", _TEXT, primary_key=True),
    sa.Column("action_id", _TEXT, primary_key=True),
    sa.Column("acceptance", sa.Float, nullable=False),
)
# The learner's posterior, replaced in the transaction that marks its outcomes as learned.
learner_state = sa.Table(
    "learner_state",
    metadata,
    sa.Column("key", _TEXT, primary_key=True),
    sa.Column("base", _TEXT, nullable=False),  # bandit version it started from
    sa.Column("windows_closed_at", UtcMicros, nullable=False),
    sa.Column("posterior", sa.LargeBinary, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)
# What the workers swap in. Old ones go: a decision's record holds its own chances.
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("base", _TEXT, nullable=False),
    sa.Column("published_at", UtcMicros, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)


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
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        with self.engine.begin() as connection:
            metadata.create_all(connection)
        self._waiting: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue a unit of work; the future is done once it is committed, or it raised."""
        with self._starting:
            if self._closed:
                raise LedgerClosed("the ledger is closed; nothing can be written any more")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_groups, name="ledger")
                self._writer.daemon = True
                self._writer.start()
            future: Future[T] = Future()
            self._waiting.put((work, future))
            return future

    async def write(self, work: Work[T]) -> T:
        """Run a unit of work in the next group commit."""
        return await asyncio.wrap_future(self.submit(work))

    def write_now(self, work: Work[T]) -> T:
        """The same for callers that are not asynchronous."""
        return self.submit(work).result()

    def read(self, work: Work[T]) -> T:
        """Read in a transaction of its own; sees everything committed before."""
        with self.engine.connect().execution_options(read_only=True) as connection:
            return work(connection)

    def close(self) -> None:
        """Finish what waits, then close the files."""
        with self._starting:
            self._closed = True
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
        self.engine.dispose()

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
        answers: list[tuple[Future[Any], Any]] = []
        refusals: list[tuple[Future[Any], NbaError]] = []
        try:
            with self.engine.begin() as connection:
                for work, future in group:
                    try:
                        answers.append((future, work(connection)))
                    except NbaError as refusal:  # it has written nothing; the others go on
                        refusals.append((future, refusal))
                    except Exception as error:
                        raise _UnitFailed from error
        except _UnitFailed as failed:
            # It took the others back; apart, only that one fails. Rare, so the good case is
            # spared a savepoint for each unit.
            if len(group) == 1:
                group[0][1].set_exception(failed.__cause__)
            else:
                for unit in group:
                    self._commit([unit])
        except Exception as lost:  # no lock, no disk: nothing of the group is written
            for _, future in group:
                future.set_exception(lost)
        else:
            for future, answer in answers:
                future.set_result(answer)
            for future, reason in refusals:
                future.set_exception(reason)


def insert_new(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> int:
    """Insert the rows whose primary key is not there yet; say how many that were."""
    if not rows:
        return 0
    statement = _insert(connection, table).on_conflict_do_nothing()
    return max(connection.execute(statement, list(rows)).rowcount, 0)


def replace(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or overwrite those with the same primary key."""
    if not rows:
        return
    statement = _insert(connection, table)
    rest = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    keys = list(table.primary_key.columns)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest), list(rows))


def get_meta(connection: sa.Connection, key: str) -> str | None:
    """A fact about the ledger as a whole, such as how far its times were shifted."""
    return connection.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar()


def set_meta(connection: sa.Connection, key: str, value: str) -> None:
    """Note a fact about the ledger as a whole."""
    replace(connection, meta, [{"key": key, "value": value}])


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = sa.create_engine(parsed, pool_pre_ping=True)
        sa.event.listen(engine, "begin", _begin_postgresql)
        return engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_MS / 1000})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; Python would say it too late
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")


def _begin_postgresql(connection: sa.Connection) -> None:
    # One writer at a time, as SQLite has it: what a unit has read stays true until it commits.
    if not connection.get_execution_options().get("read_only", False):
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(20261122)")


def _begin_sqlite(connection: sa.Connection) -> None:
    # The write lock at once: a transaction that begins by reading could not be promoted later
    # when another process has written meanwhile.
    reading = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
