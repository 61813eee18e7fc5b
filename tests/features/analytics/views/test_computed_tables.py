from __future__ import annotations

import pyarrow as pa

from features.analytics.journey_data import JourneyData
from features.analytics.views.computed_tables import computed_once
from tests.features.analytics.views.promised_shop import opened


def test_a_table_is_made_once_for_each_relation_kind_and_data() -> None:
    made: list[str] = []

    def make(data: JourneyData, kind: str) -> pa.Table:
        made.append(kind)
        return pa.table({"n": [len(made)]})

    with opened([], 1.0) as data, opened([], 1.0) as other:
        tables = [
            computed_once(data, "activations", "delivery", make),
            computed_once(data, "activations", "delivery", make),
            computed_once(data, "activations", "leaving", make),
            computed_once(data, "conformities", "delivery", make),
            computed_once(other, "activations", "delivery", make),
        ]

    assert [table["n"].to_pylist() for table in tables] == [[1], [1], [2], [3], [4]]
