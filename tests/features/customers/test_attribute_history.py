"""The attributes of customers at any moment, also of merged ones."""

import pytest

from features.customers.attribute_history import (
    EVER,
    AttributeVersion,
    all_attribute_versions,
    attribute_history,
    attribute_versions,
    attributes_at,
    values_over_time,
)
from features.customers.attribute_writer import SentAttributes, write_attributes
from features.customers.profiles import attributes_of
from features.identity.keys import KeyNormalizer
from features.identity.links import link, unlink
from features.ledger import tables
from tests.features.live import DAY, NOW, SHOP, add, person

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SPRING, SUMMER = NOW - 200 * DAY, NOW - 100 * DAY
SPRING_US, SUMMER_US = map(tables.micros, (SPRING, SUMMER))


@pytest.fixture
def people(ledger):
    """c1 changed the plan in summer; the card has no plan until spring, and an age; c2 is alone."""
    add(ledger, tables.customers, person("c1", plan="basic"), person("card:1", age_years="41.0"))
    add(ledger, tables.customers, person("c2", plan="plus"))

    def write(connection):
        for key, at, values in (
            ("c1", SUMMER, {"plan": None}),
            ("card:1", SPRING, {"plan": "plus"}),
            ("card:1", SUMMER, {"age_years": "42.0"}),
        ):
            write_attributes(connection, [SentAttributes(key, values, at)], NOW)

    ledger.write_now(write)
    return lambda ask, *about: ledger.read(lambda c: ask(c, *about))


def merge(ledger):
    pair = "c1", "card:1"
    ledger.write_now(lambda c: link(c, KeyNormalizer(SHOP), pair, "the table", NOW))


def test_each_customer_has_its_versions(people):
    assert people(attribute_versions, ["c1", "c2", "nobody"]) == {
        "c1": [AttributeVersion(0, {"plan": "basic"}), AttributeVersion(SUMMER_US, {})],
        "c2": [AttributeVersion(0, {"plan": "plus"})],
        "nobody": [AttributeVersion(0, {})],
    }


def test_at_each_moment_the_key_that_names_the_customer_comes_first(people, ledger):
    merge(ledger)
    [versions] = people(attribute_versions, ["c1"]).values()
    assert versions == [
        AttributeVersion(0, {"plan": "basic", "age_years": "41.0"}),
        AttributeVersion(SUMMER_US, {"plan": "plus", "age_years": "42.0"}),
    ]
    assert attributes_at(versions, SPRING_US)["plan"] == "basic"  # the card says plus
    assert attributes_at(versions, SUMMER_US - 1)["age_years"] == "41.0"
    assert attributes_at(versions, SUMMER_US)["age_years"] == "42.0"
    assert attributes_at(versions, -1) == versions[0].attributes


def test_after_a_split_each_has_its_own_history_again(people, ledger):
    before = people(all_attribute_versions)
    merge(ledger)
    ledger.write_now(lambda c: unlink(c, ("c1", "card:1"), "a mistake", NOW))
    assert people(all_attribute_versions) == before


def test_the_versions_of_everybody_at_once_are_those_of_each(people, ledger):
    merge(ledger)
    everybody = people(all_attribute_versions)
    assert sorted(everybody) == ["c1", "c2"]
    assert everybody == people(attribute_versions, everybody)
    assert {one: own[-1].attributes for one, own in everybody.items()} == {
        one: people(attributes_of, one) for one in everybody
    }


def test_the_history_names_each_value_with_its_time_the_latest_first(people, ledger):
    merge(ledger)
    assert [tuple(one) for one in people(attribute_history, "c1")] == [
        ("age_years", "42.0", SUMMER),
        ("plan", "plus", SUMMER),
        ("age_years", "41.0", None),
        ("plan", "basic", None),
    ]
    assert people(attribute_history, "nobody") == []


def test_of_a_key_only_the_attributes_that_have_changed_have_values_over_time(people):
    spring, summer = {SPRING_US: "plus"}, {EVER: "41.0", SUMMER_US: "42.0"}
    known = {"card:1": {"plan": spring, "age_years": summer}}
    assert people(values_over_time, ["card:1", "c2", "nobody"]) == known
    changed = {"c1": {"plan": {EVER: "basic", SUMMER_US: None}}}
    assert people(values_over_time) == known | changed
