"""Files keep every row: what is read from them is what was written."""

from __future__ import annotations

import pyarrow as pa
import pytest

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from features.analytics.journey_data import connect
from features.analytics.stored_columns import (
    journeys_sql,
    steps_sql,
    stored_journeys,
    stored_steps,
)
from features.analytics.tables import steps_schema
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, pasts_of

SHOP = small_shop()
# Two events of one type and time whose nodes differ, journeys side by side, shown actions.
LOG = [
    *[("a", "page", 1, "app", {"name": name}) for name in ("home", "offer", "odd")],
    *[("a", "asked", 1), ("a", "cart", 1), ("a", "asked", 5, "phone"), ("a", "done", 9)],
    *[("b", "cart", 2), ("b", "gone", 2), ("b", "cart", 2), ("b", "paid", 60)],
]


@pytest.fixture(scope="module")
def tables():
    events = [event for own in pasts_of(SHOP, LOG).values() for event in own]
    shown = {"a": [(at_us(1), "app"), (at_us(7), "app")], "c": [(at_us(0), "app")]}
    return CustomerCutter(SHOP).tables(CustomerPasts(events, shown, {}), at_us(200))


def read(sql, stored):
    connection = connect()
    connection.register("stored", stored)
    return connection.execute(f"SELECT * FROM ({sql}) ORDER BY ALL").fetchall()


def rows(table):
    connection = connect()
    connection.register("given", table)
    return connection.execute("SELECT * FROM given ORDER BY ALL").fetchall()


@pytest.mark.parametrize("as_text", [False, True])
def test_steps_come_back(tables, as_text):
    _, steps = tables
    if as_text:  # as a query returns them
        place = steps.schema.get_field_index("customer_id")
        steps = steps.set_column(place, "customer_id", steps["customer_id"].cast(pa.string()))
    stored = stored_steps(steps)
    assert len(stored) == sum(row["map"] == 3 for row in steps.to_pylist()) < len(steps)
    assert read(steps_sql(steps_schema(SHOP), "stored"), stored) == rows(steps)


def test_journeys_come_back(tables):
    journeys, _ = tables
    assert read(journeys_sql("stored"), stored_journeys(journeys)) == rows(journeys)


def test_no_steps_are_no_rows(tables):
    _, steps = tables
    assert len(stored_steps(steps.slice(0, 0))) == 0
