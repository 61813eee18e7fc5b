"""Tests of the marks of rewards that have to be summed again."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.identity.keys import KeyNormalizer
from features.identity.links import link, unlink
from features.identity.relocation import relocate_some
from features.ledger import tables
from features.ledger.derived_tables import mark_customers, mark_decisions, mark_event_days
from features.ledger.ledger import Ledger
from tests.conftest import NOW
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def marks(ledger: Ledger) -> list[tuple[str, str, int, int]]:
    marked = tables.reward_marks.c
    query = sa.select(tables.reward_marks).order_by(marked.kind, marked.key, marked.day)
    return [tuple(row) for row in ledger.read(lambda c: c.execute(query).all())]


def test_a_key_that_is_marked_again_has_one_mark_with_a_higher_number(ledger):
    ledger.write_now(lambda c: mark_decisions(c, ["d1", "d2"]))
    ledger.write_now(lambda c: mark_decisions(c, ["d1"]))
    ledger.write_now(lambda c: mark_customers(c, ["c1"]))
    ledger.write_now(lambda c: mark_event_days(c, [("c1", 20_000), ("c1", 20_001)]))
    assert marks(ledger) == [
        ("customer", "c1", -1, 1),
        ("decision", "d1", -1, 2),
        ("decision", "d2", -1, 1),
        ("events", "c1", 20_000, 1),
        ("events", "c1", 20_001, 1),
    ]


def test_a_merge_and_a_split_mark_both_customers_if_they_have_rows(ledger, toy_domain):
    normalizer = KeyNormalizer(toy_domain)
    decided(ledger, "d1", NOW, {"discount": 14}, customer_id="c1")
    decided(ledger, "d2", NOW, {"discount": 14}, customer_id="c2")
    ledger.write_now(lambda c: link(c, normalizer, ("c1", "c2"), "test", NOW))
    assert [mark[:2] for mark in marks(ledger)] == [("customer", "c1"), ("customer", "c2")]
    ledger.write_now(lambda c: c.execute(sa.delete(tables.reward_marks)))
    ledger.write_now(lambda c: unlink(c, ("c1", "c2"), "test", NOW))
    assert [mark[:2] for mark in marks(ledger)] == [("customer", "c1"), ("customer", "c2")]
    ledger.write_now(lambda c: c.execute(sa.delete(tables.reward_marks)))
    ledger.write_now(lambda c: link(c, normalizer, ("c1", "email:a@b.it"), "test", NOW))
    assert marks(ledger) == []


def test_a_long_history_is_marked_when_it_has_moved(ledger, toy_domain):
    for number in range(120):
        at = NOW - number * timedelta(hours=1)
        decided(ledger, f"d{number}", at, {"discount": 14}, customer_id="c2")

    def merge(connection: sa.Connection) -> None:
        tables.insert_new(
            connection,
            tables.identities,
            [{"key": key, "customer_id": key, "rank": 0} for key in ("c1", "c2")],
        )
        changed = sa.update(tables.identities).values(customer_id="c1")
        connection.execute(changed.where(tables.identities.c.key == "c2"))
        listed = {"customer_id": "c2", "subject": "c2", "after_us": -1}
        tables.upsert(connection, tables.relocations, [listed])

    ledger.write_now(merge)
    assert ledger.write_now(lambda c: relocate_some(c, 500))
    assert marks(ledger) == []
    while ledger.write_now(lambda c: relocate_some(c, 500)):
        pass
    assert [mark[:2] for mark in marks(ledger)] == [("customer", "c1"), ("customer", "c2")]
