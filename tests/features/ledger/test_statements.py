"""Statements that go past SQLAlchemy say, and refuse, the same as those that do not."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.statements import (
    Statement,
    as_json,
    execute_text,
    list_parameters,
    list_values,
    pairs_of,
    texts_of,
)

EVENTS = tables.events.c
pytestmark = pytest.mark.databases("sqlite", "postgresql")


def row(number, at, **more):
    return {
        "event_id": f"e{number}",
        "customer_id": "ann",
        "subject": "ann",
        "type": "visit",
        "occurred_at": at,
        "channel": "app",
        "properties": '{"said": "50 % off: \\u00e9"}',
        "received_at": at,
        **more,
    }


@pytest.fixture
def filled(ledger, now):
    rows = [row(1, now), row(2, now, type="order"), row(3, now, customer_id="bob")]
    ledger.write_now(lambda connection: tables.insert_new(connection, tables.events, rows))
    return ledger


def test_rows_are_those_of_sqlalchemy_with_times_as_whole_numbers(filled, now):
    query = sa.select(EVENTS.event_id, EVENTS.occurred_at, EVENTS.properties)
    query = query.where(EVENTS.customer_id == sa.bindparam("who")).order_by(EVENTS.event_id)
    asked = {"who": "ann"}
    plain = filled.read(lambda connection: connection.execute(query, asked).all())
    rows = filled.read(lambda connection: Statement(query).rows(connection, asked))
    assert rows == [(name, tables.micros(at), said) for name, at, said in plain]
    assert [name for name, *_ in rows] == ["e1", "e2"]


def test_one_of_some_texts_is_asked_for_by_number(filled):
    kinds = EVENTS.type.in_(list_parameters("kind", 2))
    asked = Statement(sa.select(EVENTS.event_id).where(kinds).order_by(EVENTS.event_id))
    values = list_values("kind", ["order", "call"])
    assert filled.read_autocommit(lambda connection: asked.rows(connection, values)) == [("e2",)]


def test_the_first_row_or_none(filled):
    asked = Statement(sa.select(EVENTS.event_id).where(EVENTS.type == sa.bindparam("kind")))
    assert filled.read_autocommit(
        lambda connection: asked.first(connection, {"kind": "order"})
    ) == ("e2",)
    assert (
        filled.read_autocommit(lambda connection: asked.first(connection, {"kind": "call"})) is None
    )


def test_an_insert_keeps_each_type_of_column_as_sqlalchemy_would(ledger, now):
    kept = {
        "customer_id": "ann",
        "state": b"\x00\xff",
        "last_at": now,
        "last_event_id": None,
        "online": False,
        "profile_online": True,
        "restated_at": None,
        "generation": 3,
        "problem": None,
    }
    insert = Statement(tables.journey_states.insert(), tuple(kept))
    assert ledger.write_now(lambda connection: insert.count(connection, kept)) == 1
    query = sa.select(tables.journey_states)
    [found] = ledger.read(lambda connection: connection.execute(query).all())
    assert {**found._mapping, "state": bytes(found.state)} == kept


def test_what_the_database_refuses_is_raised_as_by_sqlalchemy_without_the_values(filled, now):
    again = row(1, now)
    insert = Statement(tables.events.insert(), tuple(again))
    with pytest.raises(sa.exc.IntegrityError) as caught:
        filled.write_now(lambda connection: insert.run(connection, again))
    assert "50 % off" not in str(caught.value)
    assert not caught.value.connection_invalidated
    assert filled.read(lambda c: len(c.execute(sa.select(tables.events)).all())) == 3


@pytest.mark.parametrize("wrong", [{}, {"kind": "order"}])
def test_a_value_that_is_missing_is_a_statement_error(filled, wrong, now):
    at = sa.bindparam("at", type_=tables.UtcMicros)
    asked = Statement(sa.select(EVENTS.event_id).where(EVENTS.occurred_at == at))
    with pytest.raises(sa.exc.StatementError, match="at"):
        filled.read_autocommit(lambda connection: asked.rows(connection, wrong))


def test_a_text_that_is_no_statement_is_a_database_error(ledger):
    with pytest.raises(sa.exc.DBAPIError, match="SELEKT"), ledger.engine.begin() as connection:
        execute_text(connection, "SELEKT 1")


def test_many_rows_are_written_with_each_type_of_column_converted(ledger, now):
    rows = [row(number, now) for number in range(3)]
    insert = Statement(tables.events.insert(), tuple(rows[0]))
    assert ledger.write_now(lambda connection: insert.run_many(connection, rows)) == 3
    query = sa.select(tables.events).order_by(EVENTS.event_id)
    found = ledger.read(lambda connection: connection.execute(query).all())
    assert [dict(one._mapping) for one in found] == rows


def test_no_rows_are_written_by_no_statement(ledger):
    insert = Statement(tables.events.insert(), tuple(row(1, None)))
    assert ledger.write_now(lambda connection: insert.run_many(connection, [])) == 0


def test_many_rows_of_which_one_cannot_be_kept_are_refused(ledger, now):
    insert = Statement(tables.events.insert(), tuple(row(1, now)))
    for wrong, error in (
        (row(2, now.replace(tzinfo=None)), sa.exc.StatementError),
        (row(1, now), sa.exc.IntegrityError),
    ):
        rows = [row(1, now), wrong]
        with pytest.raises(error) as raised:
            ledger.write_now(lambda connection, rows=rows: insert.run_many(connection, rows))
        assert "50 %" not in str(raised.value)
    assert ledger.read(lambda c: c.execute(sa.select(EVENTS.event_id)).all()) == []


@pytest.mark.parametrize("number", [0, 1, 40_000])
def test_a_list_of_any_length_is_one_parameter(filled, number):
    names = texts_of("names")
    asked = Statement(
        sa.select(EVENTS.event_id)
        .where(EVENTS.event_id.in_(sa.select(names.c.value)))
        .order_by(EVENTS.event_id)
    )
    given = as_json([*(f'"{n}\\é' for n in range(number)), "e3", "e1", "e1"])
    assert filled.read(lambda c: asked.rows(c, {"names": given})) == [("e1",), ("e3",)]


def test_rows_are_read_in_batches(filled):
    asked = Statement(sa.select(EVENTS.event_id).order_by(EVENTS.event_id))
    found = filled.read(lambda c: list(asked.batches(c, {}, 2)))
    assert found == [[("e1",), ("e2",)], [("e3",)]]


def test_many_rows_of_one_value_and_with_a_value_of_the_statement_itself(filled):
    mine = EVENTS.event_id == sa.bindparam("name", type_=sa.Text)
    change = Statement(sa.update(tables.events).where(mine).values(type="call"))
    delete = Statement(sa.delete(tables.events).where(mine))
    names = [{"name": name} for name in ("e1", "e3", "e9")]
    assert filled.write_now(lambda c: change.run_many(c, names)) == 2
    kinds = sa.select(EVENTS.type).order_by(EVENTS.event_id)
    assert filled.read(lambda c: c.execute(kinds).scalars().all()) == ["call", "order", "call"]
    assert filled.write_now(lambda c: delete.run_many(c, names)) == 2
    assert filled.read(lambda c: c.execute(kinds).scalars().all()) == ["order"]


def test_pairs_are_one_parameter(filled):
    pairs = pairs_of("pairs")
    asked = Statement(
        sa.select(EVENTS.event_id).where(
            sa.tuple_(EVENTS.customer_id, EVENTS.event_id).in_(
                sa.select(pairs.c.one, pairs.c.other)
            )
        )
    )
    given = as_json([("ann", "e1"), ("ann", "e3"), ("bob", "e2")])
    assert filled.read(lambda c: asked.rows(c, {"pairs": given})) == [("e1",)]


def test_a_limit_in_the_statement_needs_no_value(filled):
    asked = Statement(sa.select(EVENTS.event_id).order_by(EVENTS.event_id).limit(2))
    assert filled.read(lambda c: asked.rows(c, {})) == [("e1",), ("e2",)]
