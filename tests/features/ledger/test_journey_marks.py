"""Tests that whatever changes the past of a customer marks its journeys."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.customers.attribute_writer import SentAttributes, write_attributes
from features.identity.keys import KeyNormalizer
from features.identity.links import link, unlink
from features.ingest.append_events import append_events
from features.journeys.events import parse_event
from features.ledger import tables
from features.ledger.derived_tables import mark_customers, mark_journeys
from features.ledger.ledger import Ledger
from tests.conftest import NOW

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def marks(ledger: Ledger) -> dict[str, int]:
    query = sa.select(tables.journey_marks)
    return dict(map(tuple, ledger.read(lambda c: c.execute(query).all())))


def taken(ledger: Ledger) -> list[str]:
    """The marked keys, in their order; they are deleted."""
    found = sorted(marks(ledger))
    ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_marks)))
    return found


def test_a_second_mark_has_another_number(ledger):
    ledger.write_now(lambda c: mark_journeys(c, ["b", "a", "b"]))
    first = marks(ledger)
    ledger.write_now(lambda c: mark_customers(c, {"a"}))
    second = marks(ledger)
    assert set(first) == set(second) == {"a", "b"}
    assert first["a"] != second["a"]
    assert first["b"] == second["b"]


def test_events_mark_their_customers_and_a_repeated_event_marks_nobody(ledger, toy_domain):
    normalizer = KeyNormalizer(toy_domain)
    sent = [
        parse_event(
            {
                "event_id": f"e{place}",
                "customer_id": who,
                "type": "order",
                "channel": "app",
                "occurred_at": (NOW - timedelta(days=place)).isoformat(),
                "properties": {"amount_eur": 5.0},
            },
            toy_domain,
            normalizer,
            NOW,
            (),
        )
        for place, who in enumerate(["c1", "c2", "c1"])
    ]
    ledger.write_now(lambda c: append_events(c, normalizer, sent, NOW))
    assert taken(ledger) == ["c1", "c2"]
    ledger.write_now(lambda c: append_events(c, normalizer, sent, NOW))
    assert taken(ledger) == []


def test_attributes_mark_their_customer_if_they_change(ledger):
    sent = [SentAttributes("c1", {"segment": "gold"}, NOW)]
    ledger.write_now(lambda c: write_attributes(c, sent, NOW))
    assert taken(ledger) == ["c1"]
    ledger.write_now(lambda c: write_attributes(c, sent, NOW))
    assert taken(ledger) == []


def test_a_merge_and_a_split_mark_both_customers_also_those_with_attributes_alone(
    ledger, toy_domain
):
    normalizer = KeyNormalizer(toy_domain)
    sent = [SentAttributes("c1", {"segment": "gold"}), SentAttributes("c2", {"segment": "tin"})]
    ledger.write_now(lambda c: write_attributes(c, sent, NOW))
    taken(ledger)
    ledger.write_now(lambda c: link(c, normalizer, ("c1", "c2"), "test", NOW))
    assert taken(ledger) == ["c1", "c2"]
    ledger.write_now(lambda c: unlink(c, ("c1", "c2"), "test", NOW))
    assert taken(ledger) == ["c1", "c2"]
