"""Tests the statements that several modules use to write tables."""

from datetime import datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from features.ledger import statements
from features.ledger.tables import DRAW_SECRET, events, get_meta, insert_new, meta, set_meta, upsert

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def _note(key, value="x"):
    """A unit of work that inserts one row and says how many were new."""
    return lambda connection: insert_new(connection, meta, [{"key": key, "value": value}])


def _keys(ledger):
    """The facts that a test noted; a new ledger notes its schema and its salt."""
    own = meta.c.key.not_in(["schema", "salt", DRAW_SECRET])
    query = sa.select(meta.c.key).where(own).order_by(meta.c.key)
    return ledger.read(lambda connection: connection.execute(query).scalars().all())


def _event(at):
    return {
        "event_id": "e1",
        "customer_id": "c1",
        "subject": "c1",
        "type": "visit",
        "occurred_at": at,
        "channel": "app",
        "properties": "{}",
    }


def test_a_naive_time_is_refused_and_nothing_is_written(ledger):
    row = _event(datetime(2026, 1, 1))
    with pytest.raises(sa.exc.StatementError, match="has no time zone"):
        ledger.write_now(lambda connection: insert_new(connection, events, [row]))
    assert ledger.read(lambda connection: connection.execute(sa.select(events)).all()) == []


def test_a_time_in_the_database_is_the_time_that_was_written(ledger, now):
    at = (now + timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=9)))
    ledger.write_now(lambda connection: insert_new(connection, events, [_event(at)]))
    query = sa.select(events.c.occurred_at).where(events.c.occurred_at > now)
    [found] = ledger.read(lambda connection: connection.execute(query).scalars().all())
    assert found == at
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("keys", "new"),
    [
        ([], 0),
        (["a"], 0),
        (["b"], 1),
        (["a", "b", "c"], 2),
        (["b", "a", "c", "a"], 2),
        (["b", "b"], 1),
        (["a", "a"], 0),
    ],
)
def test_insert_new_counts_only_what_was_not_there(ledger, keys, new):
    ledger.write_now(_note("a", "first"))
    rows = [{"key": key, "value": "second"} for key in keys]
    assert ledger.write_now(lambda connection: insert_new(connection, meta, rows)) == new
    assert ledger.read(lambda connection: get_meta(connection, "a")) == "first"


def test_new_rows_are_counted_by_the_insert_itself(ledger, monkeypatch):
    said = []
    sa.event.listen(ledger.engine, "before_cursor_execute", lambda *x: said.append(x[2].split()[0]))
    run = statements._with_driver

    def with_driver(connection, text, call):
        said.append(text.split()[0])
        return run(connection, text, call)

    monkeypatch.setattr(statements, "_with_driver", with_driver)
    rows = [{"key": key, "value": "x"} for key in "abc"]
    assert ledger.write_now(lambda connection: insert_new(connection, meta, rows)) == 3
    assert [verb for verb in said if verb != "BEGIN"] == ["INSERT"]


def test_upsert_overwrites_the_row_with_the_same_key_alone(ledger):
    ledger.write_now(_note("a"))
    ledger.write_now(_note("b"))
    rows = [{"key": "a", "value": "new"}, {"key": "c", "value": "new"}]
    ledger.write_now(lambda connection: upsert(connection, meta, rows))
    found = ledger.read(lambda connection: [get_meta(connection, key) for key in "abc"])
    assert found == ["new", "x", "new"]


def test_upserting_nothing_is_no_work(ledger):
    ledger.write_now(lambda connection: upsert(connection, meta, []))
    assert _keys(ledger) == []


def test_a_fact_about_the_ledger_may_be_noted_again(ledger):
    assert ledger.read(lambda connection: get_meta(connection, "shift_days")) is None
    for value in ("7", "14"):
        ledger.write_now(lambda connection, value=value: set_meta(connection, "shift_days", value))
    assert ledger.read(lambda connection: get_meta(connection, "shift_days")) == "14"


@pytest.mark.databases("sqlite")
def test_events_lie_in_the_order_in_which_they_are_folded(ledger, now):
    """Whoever comes first, whenever it was written: customer, time, id."""
    order = [("c1", 0, "b"), ("c1", 1, "a"), ("c1", 1, "c"), ("c2", 0, "d")]
    rows = [
        _event(now + timedelta(microseconds=us)) | {"customer_id": who, "event_id": name}
        for who, us, name in reversed(order)
    ]
    ledger.write_now(lambda connection: insert_new(connection, events, rows))
    found = ledger.read(lambda connection: connection.execute(sa.select(events)).all())
    assert [row.event_id for row in found] == ["b", "a", "c", "d"]


def test_one_event_id_is_kept_once_whoever_it_speaks_of(ledger, now):
    rows = [_event(now) | {"customer_id": who} for who in ("c1", "c2")]
    assert ledger.write_now(lambda connection: insert_new(connection, events, rows)) == 1
