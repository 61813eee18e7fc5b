"""The two databases that a ledger may lie in, SQLite and PostgreSQL, made to promise the same.

One writer at a time has the whole ledger; a reader sees one picture of it, however often they
ask; what is committed is on disk. A database that does not answer is `LedgerDown`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from features.errors import InvalidSetting, LedgerDown
from features.ledger import tables
from features.ledger.statements import say

BUSY_MS = 30_000  # a writer waits that long for the others, then gives up
# A network that swallows everything is noticed after some ten seconds, not after two hours.
PATIENCE = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
CHECKPOINTS = 5  # tries to find a moment in which nobody reads
BRIEFLY_MS = 1_000  # for so long may a rewrite that waits for its turn hold others up
WRITER = 20261122  # the advisory lock of whoever writes
DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
SHAPES = "sqlite:////absolute/path.db or postgresql+psycopg://user:password@host:5432/database"


def open_database(url: str) -> sa.Engine:
    """The way to a database; nobody connects yet.

    Transactions read, with the execution option ``read_only``, or else have the write lock from
    their first moment on.

    Raises
    ------
    InvalidSetting
        If the address is of no database that we know, or its driver is not installed.
    """
    address = _address(url)
    # A log must not tell what was being written about whom.
    common: dict[str, Any] = {"hide_parameters": True}
    if address.get_backend_name() == "sqlite":
        if address.database:
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(address, connect_args={"timeout": BUSY_MS / 1000}, **common)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    # We say BEGIN ourselves, with what belongs to it, and save a round trip.
    patience = {name: value for name, value in PATIENCE.items() if name not in address.query}
    arguments = {"autocommit": True, **patience}
    try:
        engine = sa.create_engine(address, pool_pre_ping=True, connect_args=arguments, **common)
    except ImportError:
        raise InvalidSetting(
            f"NBA_LEDGER_URL is {without_password(url)}, and the driver of PostgreSQL is not "
            "installed.",
            expected="the package psycopg",
            remedy="Install it: pip install 'psycopg[binary]'.",
        ) from None
    sa.event.listen(engine, "connect", _prepare_postgresql)
    sa.event.listen(engine, "begin", _begin_postgresql)
    sa.event.listen(engine, "commit", _refuse_to_lose)
    return engine


def without_password(url: str) -> str:
    """An address without its password."""
    address = sa.make_url(url)
    if "password" in address.query:
        address = address.update_query_dict({"password": "***"})
    return address.render_as_string(hide_password=True)


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Raise `LedgerDown` for errors of which the database is guilty."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        reason = plain(error)
        raise reason from reason.__cause__


def plain(error: BaseException) -> BaseException:
    """The error for people, if the database is at fault; else the error itself."""
    down = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError)
    if not down and not is_lost(error):
        return error
    what = type(getattr(error, "orig", None) or error).__name__
    said = LedgerDown(
        f"The ledger cannot be used ({what}).",
        expected="a database that answers",
        remedy="What was acknowledged is kept. Try the same again when the database is back.",
    )
    said.__cause__ = error
    return said


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, and not only a statement."""
    return isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated


def not_opened(url: str, error: sa.exc.DBAPIError) -> LedgerDown:
    """Why a ledger could not be opened, in the words of its database."""
    said = " ".join(str(error.orig).split()).rstrip(".")
    return LedgerDown(
        f"NBA_LEDGER_URL is {without_password(url)}; it cannot be opened: {said}.",
        expected="a database that answers and lets us write",
        remedy="Start it, or correct the address.",
    )


def check_database(connection: sa.Connection, url: str) -> None:
    """Refuse a database that could not keep every text.

    Raises
    ------
    InvalidSetting
        Names its encoding.
    """
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise InvalidSetting(
            f"NBA_LEDGER_URL is {without_password(url)}; its encoding is {encoding}.",
            expected="UTF8",
            remedy="Create it anew: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0.",
        )


