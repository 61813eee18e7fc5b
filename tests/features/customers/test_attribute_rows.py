"""Rows of attributes: one for each customer, and one for each value of a changed attribute."""

import pytest

from features.customers.attribute_rows import (
    EVER,
    present_attributes,
    store_attributes,
    value_at,
    values_over_time,
)
from features.ledger import tables
from tests.features.live import NOW, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NOW_US = tables.micros(NOW)


def test_what_is_stored_is_read_again(ledger):
    present = {"c1": {"plan": "plus", "age_years": None, "company": "acme"}, "c2": {}}
    told = {"c1": {"plan": {EVER: "basic", NOW_US: "plus"}, "age_years": {NOW_US: None}}}
    for _ in range(2):  # writing again changes nothing
        ledger.write_now(lambda c: store_attributes(c, present, told, "company"))
    names = ["c1", "c2", "nobody"]
    assert ledger.read(lambda c: present_attributes(c, names)) == {
        "c1": {"plan": "plus", "company": "acme"},
        "c2": {},
    }
    assert ledger.read(lambda c: values_over_time(c, names)) == told
    assert ledger.read(values_over_time) == told
    assert {row.customer_id: row.account for row in rows(ledger, tables.customers)} == {
        "c1": "acme",
        "c2": None,
    }


def test_a_value_that_always_held_needs_no_row_of_its_own(ledger):
    told = {"c1": {"plan": {EVER: "basic"}}}
    ledger.write_now(lambda c: store_attributes(c, {"c1": {"plan": "basic"}}, told, None))
    assert rows(ledger, tables.attribute_changes) == []


def test_a_value_holds_from_its_instant_on():
    values = {NOW_US: "plus", NOW_US - 5: None, NOW_US - 9: "basic"}
    times = [NOW_US - 10, NOW_US - 9, NOW_US - 5, NOW_US - 1, NOW_US, NOW_US + 1]
    found = [value_at(values, at_us) for at_us in times]
    assert found == [None, "basic", None, None, "plus", "plus"]
