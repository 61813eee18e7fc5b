"""Rewriting a database leaves no deleted data; where somebody reads for long, it says so."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa

from features.ledger import compaction, databases, tables
from features.ledger.compaction import truncate_log
from features.ledger.ledger import Ledger
from tests.features.ledger.test_databases import event, note, on_postgresql
from tests.postgres import name_of


@pytest.fixture
def written(tmp_path):
    """A file of SQLite with something in its write-ahead log."""
    with closing(sqlite3.connect(tmp_path / "some.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE names (name)")
        yield writer


class Busy:
    """A cursor whose first checkpoints find another one at work."""

    def __init__(self, cursor, times):
        self._cursor, self._times = cursor, times

    def execute(self, statement):
        if "TRUNCATE" in statement and self._times:
            self._times -= 1
            return self._cursor.execute("SELECT 1, -1, -1")
        return self._cursor.execute(statement)


@pytest.mark.parametrize(("times", "expected"), [(0, True), (39, True), (40, False)])
def test_a_checkpoint_of_another_connection_is_waited_for(
    written, tmp_path, monkeypatch, times, expected
):
    monkeypatch.setattr(compaction, "PAUSE_S", 0.0)
    assert truncate_log(Busy(written.cursor(), times), 5) == expected
    assert (len((tmp_path / "some.db-wal").read_bytes()) == 0) == expected


def test_a_reader_who_does_not_end_is_told(written, tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "PAUSE_S", 0.0)
    monkeypatch.setattr(compaction, "PATIENCE_MS", 1)
    with closing(sqlite3.connect(tmp_path / "some.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM names").fetchall()
        written.execute("INSERT INTO names VALUES ('ann')")
        assert not compaction.vacuum(written.cursor())
        reader.execute("COMMIT")
    assert compaction.vacuum(written.cursor())


def test_a_writer_who_does_not_end_is_told(written, tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'some.db'}", connect_args={"timeout": 0.01})
    written.execute("BEGIN IMMEDIATE")
    assert not compaction.compact(engine)
    written.execute("COMMIT")
    assert compaction.compact(engine)
    engine.dispose()


def test_what_was_deleted_does_not_linger_in_the_files(postgres, postgres_url):
    ledger = Ledger(postgres_url)
    rows = [event(n, customer_id="anna-karenina", subject="anna-karenina") for n in range(50)]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, rows))
    ledger.write_now(note("erasing", "anna-karenina"))
    ledger.write_now(lambda c: c.execute(sa.delete(tables.events)))
    ledger.write_now(lambda c: c.execute(sa.delete(tables.meta).where(tables.meta.c.value > "a")))
    assert postgres.files_with(postgres_url, "anna-karenina") >= {"events", "events_pkey", "meta"}
    assert ledger.compact()
    assert postgres.files_with(postgres_url, "anna-karenina") == set()
    assert ledger.write_now(note("later")) == 1
    ledger.close()


@on_postgresql
def test_what_somebody_may_still_see_lingers_and_is_said_to(ledger, postgres):
    with postgres.connect(name_of(ledger.url)) as other, other.transaction():
        other.execute("SELECT 1")
        assert not ledger.compact()
    assert ledger.compact()


@on_postgresql
def test_who_reads_for_long_is_not_waited_for(ledger, postgres, monkeypatch):
    monkeypatch.setattr(databases, "BUSY_MS", 50)
    monkeypatch.setattr(compaction, "_wait_for_readers", lambda cursor: True)
    with postgres.connect(name_of(ledger.url)) as other, other.transaction():
        other.execute("SELECT * FROM events")
        assert not ledger.compact()
    assert ledger.write_now(note("later")) == 1