def compact(engine: sa.Engine, at_most: int | None) -> bool:
    """Write a database anew, see `Ledger.compact`."""
    rewrite = vacuum if engine.dialect.name == "sqlite" else _rewrite_tables
    try:
        # Outside of any transaction, which SQLAlchemy would begin.
        with contextlib.closing(engine.raw_connection()) as connection:
            connection.detach()  # for once, with a patience of its own
            return rewrite(connection.cursor(), at_most)
    except engine.dialect.loaded_dbapi.OperationalError:
        return False  # somebody reads for long; better that bytes linger than that all others wait


def vacuum(cursor: Any, at_most: int | None) -> bool:
    """Write an SQLite file anew, see `Ledger.compact`, and empty the log beside it."""
    (pages,) = cursor.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = cursor.execute("PRAGMA page_size").fetchone()
    small = at_most is None or pages * page_bytes <= at_most
    if small:
        cursor.execute("VACUUM")
    for _ in range(CHECKPOINTS):  # somebody who reads keeps the log from being emptied
        (busy, *_) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return small
    return False


def _rewrite_tables(cursor: Any, at_most: int | None) -> bool:
    """Write the tables of PostgreSQL anew; its own log and backups are not ours to change."""
    names = [table.name for table in tables.metadata.sorted_tables]
    asked = "SELECT sum(pg_total_relation_size(one::regclass)) FROM unnest(%s::text[]) AS one"
    (size,) = cursor.execute(asked, (names,)).fetchone()
    if at_most is not None and size > at_most:
        return False
    if not _outlived_readers(cursor):
        return False
    cursor.execute(f"SET lock_timeout = {BUSY_MS if at_most is None else BRIEFLY_MS}")
    cursor.execute(f"VACUUM (FULL, ANALYZE) {', '.join(names)}")
    return True


def _outlived_readers(cursor: Any) -> bool:
    """Wait until nobody is left who may still see what was deleted: that is not taken out."""
    (began,) = cursor.execute("SELECT clock_timestamp()").fetchone()
    older = (
        "SELECT count(*), pg_sleep(0.1) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %s"
    )
    counts = (cursor.execute(older, (began,)).fetchone()[0] for _ in range(CHECKPOINTS))
    return any(count == 0 for count in counts)


def _address(url: str) -> sa.URL:
    try:
        address = sa.make_url(url)
        return address.set(drivername=DRIVERS[address.drivername])
    except sa.exc.ArgumentError:
        said = "NBA_LEDGER_URL is not an address"  # which may hold a password
    except KeyError:
        said = f"NBA_LEDGER_URL is {without_password(url)}"
    raise InvalidSetting(f"{said}.", expected=SHAPES, remedy="Correct it, or unset it.")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; Python would say it too late
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    # What is forgotten must not linger in the free space of the file.
    connection.execute("PRAGMA secure_delete=ON")


def _prepare_postgresql(connection: Any, _: Any) -> None:
    connection.execute(f"SET lock_timeout = {BUSY_MS}")
    # An answer means: on disk. A role or a database may be set to promise less.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.info.pop(tables.CHANGED_STATES, None)
    # The write lock at once: a transaction that begins by reading could not be promoted later
    # when another process has written meanwhile.
    say(connection, "BEGIN" if _reads(connection) else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: sa.Connection) -> None:
    connection.info.pop(tables.CHANGED_STATES, None)
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    if not _reads(connection):
        # One writer at a time, as SQLite has it: what a unit has read stays true until it
        # commits. In this level each statement sees what was committed before it; in a higher
        # one the picture would be of the moment before we had the lock.
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER})"
    say(connection, begin)


def _reads(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("read_only", False))


def _refuse_to_lose(connection: sa.Connection) -> None:
    """PostgreSQL answers a commit with a rollback, and no error, once a statement has failed."""
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status.name == "INERROR":
        raise RuntimeError("a unit of work went on after a statement that failed")
