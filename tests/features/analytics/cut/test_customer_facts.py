"""Facts about customers are read for some of them at a time, and each combination is kept once."""

from __future__ import annotations

import pytest

from features.analytics.cut.customer_facts import CustomerFacts, Profiles, facts_of
from features.customers.attribute_history import EVER, AttributeVersion
from features.ledger import tables
from features.ledger.tables import micros
from tests.features.live import NOW, SHOP, add, person


@pytest.mark.databases("sqlite", "postgresql")
def test_facts_are_the_account_and_all_versions_of_the_attributes(ledger):
    add(ledger, tables.customers, person("c1", "acme", plan="plus"), person("c2", plan="basic"))
    change = {"customer_id": "c1", "name": "plan", "from_at": NOW, "value": "plus"}
    add(ledger, tables.attribute_changes, change)
    found = ledger.read(lambda c: facts_of(c, ["c1", "c2", "nobody"]))
    assert [one.account for one in found.values()] == ["acme", None, None]
    assert [
        [version.attributes.get("plan") for version in one.versions] for one in found.values()
    ] == [
        [None, "plus"],
        ["basic"],
        [None],
    ]
    assert found["c1"].versions[1].from_us == micros(NOW)


def test_equal_attributes_are_one_profile():
    profiles = Profiles(SHOP)
    plus = [AttributeVersion(EVER, {"plan": "plus"})]
    changed = [
        *plus,
        AttributeVersion(10, {"plan": "basic"}),
        AttributeVersion(20, plus[0].attributes),
    ]
    assert list(profiles.numbers_at(plus, [1, 2], ())) == [0, 0]
    assert list(profiles.numbers_at(changed, [9, 10, 19, 20], ())) == [0, 1, 1, 0]
    assert list(profiles.numbers_at(CustomerFacts().versions, [5], ())) == [2]
    assert profiles.columns() == {
        "a_plan": ["plus", "basic", None],
        "a_age_years": [None] * 3,
        "persona": ["others"] * 3,
    }
    profiles.clear()
    assert profiles.columns()["persona"] == []
