"""A real PostgreSQL server for tests: started from its own binaries, waited for, stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from tests.fast_mode import refuse_in_fast_mode

READY_WITHIN_S = 30.0
INSTALLED = "/usr/lib/postgresql"  # where Debian keeps what is not on the PATH
USER = "postgres"
# Its owner alone may enter the folder of the socket, so nobody is asked for a password. All that
# concerns durability is as PostgreSQL comes.
SETTINGS = {"listen_addresses": "", "max_connections": "60", "lc_messages": "C"}


@dataclass
class Postgres:
    """A server in a folder of its own, and how to talk to it."""

    binaries: Path
    folder: Path
    owner: int | None  # whom it runs as; None: us
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=count)
    used: str = ""

    def database(self) -> str:
        """The address of a new, empty database.

        Its language is not that of bytes: what has to be compared byte by byte must say so.
        """
        self.start()
        name = f"nba_{next(self.numbers)}"
        with self.connect() as connection:
            icu = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if _has_icu(connection) else ""
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {icu}")
        return self.url(name)

    def emptied(self) -> str:
        """The address of a database without rows, which a test before may have used.

        A tenth of the time that a new one takes: tables need not be made, nor files written.
        """
        self.start()
        if not self.used:
            self.used = self.database()
            return self.used
        with self.connect(name_of(self.used)) as connection:
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
            with connection.transaction():
                for (table,) in found.fetchall():
                    kept = sql.SQL("WHERE key <> 'schema'" if table == "meta" else "")
                    delete = sql.SQL("DELETE FROM {} {}").format(sql.Identifier(table), kept)
                    connection.execute(delete)
                name = "format('%I', sequencename)::regclass"
                connection.execute(f"SELECT setval({name}, 1, false) FROM pg_sequences")
        return self.used

    def url(self, name: str) -> str:
        """The URL of a database, as `NBA_LEDGER_URL` takes it."""
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def files_with(self, url: str, text: str) -> set[str]:
        """The tables and indexes of a database that have a text in their files."""
        with self.connect(name_of(url)) as connection:
            connection.execute("CHECKPOINT")
            found = connection.execute(
                "SELECT relname, pg_relation_filepath(oid) FROM pg_class "
                "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
            ).fetchall()
        files = ((name, self.folder / "data" / file) for name, file in found)
        return {name for name, file in files if text.encode() in file.read_bytes()}

    def connect(self, name: str = "postgres") -> psycopg.Connection:
        """A connection that commits each statement."""
        return psycopg.connect(host=str(self.folder), user=USER, dbname=name, autocommit=True)

    def start(self) -> None:
        """Start it and wait until it answers, unless it runs."""
        if self.process is not None:
            return
        settings = SETTINGS | {"unix_socket_directories": str(self.folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                **_as(self.owner),
            )
        end = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                time.sleep(0.02)
        said = (self.folder / "log").read_text()
        self.stop()
        raise AssertionError(f"PostgreSQL did not start. It said:\n{said}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Drop everybody's connections and stop. `SIGQUIT`: at once, as if it had crashed."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None


@contextmanager
def postgresql(binaries: Path) -> Iterator[Postgres]:
    """A server for the length of a ``with`` block; nothing of it stays."""
    refuse_in_fast_mode("PostgreSQL")
    # Not in pytest's folders: nobody else may enter them, and PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="nba-postgres-"))
    server = Postgres(binaries, folder, _somebody_else())
    try:
        if server.owner is not None:
            os.chown(folder, server.owner, -1)
        subprocess.run(
            [
                binaries / "initdb",
                "-D",
                folder / "data",
                "-U",
                USER,
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            **_as(server.owner),
        )
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def name_of(url: str) -> str:
    """The name of the database at an address."""
    return url.partition("@/")[2].partition("?")[0]


def find_binaries() -> Path | None:
    """The folder of PostgreSQL's programs, the newest if there are several; None: not installed."""
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    found = [path.parent for path in Path(INSTALLED).glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


def _somebody_else() -> int | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return next(known[name] for name in (USER, "nobody") if name in known)


def _as(owner: int | None) -> dict[str, object]:
    """Arguments of `subprocess`; in a folder that the other may enter as well."""
    rest = {} if owner is None else {"user": owner, "group": pwd.getpwuid(owner).pw_gid}
    return {"cwd": "/", **rest, **({} if owner is None else {"extra_groups": []})}


def _has_icu(connection: psycopg.Connection) -> bool:
    return connection.info.server_version >= 150_000
