"""SQLite and PostgreSQL under the ledger: the same promises, and plain words where one is down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

from features.errors import InvalidSetting, LedgerDown
from features.ledger import databases, tables
from features.ledger.ledger import Ledger
from tests.conftest import NOW, ROOT
from tests.postgres import name_of

both = pytest.mark.databases("sqlite", "postgresql")
on_postgresql = pytest.mark.databases("postgresql")

NOBODY_THERE = "postgresql+psycopg://nba:secret@127.0.0.1:1/nba"
WORDS = ["Z", "a", "B", "b", "_", "é", "z", "1", "ä", "~", "a b", "a-b", "ab"]


def note(key, value="x"):
    """A unit of work that notes a fact, and says how many were new."""
    return lambda connection: tables.insert_new(
        connection, tables.meta, [{"key": key, "value": value}]
    )


def noted(ledger):
    own = tables.meta.c.key.not_in(["schema", "salt", tables.DRAW_SECRET])
    query = sa.select(tables.meta.c.key).where(own).order_by(tables.meta.c.key)
    return ledger.read(lambda connection: connection.execute(query).scalars().all())


def event(number, **changed):
    row = {"event_id": f"e{number}", "customer_id": "c1", "subject": "c1", "type": "visit"}
    return row | {"occurred_at": NOW, "channel": "app", "properties": "{}"} | changed


# --- what both promise ---


@both
def test_a_reader_sees_one_moment_however_often_they_ask(ledger):
    count = sa.select(sa.func.count()).select_from(tables.meta)

    def twice(connection):
        before = connection.execute(count).scalar()
        ledger.write_now(note("meanwhile"))
        return before, connection.execute(count).scalar()

    before, after = ledger.read(twice)
    assert before == after
    assert noted(ledger) == ["meanwhile"]


@both
def test_rows_that_are_streamed_are_of_one_moment(ledger):
    rows = [event(number) for number in range(10)]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, rows))
    query = sa.select(tables.events.c.event_id).order_by(tables.events.c.event_id)
    found = ledger.stream(query, rows=3)
    assert next(found).event_id == "e0"
    ledger.write_now(lambda c: c.execute(sa.delete(tables.events)))
    assert [row.event_id for row in found] == [f"e{number}" for number in range(1, 10)]
    assert list(ledger.stream(query, rows=3)) == []


@both
def test_texts_are_compared_byte_by_byte_whatever_the_language_of_the_database(ledger):
    rows = [event(n, event_id=word, customer_id=word) for n, word in enumerate(WORDS)]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, rows))
    column = tables.events.c.customer_id
    in_order = sa.select(column).order_by(column)
    between = in_order.where(column >= "B", column <= "a-b")
    found = ledger.read(lambda c: c.execute(in_order).scalars().all())
    assert found == sorted(WORDS) != sorted(WORDS, key=str.lower)
    assert ledger.read(lambda c: c.execute(between).scalars().all()) == [
        word for word in sorted(WORDS) if "B" <= word <= "a-b"
    ]


@both
def test_a_number_that_was_given_is_not_given_again(ledger):
    insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
    row = {"base": "1", "published_at": NOW, "payload": b"\0\xff"}
    first = ledger.write_now(lambda c: c.execute(insert, row).scalar_one())
    ledger.write_now(lambda c: c.execute(sa.delete(tables.snapshots)))
    assert ledger.write_now(lambda c: c.execute(insert, row).scalar_one()) > first
    [payload] = ledger.read(lambda c: c.execute(sa.select(tables.snapshots.c.payload)).scalars())
    assert payload == b"\0\xff"


COUNT_UP = """
import sys
from features.ledger import tables
from features.ledger.ledger import Ledger

def up(connection):
    value = int(tables.get_meta(connection, "n") or 0) + 1
    tables.set_meta(connection, "n", str(value))

ledger = Ledger(sys.argv[1])
for _ in range(100):
    ledger.write_now(up)
