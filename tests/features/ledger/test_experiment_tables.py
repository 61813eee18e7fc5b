"""The tables of the experiment exist in a new ledger, and their keys keep rows apart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


def test_an_action_may_be_stopped_again_after_it_was_lifted(ledger):
    stop = {"guardrail": "complaints", "action_id": "coupon", "evidence": "{}"}

    def write(connection):
        for day in (1, 2):
            row = stop | {"stopped_at": AT.replace(day=day)}
            assert tables.insert_new(connection, tables.guardrail_stops, [row]) == 1
            assert tables.insert_new(connection, tables.guardrail_stops, [row]) == 0

    ledger.write_now(write)
    columns = tables.guardrail_stops.c
    found = ledger.read(lambda c: c.execute(sa.select(columns.stopped_at, columns.lifted_at)).all())
    assert sorted(found) == [(AT, None), (AT.replace(day=2), None)]


def test_a_decision_with_harm_counts_once_in_each_guardrail(ledger):
    rows = [
        {"guardrail": name, "unit": "decision", "key": "d1", "customer_id": "c1"}
        for name in ("complaints", "refunds")
    ]

    def add(connection):
        return tables.insert_new(connection, tables.guardrail_events, rows)

    assert (ledger.write_now(add), ledger.write_now(add)) == (2, 0)


def test_a_mark_of_a_customer_is_kept_once(ledger):
    row = {"kind": "silence", "key": "c1", "customer_id": "c1", "due_at": AT}

    def add(connection):
        return tables.insert_new(connection, tables.guardrail_marks, [row])

    assert (ledger.write_now(add), ledger.write_now(add)) == (1, 0)


def test_the_number_of_an_effect_model_is_never_used_again(ledger):
    row = {"published_at": AT, "labels": 500, "payload": b"model", "note": "{}"}
    number = tables.effect_models.c.number

    def publish(connection):
        return connection.execute(tables.effect_models.insert(), row).inserted_primary_key[0]

    assert [ledger.write_now(publish), ledger.write_now(publish)] == [1, 2]
    ledger.write_now(lambda c: c.execute(sa.delete(tables.effect_models).where(number == 2)))
    assert ledger.write_now(publish) == 3
