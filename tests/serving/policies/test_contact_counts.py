"""Counts of contacts: by action, by group or together, within the scope of a rule."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from features.business.catalog_rules import Cap
from features.customers.account_contacts import read_account_contacts
from features.customers.contacts import Contact, note_contacts
from features.customers.profiles import update_account_members
from features.journeys.model_input import ModelInput
from features.ledger.tables import customers, from_micros, insert_new, micros
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import (
    CapCounts,
    ContactFacts,
    CountingRule,
    applies_to,
    days_to_us,
    time_text,
)
from tests.serving.fakes import changed

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
NOW_US = micros(NOW)
DAY_US = days_to_us(1)


def contact(action: str, group: str, channel: str = "app", customer: str = "c1") -> Contact:
    return Contact(customer, action, group, channel, NOW_US - DAY_US, {})


CONTACTS = (
    contact("discount", "promotion"),
    contact("talk_plus", "promotion", channel="phone"),
    contact("call_back", "service", customer="c2"),
)
FACTS = ContactFacts("c1", "app", NOW, NOW, CONTACTS, {})


@pytest.fixture
def compiled(toy_domain, toy_catalog) -> CompiledCatalog:
    return CompiledCatalog(toy_catalog, toy_domain, ModelInput(toy_domain))


@pytest.fixture
def counting(compiled):
    def made(**rule: object) -> CountingRule:
        return CountingRule(compiled, Cap.model_validate({"at_most": 1, "days": 7} | rule))

    return made


@pytest.mark.parametrize(
    ("each", "codes", "size"),
    [([], [0, 0, 0], 1), (["group"], [0, 1, 1], 2), (["action"], [0, 1, 2], 3)],
)
def test_actions_that_are_counted_together_share_a_counter(counting, each, codes, size):
    made = counting(each=each)
    assert (made.code.tolist(), made.size) == (codes, size)


@pytest.mark.parametrize(
    ("rule", "counted"),
    [
        ({}, ["discount", "talk_plus"]),
        ({"per": "account"}, ["discount", "talk_plus", "call_back"]),
        ({"each": ["channel"]}, ["discount"]),
        ({"channels": ["phone"]}, ["talk_plus"]),
        ({"actions": ["talk_plus"]}, ["talk_plus"]),
        ({"direction": "outbound"}, ["talk_plus"]),
    ],
)
def test_only_contacts_within_the_scope_are_counted(counting, rule, counted):
    found = counting(**rule).counted(FACTS, {"phone"}, CONTACTS)
    assert [one.action_id for one, _ in found] == counted


def test_a_cap_fills_with_each_contact_that_is_added(counting):
    rule = counting(at_most=3, groups=["promotion"])
    counts = CapCounts(0, rule, FACTS, set(), NOW_US)
    assert not counts.mask.any()
    counts.add(0)  # call_back is not of the group
    assert not counts.mask.any()
    counts.add(1)
    assert counts.mask.tolist() == [False, True, True]
    assert counts.reason(1) == ("3 of at most 3 contacts in 7 days", 3)


def test_the_reason_says_when_the_oldest_contact_leaves_the_window(counting):
    counts = CapCounts(2, counting(at_most=2), FACTS, set(), NOW_US)
    assert counts.rule == "contact_policy.caps.2"
    text, count = counts.reason(1)
    assert count == 2
    assert text == "2 of at most 2 contacts in 7 days; free again 2026-11-28 10:00 UTC"


def test_a_rule_applies_to_its_channels_and_direction(counting):
    rule = counting(channels=["app"], direction="inbound").rule
    assert applies_to(rule, "app", "inbound")
    assert not applies_to(rule, "phone", "inbound") and not applies_to(rule, "app", "outbound")


def test_times_are_whole_microseconds_and_minutes():
    assert days_to_us(0.5) == 43_200_000_000
    assert time_text(NOW + timedelta(seconds=59)) == "2026-11-22 10:00 UTC"


CAPS_OF_ACCOUNTS = [
    {},
    {"each": ["action"]},
    {"each": ["group"]},
    {"each": ["channel"]},
    {"each": ["channel", "action"]},
    {"groups": ["promotion"]},
    {"actions": ["discount", "call_back"], "each": ["action"]},
    {"kinds": ["promotion"]},
    {"kinds": ["other"]},
    {"kinds": ["promotion", "other"], "groups": ["promotion", "former"]},
    {"direction": "outbound"},
    {"direction": "inbound"},
    {"direction": "outbound", "channels": ["phone", "app"]},
    {"direction": "inbound", "channels": ["phone", "app"], "each": ["group"]},
    {"channels": ["app"]},
]


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("number", range(len(CAPS_OF_ACCOUNTS)))
def test_the_database_counts_an_account_as_its_contacts_count_one_by_one(
    ledger, toy_domain, toy_catalog, number
):
    groups = {"promotion": {"kind": "promotion"}, "service": {"kind": "service"}}
    catalog = changed(toy_catalog, groups=groups)
    compiled = CompiledCatalog(catalog, toy_domain, ModelInput(toy_domain))
    random = Random(number)
    outbound = {"phone"}
    # Groups and actions of former catalogues are among them.
    groups_of = {"discount": "promotion", "talk_plus": "promotion", "call_back": "service"}
    groups_of |= {"gone": "former", "discount_2": "promotion"}
    contacts = []
    for _ in range(60):
        action = random.choice(list(groups_of))
        at_us = NOW_US - random.randrange(10 * DAY_US)
        channel, customer = random.choice(["app", "phone"]), random.choice(["c1", "c2", "c3"])
        contacts.append(Contact(customer, action, groups_of[action], channel, at_us, {}))
    contacts.sort(key=lambda one: one.shown_us)

    def write(connection):
        people = ["c1", "c2", "c3"]
        rows = [{"customer_id": one, "attributes": "{}", "account": "acme"} for one in people]
        insert_new(connection, customers, rows)
        update_account_members(connection, people)
        for index, one in enumerate(contacts):
            row = {"decision_id": f"d{index}", "subject": one.customer_id, **one._asdict()}
            row |= {"action_group": row.pop("group"), "shown_at": from_micros(row.pop("shown_us"))}
            del row["outcomes_at"]
            note_contacts(connection, [row])

    ledger.write_now(write)
    for at_most in (0, 1, 3, 8):
        rule = {"at_most": at_most, "days": 7, "per": "account", **CAPS_OF_ACCOUNTS[number]}
        counting = CountingRule(compiled, Cap.model_validate(rule))
        for channel in ("app", "phone"):
            asked = counting.of_account(channel, outbound)
            stored = ledger.read(
                lambda c, asked=asked: read_account_contacts(c, "acme", [asked], None, NOW)
            )
            stored = stored._replace(counts=json.loads(json.dumps(stored.counts)))
            one_by_one = ContactFacts("c1", channel, NOW, NOW, contacts, {})
            by_database = ContactFacts("c1", channel, NOW, NOW, [], {}, account=stored)
            expected, found = (
                CapCounts(0, counting, facts, outbound, NOW_US)
                for facts in (one_by_one, by_database)
            )
            assert found.mask.tolist() == expected.mask.tolist()
            for action in range(len(compiled.actions)):
                assert found.reason(action) == expected.reason(action)
