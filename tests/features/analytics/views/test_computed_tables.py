from __future__ import annotations

import pyarrow as pa

from features.analytics.journey_data import JourneyData
from features.analytics.views.computed_tables import computed_once
from features.analytics.views.filters import JourneyFilter
from tests.features.analytics.views.promised_shop import opened


def test_the_last_table_of_a_relation_is_kept_for_the_same_journeys() -> None:
    made: list[JourneyFilter] = []
    delivery, leaving = JourneyFilter(map="delivery"), JourneyFilter(map="leaving")

    def make(data: JourneyData, wanted: JourneyFilter) -> pa.Table:
        made.append(wanted)
        return pa.table({"n": [len(made)]})

    with opened([], 1.0) as data, opened([], 1.0) as other:
        tables = [
            computed_once(data, "activations", delivery, make),
            computed_once(data, "activations", delivery, make),
            computed_once(data, "activations", leaving, make),
            computed_once(data, "conformities", delivery, make),
            computed_once(other, "activations", delivery, make),
            computed_once(data, "activations", leaving, make),
            computed_once(data, "activations", delivery, make),
        ]

    assert [table["n"].to_pylist() for table in tables] == [[1], [1], [2], [3], [4], [2], [5]]
    assert made == [delivery, leaving, delivery, delivery, delivery]
