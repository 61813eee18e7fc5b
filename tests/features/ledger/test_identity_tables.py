"""Tests that the tables about who a customer is exist, and keep one row where one is meant."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from features.ledger import identity_tables, tables

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_a_new_ledger_has_the_tables_and_they_are_empty(ledger):
    for name in ("logins", "merge_candidates", "attribute_changes"):
        table = tables.metadata.tables[name]
        assert getattr(identity_tables, name) is table is getattr(tables, name)
        assert ledger.read(lambda c, table=table: c.execute(sa.select(table)).all()) == []


def test_logins_of_one_instant_are_kept_apart_by_their_events(ledger, now):
    one = {"key": "cookie:1", "at": now, "holder": "ann", "node": "cookie:1", "void": False}
    rows = [one | {"event_id": name} for name in ("B", "a", "a")]
    assert ledger.write_now(lambda c: tables.insert_new(c, tables.logins, rows)) == 2
    columns = tables.logins.c
    query = sa.select(columns.event_id).order_by(columns.key, columns.at, columns.event_id)
    assert ledger.read(lambda c: c.execute(query).scalars().all()) == ["B", "a"]


def test_two_keys_are_one_candidate(ledger, now):
    pair = {"left": "ann", "right": "bob", "via": "cookie:1", "reason": "device", "found_at": now}
    rows = [pair | {"status": "open"}, pair | {"status": "refused"}]
    for row in rows:
        ledger.write_now(lambda c, row=row: tables.insert_new(c, tables.merge_candidates, [row]))
    status = sa.select(tables.merge_candidates.c.status)
    assert ledger.read(lambda c: c.execute(status).scalars().all()) == ["open"]
