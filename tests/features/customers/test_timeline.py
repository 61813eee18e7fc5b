"""Tests the summary of a customer's timeline; its pages are tested over HTTP, at /v1/customer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.business.domain import load_domain
from features.customers.consents import consents
from features.customers.timeline import TimelineCursor, has_events, timeline
from features.errors import InvalidRequest
from features.identity import links
from features.identity.keys import KeyNormalizer
from features.identity.relocation import place, relocate_all
from features.ingest.append_events import append_events
from features.journeys.events import parse_event
from features.ledger import tables
from tests.conftest import SHOP
from tests.features.erasing import happened, outcome
from tests.features.live import add, decision


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


@pytest.mark.databases("sqlite", "postgresql")
def test_rows_that_wait_to_be_moved_are_in_the_timeline_of_the_customer_of_their_key(
    ledger, domain, now, monkeypatch
):
    """A merge and a split of long histories move their rows in small steps."""
    monkeypatch.setattr(links, "place", lambda *about: place(*about[:4], at_most=0))
    add(ledger, tables.events, happened(1, "c1"), happened(2, "cookie:1"))
    add(ledger, tables.decisions, decision(1, "cookie:1", "cookie:1"))
    add(ledger, tables.outcomes, outcome("o1", "d1"))
    pair, normalizer = ("c1", "cookie:1"), KeyNormalizer(domain)

    def shown(customer_id):
        items, _ = ledger.read(lambda c: timeline(c, customer_id, domain, 9, None))
        return {item.cursor.id for item in items}

    ledger.write_now(lambda c: links.link(c, normalizer, pair, "they said so", now))
    assert shown("c1") == {"e1", "e2", "d1", "o1"}
    assert ledger.read(lambda c: [has_events(c, key) for key in pair]) == [True, False]
    relocate_all(ledger)
    ledger.write_now(lambda c: links.unlink(c, pair, "a mistake", now))
    assert (shown("c1"), shown("cookie:1")) == ({"e1"}, {"e2", "d1", "o1"})
    assert ledger.read(lambda c: [has_events(c, key) for key in pair]) == [True, True]


@pytest.mark.parametrize(
    "at",
    [
        "",
        "-",
        "--5",
        "²",
        "٣",
        "５",
        "+5",
        "1_000",
        "9" * 18,
        "-" + "9" * 18,
        "9" * 400,
        "5.0",
        "now",
    ],
)
def test_a_cursor_that_no_page_gave_is_refused_in_words(at):
    with pytest.raises(InvalidRequest, match="Expected what an earlier answer gave as 'next'"):
        TimelineCursor.parse(f"{at}:event:x")


@pytest.mark.parametrize("at_us", [0, -1, 1_767_225_600_000_000, -62_135_596_800_000_000])
def test_a_cursor_is_read_as_it_was_written(at_us):
    cursor = TimelineCursor(at_us, "event", "a:b")
    assert TimelineCursor.parse(str(cursor)) == cursor