ledger.close()
"""


@pytest.mark.process
@both
def test_two_processes_that_open_a_ledger_and_count_up_in_it_lose_nothing(ledger_url):
    command = [sys.executable, "-c", COUNT_UP, ledger_url]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1].decode() for process in started] == ["", ""]
    ledger = Ledger(ledger_url)
    assert ledger.read(lambda connection: tables.get_meta(connection, "n")) == "200"
    ledger.close()


@both
def test_an_error_does_not_tell_what_was_being_written(ledger):
    row = event(1, customer_id="anna", type=None)
    with pytest.raises(sa.exc.IntegrityError) as caught:
        ledger.write_now(lambda c: c.execute(tables.events.insert(), row))
    assert "hide_parameters" in str(caught.value)
    assert "[parameters: {" not in str(caught.value)


# --- PostgreSQL alone ---


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_writer_sees_what_was_written_before_its_turn_whatever_the_database_is_set_to(
    postgres, postgres_url, level
):
    name = name_of(postgres_url)
    with postgres.connect(name) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    ledgers = [Ledger(postgres_url) for _ in range(2)]

    def up(connection):
        value = int(tables.get_meta(connection, "n") or 0) + 1
        tables.set_meta(connection, "n", str(value))

    def many(ledger):
        for _ in range(25):
            ledger.write_now(up)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(many, ledgers))
    assert ledgers[0].read(lambda connection: tables.get_meta(connection, "n")) == "50"
    for ledger in ledgers:
        ledger.close()


@pytest.mark.parametrize(("set_to", "used"), [("off", "on"), ("remote_apply", "remote_apply")])
def test_an_answer_is_on_disk_whatever_the_database_is_set_to(postgres, postgres_url, set_to, used):
    name = name_of(postgres_url)
    with postgres.connect(name) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {set_to}")
    ledger = Ledger(postgres_url)
    shown = sa.text("SHOW synchronous_commit")
    assert ledger.write_now(lambda c: c.execute(shown).scalar()) == used
    ledger.close()


@on_postgresql
def test_a_unit_that_swallows_a_failed_statement_is_told_that_nothing_was_kept(ledger):
    def swallow(connection):
        note("half")(connection)
        try:
            connection.execute(sa.text("SELECT 1 / 0"))
        except sa.exc.DBAPIError:
            return "fine"

    with pytest.raises(RuntimeError, match="went on after a statement that failed"):
        ledger.write_now(swallow)
    ledger.write_now(note("whole"))
    assert noted(ledger) == ["whole"]


@on_postgresql
def test_a_writer_who_never_gets_a_turn_gives_up_and_the_next_one_does_not(
    ledger_url, postgres, monkeypatch
):
    monkeypatch.setattr(databases, "BUSY_MS", 100)
    ledger = Ledger(ledger_url)
    with postgres.connect(name_of(ledger_url)) as other:
        other.execute(f"SELECT pg_advisory_lock({databases.WRITER_LOCK})")
        with pytest.raises(LedgerDown, match=r"cannot be used \(LockNotAvailable\)"):
            ledger.write_now(note("late"))
        assert noted(ledger) == []  # readers are not held up
    assert ledger.write_now(note("in time")) == 1
    ledger.close()


def test_a_database_of_another_encoding_is_refused_with_the_remedy(postgres):
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    with pytest.raises(InvalidSetting, match=r"its encoding is LATIN1\. Expected UTF8\. Create it"):
        Ledger(postgres.url("latin"))


def test_who_may_not_write_is_told_so(postgres, postgres_url):
    name = name_of(postgres_url)
    with postgres.connect(name) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(LedgerDown, match="cannot be opened: .*read-only transaction"):
        Ledger(postgres_url)


# --- one that is down ---


def test_a_database_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(LedgerDown) as caught:
        Ledger(NOBODY_THERE)
    message = str(caught.value)
    assert message.startswith(
        "NBA_LEDGER_URL is postgresql+psycopg://nba:***@127.0.0.1:1/nba; it cannot be opened: "
    )
    assert "Expected a database that answers and lets us write. Start it, or correct" in message
    assert "secret" not in f"{message} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://nba:secret@db/nba", "mysql://nba:***@db/nba"),
        ("postgres://nba:secret@db/nba", "postgres://nba:***@db/nba"),
        ("postgresql+asyncpg://nba:secret@db/nba", "postgresql+asyncpg://nba:***@db/nba"),
        ("oracle://db/?password=secret", "oracle://db/?password=***"),
        ("db.example.org/secret", "not an address"),
        ("postgresql://nba:a@secret@db/nba", "postgresql://nba:***@db/nba. Expected"),
        ("postgresql://nba:a@secret:1@db:5432/nba", "Write '@' in a password as %40"),
    ],
)
def test_an_address_of_no_database_of_ours_is_refused_with_the_shape_of_one(url, shown):
    with pytest.raises(InvalidSetting) as caught:
        Ledger(url)
    message = str(caught.value).replace("%2A", "*")
    assert message.startswith("NBA_LEDGER_URL is")
    assert shown in message
    assert "postgresql+psycopg://USER:PASSWORD@host:5432/database" in message
    assert "secret" not in message


def test_a_ledger_has_one_file_however_it_is_addressed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    file = (tmp_path / "a.db").resolve()
    for name in ("a.db", "link/a.db", "none/../a.db"):
        assert databases.file_of(f"sqlite:///{tmp_path}/{name}") == file
    for without in (
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:a?uri=true",
        "postgresql://h/d",
    ):
        assert databases.file_of(without) is None


def test_without_its_driver_postgresql_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InvalidSetting, match=r"nba:\*\*\*@db.*pip install 'psycopg\[binary\]'"):
        Ledger("postgresql://nba:secret@db/nba")


@on_postgresql
def test_a_ledger_goes_on_after_its_database_was_started_again(ledger, postgres):
    ledger.write_now(note("before"))
    postgres.stop(signal.SIGQUIT)
    with pytest.raises(LedgerDown, match=r"The ledger cannot be used .* Try the same again"):
        ledger.read(lambda connection: tables.get_meta(connection, "before"))
    with pytest.raises(LedgerDown):
        ledger.write_now(note("while it was down"))
    assert not ledger.compact()
    postgres.start()
    assert noted(ledger) == ["before"]
    assert ledger.write_now(note("after")) == 1


def cut_all(postgres, url):
    """End all connections to a database from its own side."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    with postgres.connect() as admin:
        assert admin.execute(ended, (name_of(url),)).fetchall()


