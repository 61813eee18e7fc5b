"""Tests the consents of a customer: the latest for each purpose and channel, in order of time."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from features.business.domain import Domain
from features.customers.consents import consents
from features.ledger import tables
from tests.features.live import NOW

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DOMAIN = Domain(name="x", currency="eur", channels=("app", "phone"), vocabulary="all")
GIVEN, WITHDRAWN = (
    next(name for name, event in DOMAIN.events.items() if event.consent == consent)
    for consent in ("given", "withdrawn")
)


@pytest.fixture
def decide(ledger):
    """Inserts one consent event, some days after the start."""

    def insert(event_type, day, purpose="marketing", customer="c1", **more):
        row = {
            "event_id": f"{customer}-{day}-{event_type}",
            "customer_id": customer,
            "subject": customer,
            "type": event_type,
            "occurred_at": NOW + timedelta(days=day),
            "channel": "app",
            "properties": json.dumps({"purpose": purpose, **more}),
        }
        ledger.write_now(lambda c: tables.insert_new(c, tables.events, [row]))

    return insert


@pytest.fixture
def read(ledger):
    """Reads the consents of c1 as purpose, channel, given, day."""

    def of(domain=DOMAIN):
        found = ledger.read(lambda c: consents(c, "c1", domain))
        return [
            (one["purpose"], one["channel"], one["given"], (one["since"] - NOW).days)
            for one in found
        ]

    return of


def test_the_latest_consent_for_a_purpose_counts(decide, read):
    decide(GIVEN, 1)
    decide(WITHDRAWN, 3)
    decide(GIVEN, 2)
    assert read() == [("marketing", None, False, 3)]


def test_purposes_and_channels_stand_apart_in_order_of_time(decide, read):
    decide(GIVEN, 1, for_channel="phone")
    decide(WITHDRAWN, 2)
    decide(GIVEN, 3, purpose="research")
    decide(WITHDRAWN, 4, for_channel="phone")
    assert read() == [
        ("marketing", None, False, 2),
        ("research", None, True, 3),
        ("marketing", "phone", False, 4),
    ]


def test_other_customers_and_other_events_do_not_count(decide, read):
    decide(GIVEN, 1, customer="c2")
    decide("visit", 2)
    assert read() == []


def test_a_business_without_consent_events_has_no_consents(decide, read, toy_domain):
    decide(GIVEN, 1)
    assert not any(event.consent for event in toy_domain.events.values())
    assert read(toy_domain) == []
