"""Counts of contacts: by action, by group or together, within the scope of a rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.business.catalog_rules import Cap
from features.customers.contacts import Contact
from features.journeys.model_input import ModelInput
from features.ledger.tables import micros
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import (
    CapCounts,
    ContactFacts,
    CountingRule,
    applies_to,
    days_to_us,
    time_text,
)

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
    found = counting(**rule).counted(FACTS, outbound={"phone"})
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