@on_postgresql
def test_connections_that_were_cut_while_nobody_used_them_are_not_noticed(ledger, postgres):
    ledger.write_now(note("before"))
    cut_all(postgres, ledger.url)
    assert noted(ledger) == ["before"]
    cut_all(postgres, ledger.url)
    assert ledger.write_now(note("after")) == 1


@on_postgresql
def test_after_a_transaction_that_was_cut_the_next_group_gets_another_connection(ledger, postgres):
    inside, go = threading.Event(), threading.Event()
    first = ledger.submit(lambda connection: (note("k")(connection), inside.set(), go.wait(10)))
    assert inside.wait(10)
    group = [ledger.submit(note(f"k{number}")) for number in range(3)]
    cut_all(postgres, ledger.url)
    go.set()
    assert isinstance(first.exception(10), LedgerDown)
    assert [future.result(10) for future in group] == [1, 1, 1]
    assert noted(ledger) == ["k0", "k1", "k2"]


@on_postgresql
def test_a_connection_that_is_cut_in_the_middle_of_a_group_fails_it_as_one(ledger, postgres):
    gate, runs = threading.Event(), []

    def cut(connection):
        with postgres.connect() as admin:
            pid = connection.connection.driver_connection.info.backend_pid
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        return note("cut")(connection)

    ledger.submit(lambda connection: gate.wait(10))
    before = ledger.submit(lambda connection: (runs.append("before"), note("before")(connection)))
    cutting = ledger.submit(cut)
    after = ledger.submit(note("after"))
    gate.set()
    for future in (before, cutting, after):
        assert isinstance(future.exception(10), LedgerDown)
    assert runs == ["before"]  # not once more alone
    assert noted(ledger) == []


def test_sqlite_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_text("a letter to somebody, and not a database at all")
    with pytest.raises(
        LedgerDown, match=r"ledger\.db; it cannot be opened: file is not a database"
    ):
        Ledger(f"sqlite:///{path}")


def test_psycopg_is_the_one_driver_and_what_the_address_says_goes_before_our_own(postgres_url):
    url = postgres_url.replace("postgresql+psycopg:", "postgresql:")
    ledger = Ledger(f"{url}&connect_timeout=17&application_name=nba")
    driver = ledger.read(lambda connection: connection.connection.driver_connection)
    assert isinstance(driver, psycopg.Connection)
    given = driver.info.get_parameters()
    assert (given["connect_timeout"], given["application_name"]) == ("17", "nba")
    assert given["tcp_user_timeout"] == str(databases.TIMEOUTS["tcp_user_timeout"])
    ledger.close()
