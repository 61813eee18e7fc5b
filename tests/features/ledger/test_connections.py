"""Connections rest between transactions; none of what was done on one is left for the next."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.connections import MAX_IDLE, Connections
from features.ledger.statements import execute_text

COUNT = sa.select(sa.func.count()).select_from(tables.meta)


@pytest.fixture
def engine(ledger):
    return ledger.engine


def connected(engine):
    """A list that grows with each connection taken from the pool."""
    taken = []
    sa.event.listen(engine, "checkout", lambda *which: taken.append(which))
    return taken


def test_transactions_one_after_the_other_share_a_connection(engine):
    taken, own = connected(engine), Connections(engine, read_only=False)
    with own.transaction() as first:
        tables.set_meta(first, "a", "x")
    with own.transaction() as second:
        assert tables.get_meta(second, "a") == "x"
    assert len(taken) == 1
    own.close()


def test_what_raises_is_rolled_back_and_its_connection_does_not_rest(engine):
    taken, own = connected(engine), Connections(engine, read_only=False)
    with pytest.raises(ZeroDivisionError), own.transaction() as connection:
        tables.set_meta(connection, "a", "x")
        1 / 0  # noqa: B018
    with own.transaction() as connection:
        assert tables.get_meta(connection, "a") is None
    assert len(taken) == 2
    own.close()


def test_of_many_at_once_only_some_rest(engine):
    own, gate = Connections(engine, read_only=True), threading.Barrier(MAX_IDLE + 3)

    def read():
        with own.transaction() as connection:
            connection.execute(COUNT)
            gate.wait(10)

    threads = [threading.Thread(target=read) for _ in range(MAX_IDLE + 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.pool.checkedout() == MAX_IDLE
    own.close()
    assert engine.pool.checkedout() == 0


def test_a_glance_leaves_no_transaction_open_behind_it(engine):
    own = Connections(engine, read_only=True)
    assert own.without_transaction(lambda connection: connection.execute(COUNT).scalar_one()) == 3
    with engine.begin() as other:
        tables.set_meta(other, "a", "x")
    # Were the first look still open, this one would see its picture of before.
    assert own.without_transaction(lambda connection: connection.execute(COUNT).scalar_one()) == 4
    own.close()


@pytest.mark.databases("sqlite")
def test_a_connection_that_rests_holds_up_no_writer(engine):
    own = Connections(engine, read_only=False)
    with own.transaction() as connection:
        tables.set_meta(connection, "a", "x")
    with engine.connect() as other:
        execute_text(other, "PRAGMA busy_timeout=0")  # or it would wait for half a minute
        with other.begin():
            tables.set_meta(other, "b", "x")
    own.close()


@pytest.mark.databases("postgresql")
def test_one_that_was_cut_while_it_rested_is_not_noticed_at_a_glance(engine, ledger, postgres):
    look = Connections(engine, read_only=True)
    seen = look.without_transaction(lambda connection: tables.get_meta(connection, "schema"))
    with postgres.connect() as admin:
        name = sa.make_url(ledger.url).database
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        assert admin.execute(ended, (name,)).fetchall()
    assert look.without_transaction(lambda c: tables.get_meta(c, "schema")) == seen
    look.close()
