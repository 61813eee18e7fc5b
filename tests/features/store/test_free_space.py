"""Wipes deleted rows from the free space of a database."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa

from features.ledger import compaction, tables
from features.store import free_space
from features.store.free_space import is_wiped_at_once, wipe_free_space, wipe_sqlite

NAME = b"anna-karenina"


def noted_and_deleted(ledger):
    row = {"key": "who", "value": NAME.decode()}
    ledger.write_now(lambda c: tables.insert_new(c, tables.meta, [row]))
    ledger.write_now(lambda c: c.execute(sa.delete(tables.meta).where(tables.meta.c.key == "who")))


def test_no_byte_of_a_deleted_row_stays_in_a_small_file(ledger, tmp_path):
    noted_and_deleted(ledger)
    assert NAME in (tmp_path / "ledger.db-wal").read_bytes()
    assert ledger.read(is_wiped_at_once) and wipe_free_space(ledger.engine)
    assert (tmp_path / "ledger.db-wal").read_bytes() == b""
    assert NAME not in (tmp_path / "ledger.db").read_bytes()


def test_a_larger_file_is_not_rewritten_and_its_log_is_truncated(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(free_space, "AT_ONCE", 1000)
    noted_and_deleted(ledger)
    assert not ledger.read(is_wiped_at_once)
    assert not wipe_free_space(ledger.engine, at_most=1000)
    assert (tmp_path / "ledger.db-wal").read_bytes() == b""


def test_a_reader_keeps_the_log_and_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "PAUSE_S", 0.0)
    file = tmp_path / "some.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE names (name)")
        with closing(sqlite3.connect(file, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM names").fetchall()
            writer.execute("INSERT INTO names VALUES ('ann')")
            assert not wipe_sqlite(writer.cursor(), at_most=0)
            reader.execute("COMMIT")


@pytest.mark.databases("postgresql")
def test_postgresql_uses_the_space_again_but_does_not_wipe_it(ledger):
    noted_and_deleted(ledger)
    assert not ledger.read(is_wiped_at_once)
    assert not wipe_free_space(ledger.engine)
