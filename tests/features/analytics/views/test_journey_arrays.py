"""Tests journeys as arrays, also when their steps do not stand together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnel_definition import Matches
from features.analytics.views.journey_arrays import JourneyArrays, journey_arrays
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, journeys_of

BUYING = JourneyFilter(map="buying")
LOG = [
    ("a", "page", 0.0),
    ("a", "cart", 1.0),
    ("a", "done", 2.0),
    ("a", "page", 3.0),
    ("b", "page", 0.5),
    ("b", "paid", 1.5),
    ("a", "asked", 0.7),
]


ALL = {"page", "cart", "done", "paid"}


def arrays_of(data: JourneyData, labels: set[str], types: tuple[str, ...] = ()) -> JourneyArrays:
    nodes = frozenset(data.nodes.code("buying", label) for label in labels)
    named = Matches(nodes, frozenset(data.nodes.type_code(name) for name in types))
    return journey_arrays(data, BUYING, named)


def shown(data: JourneyData, found: JourneyArrays) -> dict[tuple[str, int], list[str]]:
    """Return by customer and start the labels of the steps."""
    customers, starts = (found.table[name].to_pylist() for name in ("customer_id", "start_us"))
    return {
        (customers[n], starts[n]): [data.nodes.label(int(node)) for node in found.node[first:after]]
        for n, (first, after) in enumerate(zip(found.first, found.after, strict=True))
    }


EXPECTED = {
    ("a", at_us(0.0)): ["page", "cart", "done"],
    ("a", at_us(3.0)): ["page"],
    ("b", at_us(0.5)): ["page", "paid"],
}


def test_each_journey_has_its_steps() -> None:
    with journeys_of(small_shop(), LOG, 10.0) as data:
        found = arrays_of(data, ALL)
        assert shown(data, found) == EXPECTED
        assert found.type is None
        assert sorted(found.closed_us(7)) == [7, 7, at_us(2.0)]
        assert sorted(found.start_us) == [at_us(0.0), at_us(0.5), at_us(3.0)]


def test_steps_that_were_not_asked_for_are_left_out() -> None:
    with journeys_of(small_shop(), LOG, 10.0) as data:
        some = {
            key: [one for one in steps if one in ("cart", "paid")]
            for key, steps in EXPECTED.items()
        }
        assert shown(data, arrays_of(data, {"cart", "paid"})) == some
        by_type = arrays_of(data, {"cart"}, ("paid",))
        assert shown(data, by_type) == some
        assert by_type.type is not None
        none = arrays_of(data, set())
        assert shown(data, none) == {key: [] for key in EXPECTED}


def test_rows_may_come_in_any_order() -> None:
    with journeys_of(small_shop(), LOG, 10.0) as data:
        tables = [data.table(f"SELECT * FROM {name}") for name in ("journeys", "steps")]
        random = np.random.default_rng(0)
        for _ in range(5):
            mixed = [table.take(pa.array(random.permutation(len(table)))) for table in tables]
            with JourneyData.of_tables(data.domain, *mixed, data.as_of_us) as other:
                assert shown(other, arrays_of(other, ALL)) == EXPECTED


def test_the_node_after_a_row_is_known_without_the_steps_between() -> None:
    with journeys_of(small_shop(), LOG, 10.0) as data:
        found = arrays_of(data, {"cart", "paid"})
        names = [data.nodes.label(int(code)) for code in found.node_after(found.first - 1)]
        assert names == ["page", "page", "page"]
        names = [data.nodes.label(int(code)) for code in found.node_after(found.after - 1)]
        keys = list(shown(data, found))
        assert dict(zip(keys, names, strict=True)) == {
            ("a", at_us(0.0)): "done",
            ("a", at_us(3.0)): "page",  # none was asked for, so it is the first one
            ("b", at_us(0.5)): "END",
        }


def test_no_journeys() -> None:
    with journeys_of(small_shop(), []) as data:
        found = arrays_of(data, ALL)
        assert len(found.first) == len(found.after) == len(found.table) == 0
        assert len(found.node_after(found.first)) == 0
