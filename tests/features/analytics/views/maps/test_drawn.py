"""Tests the relations of a map as it is drawn: hidden nodes, and nodes counted together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from features.analytics.histogram import NO_BUCKET, middle_us
from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.maps import drawn
from features.analytics.views.maps.drawn import DrawnAs, drawn_codes, hidden_codes
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
DAY_US = 86_400_000_000
# Three carts, two coupons, and one each of page, paid and done.
LOG: list[tuple[Any, ...]] = [
    ("a", "cart", 0.0),
    ("a", "coupon", 1.0),
    ("a", "cart", 3.0),
    ("a", "coupon", 7.0),
    ("b", "cart", 0.0),
    ("b", "paid", 2.0),
    ("b", "done", 3.0),
    ("c", "page", 0.0),
]


@pytest.fixture(scope="module")
def data() -> Iterator[JourneyData]:
    with journeys_of(small_shop(), LOG, as_of_days=9.0) as opened:
        yield opened


def pairs(data: JourneyData, **options: Any) -> list[tuple[str, str]]:
    rows = drawn.transitions(data, BUYING, options).rows(data, {}, 100)
    return sorted((row["from"], row["to"]) for row in rows)


def test_the_most_visited_nodes_are_drawn_and_ties_are_in_the_order_of_the_file(
    data: JourneyData,
) -> None:
    shown, others = drawn_codes(data, "buying", DrawnAs(at_most=3))
    assert [data.nodes.label(code) for code in shown] == ["cart", "coupon", "page"]
    assert [data.nodes.label(code) for code in others] == ["paid", "done"]


def test_hidden_nodes_are_neither_drawn_nor_others(data: JourneyData) -> None:
    shown, others = drawn_codes(data, "buying", DrawnAs(at_most=1, hidden=("cart", "page")))
    assert [data.nodes.label(code) for code in shown] == ["coupon"]
    assert [data.nodes.label(code) for code in others] == ["paid", "done"]


def test_a_transition_goes_through_a_hidden_node(data: JourneyData) -> None:
    assert pairs(data, hidden=["coupon", "page"]) == [
        ("START", "END"),  # c had a page only, and is still a journey
        ("START", "cart"),
        ("START", "cart"),
        ("cart", "END"),
        ("cart", "cart"),
        ("cart", "paid"),
        ("done", "END"),
        ("paid", "done"),
    ]


def test_the_time_through_a_hidden_node_is_that_from_step_to_step(data: JourneyData) -> None:
    of = drawn.transitions(data, BUYING, {"hidden": ["coupon"]})
    (row,) = of.rows(data, {"from": "cart", "to": "cart"}, 10)
    assert middle_us(row["gap_bucket"]) == pytest.approx(3 * DAY_US, rel=0.0221)
    (last,) = (row for row in of.rows(data, {"to": "END", "from": "cart"}, 10))
    assert last["gap_bucket"] == NO_BUCKET


def test_nodes_beyond_the_most_visited_are_one_node(data: JourneyData) -> None:
    assert pairs(data, at_most=1) == [
        ("START", "cart"),
        ("START", "cart"),
        ("START", "other steps"),
        ("cart", "other steps"),
        ("cart", "other steps"),
        ("cart", "other steps"),
        ("other steps", "END"),
        ("other steps", "END"),
        ("other steps", "END"),
        ("other steps", "cart"),
        ("other steps", "other steps"),
    ]


def test_a_journey_visits_the_other_steps_once_however_often(data: JourneyData) -> None:
    visited = drawn.visited(data, BUYING, {"at_most": 1})
    rows = visited.rows(data, {"node": "other steps"}, 10)
    assert {row["customer_id"]: row["visits"] for row in rows} == {"a": 2, "b": 2, "c": 1}


def test_entry_and_exit_of_journeys_are_as_they_are_drawn(data: JourneyData) -> None:
    of = drawn.journeys(data, BUYING, {"at_most": 1})
    rows = {row["customer_id"]: (row["entry"], row["exit"]) for row in of.rows(data, {}, 10)}
    others = "other steps"
    assert rows == {"a": ("cart", others), "b": ("cart", others), "c": (others, others)}


def test_rare_transitions_are_marked(data: JourneyData) -> None:
    of = drawn.transitions(data, BUYING, {"at_least": 2})
    rows = of.rows(data, {"is_rare": 0}, 100)
    assert {(row["from"], row["to"]) for row in rows} == {
        ("START", "cart"),
        ("cart", "coupon"),
    }
    assert of.count(data, {"is_rare": 0}) + of.count(data, {"is_rare": 1}) == 11


def test_without_options_all_is_as_in_the_files(data: JourneyData) -> None:
    assert drawn.transitions(data, BUYING, {}).count(data, {"is_rare": 0}) == 11
    assert drawn.steps(data, BUYING, {}).count(data, {}) == 8


def test_a_hidden_node_that_is_not_on_the_map_is_refused(data: JourneyData) -> None:
    with pytest.raises(InvalidRequest, match="hidden names 'asked'. Expected nodes of the map buy"):
        hidden_codes(data, "buying", ("cart", "asked"))
