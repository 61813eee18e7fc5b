"""Tests of what a step of a refresh takes, and of the marks that it leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from features.analytics.cut.customer_cutter import CustomerCutter
from features.analytics.upkeep import changes as module
from features.analytics.upkeep.changes import (
    cut_changed,
    cut_due,
    is_quiet,
    unmark,
    with_later,
    write_change,
)
from features.ledger import tables
from features.ledger.derived_tables import mark_journeys
from tests.decided import decided
from tests.features.live import NOW, SHOP, event

pytestmark = pytest.mark.databases("sqlite", "postgresql")
CUTTER = CustomerCutter(SHOP)
AS_OF_US = tables.micros(NOW)


def mark(shop, *keys):
    shop.ledger.write_now(lambda c: mark_journeys(c, keys))


def changed(shop, state=None, shown=True):
    found = state or shop.state
    return shop.ledger.read(lambda c: cut_changed(c, CUTTER, found, AS_OF_US, ["u3"], shown))


def test_marks_are_taken_in_the_order_of_their_keys(shop, monkeypatch):
    monkeypatch.setattr(module, "STEP", 2)
    mark(shop, "c1", "c2", "gone")
    first = changed(shop)
    assert (set(first.marks), first.after) == ({"c1", "c2"}, "c2")
    assert first.customers == {"c1", "c2", "u3"}
    shop.ledger.write_now(
        lambda c: write_change(c, shop.state, with_after(shop.state, "c2"), first, None)
    )
    second = changed(shop)
    assert (set(second.marks), second.after, shop.marks()) == ({"gone"}, "", ["gone"])
    assert {*second.rows[0]["customer_id"].to_pylist()} == {"u3"}


def with_after(state, after):
    return replace(state, after=after)


def test_decisions_are_taken_by_their_serial_if_the_lifecycle_shows_them(shop, monkeypatch):
    monkeypatch.setattr(module, "STEP", 1)
    decided(shop.ledger, "d1", NOW, {"call": 7.0})
    decided(
        shop.ledger, "d2", NOW, {"call": 7.0}, activated_at=None, served=False, customer_id="c2"
    )
    first = changed(shop)
    assert (first.serial, first.has_more_decisions, first.customers) == (1, True, {"c1", "u3"})
    assert changed(shop, shown=False).customers == {"u3"}


def test_only_those_who_are_due_are_cut_while_time_passes(shop):
    mark(shop, "c1")
    found = shop.ledger.read(lambda c: cut_due(c, CUTTER, shop.state, AS_OF_US, ["u3"]))
    assert (found.customers, found.marks, found.serial) == ({"u3"}, {}, shop.state.serial)


def test_customers_of_whom_something_comes_later_are_found(shop):
    shop.happen(event("later", "c1", at=NOW + timedelta(minutes=1)))
    decided(shop.ledger, "d1", NOW + timedelta(minutes=1), {"call": 7.0}, customer_id="c2")
    found = shop.ledger.read(lambda c: with_later(c, ["c1", "c2", "u3"], AS_OF_US))
    assert found == {"c1", "c2"}


def test_a_mark_that_came_after_it_was_read_stays(shop):
    mark(shop, "c1", "c2")
    marks = changed(shop).marks
    mark(shop, "c1")
    shop.ledger.write_now(lambda c: unmark(c, marks))
    assert shop.marks() == ["c1"]


def test_it_is_quiet_while_few_are_marked(shop, monkeypatch):
    monkeypatch.setattr(module, "STEP", 4)
    assert shop.ledger.read(is_quiet)
    mark(shop, "c1")
    assert shop.ledger.read(is_quiet)
    mark(shop, "c2")
    assert not shop.ledger.read(is_quiet)
