"""Tests the consents of a customer: the latest for each purpose and channel, in order of time."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.business.event_types import Property
from features.customers.consents import (
    _consent_events,
    _indexes,
    _types,
    check_consent,
    consents,
    index_consents,
    opt_out_sentence,
    spell_consent,
)
from features.errors import InvalidEvent
from features.identity import links
from features.identity.keys import KeyNormalizer
from features.identity.links import link, unlink
from features.identity.relocation import is_relocating, place, relocate_some
from features.ledger import tables
from features.ledger.statements import execute_text
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


def test_as_of_a_time_what_was_said_later_does_not_count(ledger, decide):
    decide(GIVEN, 1)
    decide(WITHDRAWN, 3)

    def given(day):
        at = NOW + timedelta(days=day)
        return [one["given"] for one in ledger.read(lambda c: consents(c, "c1", DOMAIN, at))]

    assert [given(day) for day in (1, 2, 3, 4)] == [[], [True], [True], [False]]


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


def plan(ledger, domain, customer):
    """The database's plan for the query of a customer's consents."""
    statement = _consent_events(_types(domain))

    def explain(connection):
        statement.rows(connection, {"customer": customer})
        compiled = statement._compiled[connection.dialect.name]
        explained = "EXPLAIN " + ("" if connection.dialect.name == "postgresql" else "QUERY PLAN ")
        values = compiled.driver_values({"customer": customer})
        found = execute_text(connection, explained + compiled.text, values).fetchall()
        return "\n".join(str(row[-1]) for row in found)

    return ledger.read(explain)


def test_consents_are_read_by_their_index_from_a_long_past(ledger, decide, read):
    index_consents(ledger, DOMAIN)
    rows = [
        {
            "event_id": f"e{number}",
            "customer_id": "c1",
            "subject": "c1",
            "type": "visit",
            "occurred_at": NOW + timedelta(seconds=number),
            "channel": "app",
            "properties": "{}",
        }
        for number in range(5_000)
    ]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, rows))
    decide(GIVEN, 1)
    if ledger.engine.dialect.name == "postgresql":
        ledger.write_now(lambda c: c.exec_driver_sql("ANALYZE events"))
    [index] = ledger.read(_indexes)
    assert index in plan(ledger, DOMAIN, "c1")
    assert read() == [("marketing", None, True, 1)]


def test_the_index_of_other_types_is_replaced_and_made_once(ledger, toy_domain):
    fewer = DOMAIN.model_copy(
        update={"events": {name: one for name, one in DOMAIN.events.items() if name != WITHDRAWN}}
    )
    found = []
    for domain in (DOMAIN, DOMAIN, fewer, toy_domain):
        index_consents(ledger, domain)
        found.append(ledger.read(_indexes))
    assert found[0] == found[1] != found[2]
    assert [len(names) for names in found] == [1, 1, 1, 0]


def test_consents_that_are_still_stored_under_another_customer_count(
    ledger, decide, read, monkeypatch
):
    """A merge and a split of long pasts move their events in small steps."""
    monkeypatch.setattr(links, "place", lambda *about: place(*about[:4], at_most=0))
    decide(WITHDRAWN, 1, customer="cookie:1")
    decide(GIVEN, 2, customer="c1", purpose="research")
    pair, normalizer = ("c1", "cookie:1"), KeyNormalizer(DOMAIN)
    ledger.write_now(lambda c: link(c, normalizer, pair, "told", NOW))
    [listed] = ledger.read(lambda c: c.execute(sa.select(tables.relocations)).all())
    assert (listed.customer_id, listed.subject) == ("cookie:1", "cookie:1")
    both = [("marketing", None, False, 1), ("research", None, True, 2)]
    assert read() == both
    ledger.write_now(lambda c: relocate_some(c))
    assert read() == both
    ledger.write_now(lambda c: unlink(c, pair, "a mistake", NOW))
    assert ledger.read(lambda c: is_relocating(c, ["c1"])) == {"c1"}
    assert read() == both[1:]


def test_consents_of_one_instant_come_in_the_order_of_their_ids(decide, read):
    decide(WITHDRAWN, 1)  # "c1-1-consent_withdrawn" is after "c1-1-consent_given"
    decide(GIVEN, 1)
    assert read() == [("marketing", None, False, 1)]


def test_purposes_and_channels_that_were_stored_in_another_spelling_count(decide, read):
    decide(GIVEN, 1)
    decide(WITHDRAWN, 2, purpose=" Marketing\t", for_channel="APP ")
    decide(WITHDRAWN, 3, purpose="RESEARCH", for_channel=" ")
    assert read() == [
        ("marketing", None, True, 1),
        ("marketing", "app", False, 2),
        ("research", None, False, 3),
    ]


ASKED_FIRST = {"unless_said": "withdrawn"}
WITHDRAWAL = DOMAIN.events[WITHDRAWN]


def test_a_consent_is_stored_in_the_spelling_of_the_domain():
    sent = {"purpose": " Marketing ", "for_channel": "App"}
    assert spell_consent(sent, WITHDRAWAL) == {"purpose": "marketing", "for_channel": "app"}
    purpose = Property(type="category", values=("Marketing", "Research"))
    listed = WITHDRAWAL.model_copy(update={"properties": {"purpose": purpose}})
    assert spell_consent({"purpose": "RESEARCH"}, listed) == {"purpose": "Research"}


@pytest.mark.parametrize(
    ("properties", "field", "said"),
    [
        ({"purpose": "newsletter"}, "properties.purpose", "marketing, research. Correct it"),
        ({"purpose": "marketting"}, "properties.purpose", "Did you mean 'marketing'?"),
        ({"purpose": ""}, "properties.purpose", "is '', so the consent would have no effect"),
        ({}, "properties.purpose", "is None, so the consent would have no effect"),
        ({"purpose": "research", "for_channel": "fax"}, "properties.for_channel", "app, phone"),
        ({"purpose": "research", "for_channel": ""}, "properties.for_channel", "none for all"),
        ({"purpose": "research", "for_channel": "phnoe"}, "properties.for_channel", "'phone'?"),
    ],
)
def test_a_consent_that_would_have_no_effect_is_refused_by_field(properties, field, said):
    with pytest.raises(InvalidEvent) as caught:
        check_consent(properties, ("marketing", "research"), DOMAIN.channels)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_without_purposes_in_the_catalogue_a_consent_is_refused():
    with pytest.raises(InvalidEvent, match=r"purpose of the catalogue: there is none\."):
        check_consent({"purpose": "marketing"}, (), DOMAIN.channels)


def test_purposes_that_are_opt_out_are_named_in_one_line(toy_catalog):
    assert opt_out_sentence(toy_catalog) == ""
    purposes = {"marketing": {}, "news": {"unless_said": "given"}, "research": ASKED_FIRST}
    catalog = Catalog.model_validate(toy_catalog.model_dump(by_alias=True) | {"purposes": purposes})
    said = opt_out_sentence(catalog)
    assert said.startswith("Opt-out: customers count as consenting to marketing, news until")
