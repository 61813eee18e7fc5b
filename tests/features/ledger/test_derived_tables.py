"""Tests that the derived tables are created with the others, and the order of their keys."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from features.ledger import derived_tables, tables

pytestmark = pytest.mark.databases("sqlite", "postgresql")
DERIVED = ("journey_checkpoints", "account_members", "relocations")


def test_a_new_ledger_has_the_derived_tables_and_they_are_empty(ledger):
    for name in DERIVED:
        table = tables.metadata.tables[name]
        assert getattr(derived_tables, name) is table is getattr(tables, name)
        assert ledger.read(lambda c, table=table: c.execute(sa.select(table)).all()) == []


def test_checkpoints_of_a_customer_come_in_the_order_of_its_events(ledger, now):
    kept = {"customer_id": "ann", "events_n": 1, "state": b"\x00"}
    rows = [{**kept, "at": now, "event_id": name} for name in ("B", "a", "A")]
    ledger.write_now(lambda c: tables.insert_new(c, tables.journey_checkpoints, rows))
    columns = tables.journey_checkpoints.c
    query = sa.select(columns.event_id).order_by(columns.at, columns.event_id)
    found = ledger.read(lambda c: c.execute(query).scalars().all())
    assert found == ["A", "B", "a"]  # byte by byte, on each database


def test_an_account_is_named_once_for_each_customer(ledger):
    rows = [{"customer_id": "ann", "account": "acme"}, {"customer_id": "ann", "account": "beta"}]
    assert (
        ledger.write_now(lambda c: tables.insert_new(c, tables.account_members, rows[:1] * 2)) == 1
    )
    ledger.write_now(lambda c: tables.upsert(c, tables.account_members, rows[1:]))
    assert ledger.read(lambda c: c.execute(sa.select(tables.account_members)).all()) == [
        ("ann", "beta")
    ]
