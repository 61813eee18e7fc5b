"""Gives SQLite and PostgreSQL the same guarantees for a ledger.

One writer at a time has the lock of the whole ledger. A read transaction sees one snapshot. What
is committed is on disk. If a database does not answer, `LedgerDown` is raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from features.errors import InvalidSetting, LedgerDown
from features.ledger import tables
from features.ledger.statements import execute_text
from features.masking import PLACEHOLDER, masked

BUSY_MS = 30_000  # a writer waits for the lock this long at most
NO_TURN_S = 45.0  # a thread waits for its unit to begin this long; longer than for the lock
# A network that drops all packets is noticed after about 10 s, not after 2 hours.
TIMEOUTS = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
WRITER_LOCK = 20261122  # the advisory lock of the one writer
DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
URL_FORMS = f"sqlite:////absolute/path.db or postgresql+psycopg://{PLACEHOLDER}@host:5432/database"

# The rest of such a password would be taken for the host, and told with it.
IN_PASSWORDS = "Write '@' in a password as %40, ':' as %3A and '/' as %2F."


def has_no_file(url: str) -> bool:
    """Return whether the address is of an SQLite file that does not exist yet; create nothing."""
    address = _address(url)
    file = address.database if address.get_backend_name() == "sqlite" else None
    return bool(file) and not Path(str(file)).exists()


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite address; None for a ledger in memory, or of PostgreSQL."""
    address = _address(url)
    if address.get_backend_name() != "sqlite":
        return None
    name = address.database or ":memory:"
    return None if name == ":memory:" or name.startswith("file:") else Path(name).resolve()


def open_database(url: str) -> sa.Engine:
    """Create the engine of a database, without a connection yet.

    A transaction with the execution option ``read_only`` reads. Every other transaction has the
    write lock from its first statement on.

    Raises
    ------
    InvalidSetting
        If the address is not of SQLite or PostgreSQL, or the driver is not installed.
    """
    address = _address(url)
    # Logs must not contain data of customers.
    common: dict[str, Any] = {"hide_parameters": True}
    if address.get_backend_name() == "sqlite":
        if address.database:
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(address, connect_args={"timeout": BUSY_MS / 1000}, **common)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    # `_begin_postgresql` sends BEGIN together with the lock, which saves a round trip.
    timeouts = {name: value for name, value in TIMEOUTS.items() if name not in address.query}
    arguments = {"autocommit": True, **timeouts}
    try:
        engine = sa.create_engine(address, pool_pre_ping=True, connect_args=arguments, **common)
    except ImportError:
        raise InvalidSetting(
            f"NBA_LEDGER_URL is {masked(url)}, and the driver of PostgreSQL is not installed.",
            expected="the package psycopg",
            remedy="Install it: pip install 'psycopg[binary]'.",
        ) from None
    sa.event.listen(engine, "connect", _prepare_postgresql)
    sa.event.listen(engine, "begin", _begin_postgresql)
    sa.event.listen(engine, "commit", _refuse_silent_rollback)
    return engine


@contextlib.contextmanager
def raising_ledger_down() -> Iterator[None]:
    """Raise `LedgerDown` for errors of the database."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        reason = as_ledger_down(error)
        raise reason from reason.__cause__


def as_ledger_down(error: BaseException) -> BaseException:
    """Turn an error of the database into `LedgerDown`; return any other error as it is."""
    down = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError)
    if not down and not is_lost(error):
        return error
    what = type(getattr(error, "orig", None) or error).__name__
    reason = LedgerDown(
        f"The ledger cannot be used ({what}).",
        expected="a database that answers",
        remedy="What was acknowledged is kept. Try the same again when the database is back.",
    )
    reason.__cause__ = error
    return reason


class LedgerClosed(LedgerDown):
    """Work was submitted to a ledger that was closed; nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "The server stops: the ledger is closed; nothing can be written any more.",
            expected="a server that runs",
            remedy="Send the same again in a second.",
        )


def no_turn() -> LedgerDown:
    """Make the error of a unit of work that could not begin within `NO_TURN_S`."""
    return LedgerDown(
        f"The ledger was not free within {NO_TURN_S:g} seconds.",
        expected="processes that give the lock back within milliseconds",
        remedy="Look for a process that was stopped while it wrote; then try the same again.",
    )


def is_lost(error: BaseException) -> bool:
    """Return True if the connection is lost, and not only a statement failed."""
    return isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated


def not_opened(url: str, error: sa.exc.DBAPIError) -> LedgerDown:
    """Make the error of a ledger that could not be opened, with the reason of its database."""
    reason = " ".join(str(error.orig).split()).rstrip(".")
    return LedgerDown(
        f"NBA_LEDGER_URL is {masked(url)}; it cannot be opened: {reason}.",
        expected="a database that answers and lets us write",
        remedy="Start it, or correct the address.",
    )


def check_database(connection: sa.Connection, url: str) -> None:
    """Refuse a database whose encoding cannot store every text.

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
            f"NBA_LEDGER_URL is {masked(url)}; its encoding is {encoding}.",
            expected="UTF8",
            remedy="Create it anew: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0.",
        )


def _address(url: str) -> sa.URL:
    remedy = "Correct it, or unset it."
    try:
        address = sa.make_url(url)
        if "@" not in (address.host or ""):
            return address.set(drivername=DRIVERS[address.drivername])
        happened, remedy = f"NBA_LEDGER_URL is {masked(url)}", IN_PASSWORDS
    except KeyError:
        happened = f"NBA_LEDGER_URL is {masked(url)}"
    except (sa.exc.ArgumentError, ValueError):  # of a port that is none
        happened, remedy = "NBA_LEDGER_URL is not an address", f"{remedy} {IN_PASSWORDS}"
    # Not from the error, which may hold a part of the password.
    raise InvalidSetting(f"{happened}.", expected=URL_FORMS, remedy=remedy) from None


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # `_begin_sqlite` sends BEGIN; Python would send it too late
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    # Deleted data of forgotten customers must not stay in the free pages of the file.
    connection.execute("PRAGMA secure_delete=ON")


def _prepare_postgresql(connection: Any, _: Any) -> None:
    connection.execute(f"SET lock_timeout = {BUSY_MS}")
    # Committed means on disk; a role or a database may be set to less.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.info.pop(tables.FOLDED_EVENTS, None)
    driver: Any = connection.connection.driver_connection
    if driver.in_transaction:  # by `unwaiting.lock_at_once`
        return
    # The write lock at once: a transaction that begins by reading cannot get the lock later, if
    # another process has written since.
    execute_text(connection, "BEGIN" if _reads(connection) else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: sa.Connection) -> None:
    connection.info.pop(tables.FOLDED_EVENTS, None)
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    if not _reads(connection):
        # One writer at a time, as in SQLite: what a unit of work has read stays true until it
        # commits. In this isolation level each statement sees what was committed before it. In a
        # higher level the snapshot would be from before the lock was granted.
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER_LOCK})"
    execute_text(connection, begin)


def _reads(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("read_only", False))


def _refuse_silent_rollback(connection: sa.Connection) -> None:
    """Raise if a statement has failed: PostgreSQL would roll back at COMMIT without an error."""
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status.name == "INERROR":
        raise RuntimeError("a unit of work went on after a statement that failed")
