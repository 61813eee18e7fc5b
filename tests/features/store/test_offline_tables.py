"""Makes the Arrow tables that Feast reads offline."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from features.store.offline_tables import JOURNEY_SCHEMA, journey_table, profile_table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_a_journey_table_has_times_to_the_microsecond_and_states_of_any_length():
    table = journey_table(["ann", "bob"], [1, 2_000_000], [[1.0, 2.0], []])
    assert table.schema == JOURNEY_SCHEMA
    times = [EPOCH + timedelta(microseconds=1), EPOCH + timedelta(seconds=2)]
    assert table["event_timestamp"].to_pylist() == times
    assert table["state"].to_pylist() == [[1.0, 2.0], []]


def test_attributes_are_texts_and_carry_the_time_from_which_they_hold():
    rows = [{"plan": "plus", "age": 41}, {}]
    table = profile_table(["ann", "bob"], [0, 2_000_000], rows, ["plan", "age"])
    times = [EPOCH, EPOCH + timedelta(seconds=2)]
    assert table["event_timestamp"].to_pylist() == times
    assert table.select(["plan", "age"]).to_pydict() == {
        "plan": ["plus", None],
        "age": ["41", None],
    }
    assert table.schema.field("age").type == pa.string()


def test_a_business_without_attributes_has_a_column_for_feast_to_read():
    table = profile_table(["ann"], [0], [{}], ())
    assert table.column_names == ["customer_id", "event_timestamp", "customer_since"]
    assert table["customer_since"].to_pylist() == [None]
