"""Tests the summary of a customer's timeline; its pages are tested over HTTP, at /v1/customer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.business.domain import load_domain
from features.customers.consents import consents
from features.identity.keys import KeyNormalizer
from features.ingest.append_events import append_events
from features.journeys.events import parse_event
from tests.conftest import SHOP


@pytest.fixture(scope="module")
def domain():
    return load_domain(SHOP / "domain.yaml")


def test_the_words_on_consent_come_in_the_order_in_which_they_were_last_said(ledger, domain, now):
    """A no on the app, a no on everything, and then a yes on the app: it holds there."""
    said = [("withdrawn", "app"), ("withdrawn", None), ("given", "app")]
    normalizer, events = KeyNormalizer(domain), []
    for number, (word, channel) in enumerate(said):
        event = {
            "event_id": f"e{number}",
            "type": f"consent_{word}",
            "channel": "app",
            "occurred_at": (now + timedelta(hours=number - 9)).isoformat(),
            "customer_id": "ann",
            "properties": {"purpose": "news"} | ({"for_channel": channel} if channel else {}),
        }
        events.append(parse_event(event, domain, normalizer, now))
    ledger.write_now(lambda connection: append_events(connection, normalizer, events, now))
    found = ledger.read(lambda connection: consents(connection, "ann", domain))
    assert [(one["channel"], one["given"]) for one in found] == [(None, False), ("app", True)]
