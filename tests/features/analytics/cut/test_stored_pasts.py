"""The past is read in parts of whole customers, in the order of their names."""

from __future__ import annotations

import pytest

from features.analytics.cut import stored_pasts
from features.analytics.cut.stored_pasts import all_pasts, known_pasts, past_of
from features.ledger import tables
from features.ledger.tables import micros
from tests.features.analytics.test_build import shown
from tests.features.live import DAY, MINUTE, NOW, add, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def shop(ledger, monkeypatch):
    """Of a and B, five events each; of c, one that came late; of d, a shown action."""
    monkeypatch.setattr(stored_pasts, "PART_EVENTS", 6)
    rows = [
        stored(f"{who}{number}", who, NOW - number * MINUTE, received_at=NOW)
        for who in ("a", "B")
        for number in range(5)
    ]
    add(ledger, tables.events, *rows, stored("c", "c", NOW - 3 * DAY, received_at=NOW + DAY))
    add(ledger, tables.contacts, shown("d", "d"), shown("e", "a"))
    add(ledger, tables.contacts, {**shown("e", "a"), "action_id": "beside it"})
    return ledger


def test_each_part_has_whole_customers(shop):
    parts = list(all_pasts(shop, micros(NOW)))
    assert [part.customers for part in parts] == [["B"], ["a"], ["c", "d"]]
    events = [row for part in parts for row in part.events]
    assert [row[0] for row in events] == [*"BBBBBaaaaac"]
    times = [row[3] for row in events if row[0] == "a"]
    assert times == sorted(times)


def test_a_customer_with_more_events_than_a_part_has_one_alone(shop, monkeypatch):
    monkeypatch.setattr(stored_pasts, "PART_EVENTS", 1)
    parts = list(all_pasts(shop, micros(NOW)))
    assert [row[0] for part in parts for row in part.events] == [*"BBBBBaaaaac"]
    assert parts[0].customers == ["B"] and len(parts[0].events) == 5


def test_several_actions_of_one_decision_are_shown_once(shop):
    [past] = [shop.read(lambda c: past_of(c, ["a", "d", "nobody"], micros(NOW)))]
    at_us = micros(NOW - 10 * DAY)
    assert past.shown == {"a": [(at_us, "web")], "d": [(at_us, "web")]}
    assert len(past.events) == 5
    assert len(shop.read(lambda c: past_of(c, ["a"], micros(NOW - MINUTE))).events) == 4


def test_what_was_not_known_or_of_others_is_left_out(shop):
    parts = list(known_pasts(shop, micros(NOW), {"B", "d"}))
    assert {one for part in parts for one in part.customers} == {"a"}
