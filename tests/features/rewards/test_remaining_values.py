"""Tests of the value that customers who leave take along."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.experiment.objective import RemainingValue
from features.customers.attribute_writer import SentAttributes, write_attributes
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger import tables
from features.rewards.remaining_values import remaining_value, remaining_values
from tests.features.live import DAY, NOW, SHOP, add, person

pytestmark = pytest.mark.databases("sqlite", "postgresql")

AGE = RemainingValue(attribute="age_years", times=2, otherwise=5)


def values(ledger, rule, met):
    """The remaining value of each customer who was met at some time."""
    for customer_id, at in met.items():
        add(ledger, tables.met_customers, {"customer_id": customer_id, "met_at": at})
    index = {customer_id: number for number, customer_id in enumerate(met)}
    met_us = np.array([tables.micros(at) for at in met.values()])
    return list(ledger.read(lambda c: remaining_values(c, rule, index, met_us)))


def test_a_number_holds_for_everybody(ledger):
    assert values(ledger, RemainingValue(otherwise=7), {"c1": NOW, "c2": NOW}) == [7.0, 7.0]


def test_an_attribute_is_that_of_the_day_of_meeting_or_otherwise(ledger):
    """c1 is as it was; c2 changed in between; c3 has another key; c4 is unknown, as is c5."""
    for row in (person("c1", age_years="41.5"), person("c2"), person("c4", plan="plus")):
        add(ledger, tables.customers, row)
    add(ledger, tables.customers, person("card:3", age_years="30.0"), person("c3"))

    def write(connection):
        for days, age in ((200, "50.0"), (100, "60.0")):
            sent = SentAttributes("c2", {"age_years": age}, NOW - days * DAY)
            write_attributes(connection, [sent], NOW)
        link(connection, KeyNormalizer(SHOP), ("c3", "card:3"), "the table", NOW)

    ledger.write_now(write)
    met = dict.fromkeys(("c1", "c3", "c4", "c5"), NOW)
    assert values(ledger, AGE, {**met, "c2": NOW - 150 * DAY}) == [83.0, 60.0, 5.0, 5.0, 100.0]


@pytest.mark.parametrize(
    ("stored", "value"),
    [("basic", 5.0), ("nan", 5.0), ("inf", 5.0), ("1e300", 5.0), ("True", 5.0), ("-3", 0.0)],
)
def test_what_is_no_number_is_unknown_and_nothing_is_below_0(ledger, stored, value):
    add(ledger, tables.customers, person("c1", age_years=stored))
    assert values(ledger, AGE, {"c1": NOW}) == [value]


@pytest.mark.parametrize(
    ("attributes", "value"),
    [({"age_years": "41.5"}, 83.0), ({"age_years": 30.0}, 60.0), ({"age_years": "-3"}, 0.0)],
)
def test_the_value_of_one_customer_is_that_of_the_attributes_of_now(attributes, value):
    assert remaining_value(AGE, attributes) == value


def test_one_customer_without_the_attribute_has_the_other_value():
    for attributes in ({}, {"age_years": "basic"}, {"age_years": float("nan")}):
        assert remaining_value(AGE, attributes) == 5.0
    assert remaining_value(RemainingValue(otherwise=7), {"age_years": "41.5"}) == 7.0
