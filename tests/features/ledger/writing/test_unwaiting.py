"""Brief work on a connection that does not wait; versions say whether anything was committed."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from features.errors import InvalidRequest
from features.ledger import tables
from features.ledger.statements import Statement, execute_text
from features.ledger.writing.unwaiting import (
    UnwaitingConnection,
    is_busy,
    lock_at_once,
    suppressing_busy,
    version_of,
)

NOTE = Statement(tables.meta.insert(), ("key", "value"))


def noted(key):
    return {"key": key, "value": "x"}


@pytest.fixture
def own(ledger):
    """A connection beside the ledger's own ones."""
    opened = UnwaitingConnection(ledger.engine)
    yield opened
    opened.close()


def version(own):
    with own.autocommit() as connection:
        return version_of(connection)


def keys(ledger):
    def read(connection):
        return connection.execute(sa.select(tables.meta.c.key)).scalars().all()

    return set(ledger.read(read)) - {"schema", "salt", tables.DRAW_SECRET}


def test_what_was_written_is_committed_at_the_end(ledger, own):
    with own.transaction() as connection:
        NOTE.run(connection, noted("a"))
        assert keys(ledger) == set()
    assert keys(ledger) == {"a"}


def test_a_unit_that_used_sqlalchemy_is_committed_too(ledger, own):
    with own.transaction() as connection:
        connection.execute(tables.meta.insert(), noted("a"))
    assert keys(ledger) == {"a"}


@pytest.mark.parametrize("write", ["driver", "sqlalchemy"])
def test_what_raises_is_rolled_back_and_the_next_transaction_begins(ledger, own, write):
    with pytest.raises(ZeroDivisionError), own.transaction() as connection:
        if write == "driver":
            NOTE.run(connection, noted("a"))
        else:
            connection.execute(tables.meta.insert(), noted("a"))
        1 / 0  # noqa: B018
    with own.transaction() as connection:
        NOTE.run(connection, noted("b"))
    assert keys(ledger) == {"b"}


def test_a_lock_of_another_writer_is_not_waited_for(ledger, own):
    with ledger.engine.begin() as other:
        tables.set_meta(other, "a", "x")
        with own.transaction() as connection:
            assert connection is None
    with own.transaction() as connection:
        NOTE.run(connection, noted("b"))
    assert keys(ledger) == {"a", "b"}


def test_a_connection_that_another_thread_uses_is_not_waited_for(own):
    inside, go = threading.Event(), threading.Event()

    def hold():
        with own.autocommit():
            inside.set()
            go.wait(10)

    holding = threading.Thread(target=hold)
    holding.start()
    assert inside.wait(10)
    with own.autocommit() as reading, own.transaction() as writing:
        assert (reading, writing) == (None, None)
    go.set()
    holding.join()
    with own.autocommit() as reading:
        assert reading is not None


def test_a_refusal_while_reading_keeps_the_connection(own):
    before = version(own)
    with pytest.raises(InvalidRequest), own.autocommit() as connection:
        raise InvalidRequest("no.", expected="yes", remedy="Say yes.")
    assert connection is not None
    assert version(own) == before


def test_reading_through_sqlalchemy_leaves_no_transaction_open(ledger, own):
    with own.autocommit() as connection:
        assert tables.get_meta(connection, "a") is None
    ledger.write_now(lambda writing: tables.set_meta(writing, "a", "x"))
    with own.autocommit() as connection:
        assert tables.get_meta(connection, "a") == "x"


def test_a_closed_connection_is_not_lent_by_the_pool(ledger, own):
    with own.transaction() as connection:
        NOTE.run(connection, noted("a"))
    own.close()
    with ledger.engine.connect() as lent:
        (timeout,) = execute_text(lent, "PRAGMA busy_timeout").fetchone()
    assert timeout > 0


def test_a_version_stays_as_long_as_nothing_is_committed(ledger, own):
    before = version(own)
    keys(ledger)
    with own.autocommit() as connection:
        tables.get_meta(connection, "schema")
    assert version(own) == before


def test_a_version_changes_with_a_commit_of_another_connection(ledger, own):
    before = version(own)
    ledger.write_now(lambda connection: tables.set_meta(connection, "a", "x"))
    assert version(own) != before


def test_a_version_changes_with_a_commit_of_its_own_connection(own):
    before = version(own)
    with own.transaction() as connection:
        assert version_of(connection) == before
        NOTE.run(connection, noted("a"))
        assert version_of(connection) != before
    assert version(own) != before


def test_each_transaction_may_fold_events_again(own):
    for _ in range(2):
        with own.transaction() as connection:
            assert tables.FOLDED_EVENTS not in connection.info
            connection.info[tables.FOLDED_EVENTS] = 5


def test_versions_of_two_connections_differ(ledger, own):
    other = UnwaitingConnection(ledger.engine)
    assert version(own) != version(other)
    other.close()


@pytest.mark.databases("postgresql")
def test_postgresql_has_no_versions(ledger):
    assert ledger.read_autocommit(version_of) is None


def test_only_a_lock_that_is_held_is_suppressed(ledger, own):
    with ledger.engine.begin() as other:
        tables.set_meta(other, "a", "x")
        with own.autocommit() as connection:
            assert not lock_at_once(connection)
            with pytest.raises(sa.exc.OperationalError) as caught:
                execute_text(connection, "BEGIN IMMEDIATE")
            assert is_busy(caught.value)
            with suppressing_busy():
                execute_text(connection, "BEGIN IMMEDIATE")
            with pytest.raises(sa.exc.OperationalError), suppressing_busy():
                execute_text(connection, "SELECT no_column FROM meta")
    assert not is_busy(ValueError("another"))
