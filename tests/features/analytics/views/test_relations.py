"""Tests relations: their counts by columns, and the names that their numbers stand for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from features.analytics.histogram import NO_BUCKET
from features.analytics.journey_data import JourneyData
from features.analytics.tables import END, NO_CHANNEL, START
from features.analytics.views import relations
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.relations import OTHER_STEPS, Value, node_label
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

LIFE, BUYING = JourneyFilter(), JourneyFilter(map="buying")
LOG: list[tuple[Any, ...]] = [
    ("a", "cart", 0.0, "app"),
    ("a", "cart", 1.0, "phone"),
    ("a", "done", 1.0, "app"),
    ("b", "cart", 0.0, "app"),
]


@pytest.fixture(scope="module")
def data() -> Iterator[JourneyData]:
    with journeys_of(small_shop(), LOG, as_of_days=29.0) as opened:
        yield opened


def test_counts_are_by_the_values_of_columns(data: JourneyData) -> None:
    of = relations.steps(data, BUYING)
    cart, done = data.nodes.code("buying", "cart"), data.nodes.code("buying", "done")
    assert of.counts(data, ["node", "channel"]) == [(cart, 0, 2), (cart, 1, 1), (done, 0, 1)]
    assert of.counts(data, []) == [(4,)]
    assert of.counts(data, ["node"], "count(*), max(seq)") == [(cart, 3, 1), (done, 1, 2)]
    assert of.counted(data, ["node"])["n"].tolist() == [3, 1]


def test_a_count_is_that_of_the_rows_with_some_values(data: JourneyData) -> None:
    of = relations.transitions(data, BUYING)
    assert of.count(data, {}) == 6
    assert of.count(data, {"from": "START", "to": "cart"}) == 2
    assert of.count(data, {"to": "END"}) == 2
    assert of.count(data, {"from": "cart", "to": "done", "seq": 2}) == 1
    assert of.count(data, {"from": "other steps"}) == 0


def test_the_time_of_a_transition_is_unknown_at_start_and_end(data: JourneyData) -> None:
    of = relations.transitions(data, BUYING)
    known = [row for row in of.rows(data, {}, 10) if row["gap_bucket"] != NO_BUCKET]
    assert [(row["from"], row["to"]) for row in known] == [("cart", "cart"), ("cart", "done")]
    assert known[1]["gap_bucket"] == 0  # at the same time


def test_steps_without_a_channel_are_found_by_none(data: JourneyData) -> None:
    silent = relations.steps(data, LIFE).rows(data, {"channel": None}, 10)
    told = [(row["customer_id"], row["node"], row["what"], row["type"]) for row in silent]
    assert told == [(name, "silent", "silence", None) for name in ("b", "a")]


def test_names_and_numbers_of_each_kind_are_told_and_found(data: JourneyData) -> None:
    of = relations.journeys(data, BUYING)
    for row in of.rows(data, {}, 10):
        for column in ("journey", "path", "map", "entry", "exit", "how", "entry_channel"):
            found = of.rows(data, {column: row[column]}, 10)
            assert row in found
            assert {one[column] for one in found} == {row[column]}


@pytest.mark.parametrize("value", [-1, 2**64, "9" * 5000, "²", ""])
def test_what_is_no_number_of_a_journey_is_refused(data: JourneyData, value: Value) -> None:
    of = relations.journeys(data, BUYING)
    assert of.count(data, {"journey": 2**64 - 1}) == 0
    with pytest.raises(InvalidRequest, match="where.journey names"):
        of.count(data, {"journey": value})


def test_labels_name_the_ends_and_the_steps_that_are_not_drawn(data: JourneyData) -> None:
    codes = (START, END, OTHER_STEPS, data.nodes.code("buying", "cart"))
    assert [node_label(data, code) for code in codes] == ["START", "END", "other steps", "cart"]
    of = relations.steps(data, BUYING)
    assert of.told(data, "channel", NO_CHANNEL) is None
    assert of.told(data, "seq", 3) == 3


def test_a_filter_of_the_map_alone_asks_no_journeys(data: JourneyData) -> None:
    condition, parameters = relations.chosen_steps(data, BUYING)
    assert (condition, parameters) == ("map = ?", [0])
    some, _ = relations.chosen_steps(data, JourneyFilter(map="buying", how=("open",)))
    assert "SELECT journey FROM journeys" in some
