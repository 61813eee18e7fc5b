from __future__ import annotations

import pyarrow as pa

from features.analytics.tables import journeys_schema, steps_schema, told_promises
from tests.features.analytics.views.promised_shop import promised_shop
from tests.features.analytics.views.small_shop import small_shop


def test_journeys_have_a_column_for_each_attribute() -> None:
    plain = journeys_schema(small_shop())
    regions = {"region": {"type": "category", "values": ["north"]}}
    found = journeys_schema(small_shop(attributes=regions))

    assert found.names == [*plain.names, "a_region"]
    assert found.field("a_region").type == pa.dictionary(pa.int32(), pa.string())


def test_steps_have_a_column_for_each_promise_whose_time_is_told() -> None:
    shop = promised_shop()  # on_time has a told time in the first of two versions

    assert told_promises(shop) == ("on_time",)
    assert steps_schema(shop).names == [*steps_schema(small_shop()).names, "due_on_time"]
    assert steps_schema(shop).field("due_on_time").type == pa.int64()
