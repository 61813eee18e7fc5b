"""Tests the ways of journeys: their steps, shares, ends and times, and the number of others."""

from __future__ import annotations

from typing import Any

import pytest

from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_rows
from features.analytics.views.maps.ways import Ways, ranked, ways
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
LOG: list[tuple[Any, ...]] = [
    *(row for name in "abc" for row in ((name, "cart", 0.0), (name, "paid", 2.0))),
    ("c", "done", 3.0),
    ("d", "paid", 0.0),
    ("d", "cart", 1.0),
    ("e", "paid", 50.0),
    ("f", "cart", 0.0),
    ("f", "paid", 6.0),
]


def of_log(limit: int) -> Ways:
    with journeys_of(small_shop(), LOG, as_of_days=51.0) as data:
        return ways(data, BUYING, limit)


def test_ways_are_ordered_by_their_journeys() -> None:
    found = of_log(limit=10)
    assert [(way.steps, way.n.n) for way in found.ways][0] == (("cart", "paid"), 3)
    assert {way.steps: way.n.n for way in found.ways} == {
        ("cart", "paid"): 3,
        ("cart", "paid", "done"): 1,
        ("paid", "cart"): 1,
        ("paid",): 1,
    }
    assert [way.share for way in found.ways] == [3 / 6, 1 / 6, 1 / 6, 1 / 6]
    assert (found.journeys.n, found.distinct, found.others.n) == (6, 4, 0)


def test_the_order_of_steps_makes_another_way() -> None:
    paths = {way.path: way.steps for way in of_log(10).ways}
    assert len(paths) == 4


def test_a_way_says_how_its_journeys_ended_and_how_long_they_took() -> None:
    found = {way.steps: way for way in of_log(10).ways}
    most = found["cart", "paid"]
    assert {how: number.n for how, number in most.how.items() if number.n} == {"lapsed": 3}
    assert most.median_s == pytest.approx(2 * 86_400, rel=0.0221)
    assert most.p90_s == pytest.approx(6 * 86_400, rel=0.0221)
    assert found[("paid",)].how["open"].n == 1
    assert found[("paid",)].median_s == 0.0


def test_other_ways_are_counted_and_listed() -> None:
    with journeys_of(small_shop(), LOG, as_of_days=51.0) as data:
        found = ways(data, BUYING, limit=1)
        assert (len(found.ways), found.distinct, found.others.n) == (1, 4, 3)
        listed = list_rows(data, found.others.rows)
        assert {row["customer_id"] for row in listed} == {"c", "d", "e"}
        shown = list_rows(data, found.ways[0].n.rows)
        assert {row["customer_id"] for row in shown} == {"a", "b", "f"}


def test_of_ways_that_are_equally_frequent_those_are_told_that_are_not_in_the_list() -> None:
    kinds = ("page", "cart", "coupon", "paid")
    log = [
        (f"{first} {second} {third}", kind, float(place))
        for first in kinds
        for second in kinds
        for third in kinds
        for place, kind in enumerate((first, second, third))
    ]
    with journeys_of(small_shop(), log, as_of_days=9.0) as data:
        found = ways(data, BUYING, 20)
        others = [row["path"] for row in list_rows(data, found.others.rows, 1000)]
    told = [way.path for way in found.ways]
    assert (len(told), len(others)) == (20, 44)
    assert len({*told, *others}) == 64
    assert sorted(map(int, [*told, *others]))[:20] == [int(path) for path in told]


def test_the_relation_marks_the_most_frequent_ways() -> None:
    with journeys_of(small_shop(), LOG, as_of_days=51.0) as data:
        of = ranked(data, BUYING, {"shown": 1})
        assert of.counts(data, ["is_shown"]) == [(0, 3), (1, 3)]


def test_without_journeys_there_are_no_ways() -> None:
    with journeys_of(small_shop(), []) as data:
        found = ways(data, BUYING)
    assert (found.ways, found.journeys.n, found.others.n, found.distinct) == ((), 0, 0, 0)


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_wrong_limit_is_refused(limit: int) -> None:
    with pytest.raises(InvalidRequest, match=f"options.shown is {limit}: Input should be "):
        of_log(limit)
