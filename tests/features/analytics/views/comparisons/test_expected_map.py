"""Tests real journeys against the expected way: shares, deviations, versions, and numbers."""

from __future__ import annotations

from typing import Any

import pytest

from features.analytics.journey_data import JourneyData
from features.analytics.views.comparisons.comparison import ComparedEdge
from features.analytics.views.comparisons.expected_map import compare_with_expected
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_count
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
WAY = ["cart", "coupon?", "paid", "done"]


def shop_data(log: list[tuple[Any, ...]], **later: Any) -> JourneyData:
    versions = [{"version": 1, "way": WAY}, *([later] if later else [])]
    return journeys_of(small_shop(journeys={"buying": {"expected": versions}}), log)


def as_expected(name: str) -> list[tuple[Any, ...]]:
    return [(name, "cart", 0.0), (name, "paid", 1.0), (name, "done", 2.0)]


def edge(edges: tuple[ComparedEdge, ...], source: str, target: str) -> ComparedEdge:
    (found,) = (one for one in edges if (one.source, one.target) == (source, target))
    return found


def test_deviations_are_told_with_their_share() -> None:
    log = [row for place in range(50) for row in as_expected(f"c{place}")]
    for place in range(50):
        after = [("paid", 1.0), ("page", 2.0)] if place < 25 else [("coupon", 1.0), ("paid", 2.0)]
        log += [(f"d{place}", kind, day) for kind, day in [("cart", 0.0), *after, ("done", 3.0)]]
    with shop_data(log) as data:
        found = compare_with_expected(data, BUYING)
        for one in found.edges:
            assert one.after.n == list_count(data, one.after.rows)
        assert found.before is None and found.after.n == list_count(data, found.after.rows) == 100
    beside = edge(found.edges, "paid", "page")
    assert (beside.share_before, beside.share_after, beside.difference) == (0.0, 0.25, 0.25)
    along = edge(found.edges, "paid", "done")
    assert (along.share_before, along.share_after, along.difference) == (1.0, 0.75, -0.25)
    assert {(one.source, one.target) for one in found.edges if one.is_changed} == {
        ("paid", "page"),
        ("paid", "done"),
    }
    # 1.984 x sqrt(0.25 x 0.75 / 99) = 0.086
    words = "25 of 100 go from paid to page, beside the expected way (between 16 and 34)."
    assert beside.words == words
    words = "25 of 100 do not go from paid to done, the expected way (between 16 and 34)."
    assert along.words == words


def test_an_optional_step_makes_several_expected_ways() -> None:
    with shop_data(as_expected("c")) as data:
        edges = compare_with_expected(data, BUYING).edges
    taken, left_out = edge(edges, "cart", "coupon"), edge(edges, "cart", "paid")
    assert (taken.share_before, taken.share_after, taken.after.n) == (None, 0.0, 0)
    assert (left_out.share_before, left_out.share_after, left_out.difference) == (None, 1.0, None)
    assert left_out.words == "100 of 100 go from cart to paid, as one of the expected ways."
    assert edge(edges, "START", "cart").words == "All begin with cart, as expected."
    assert edge(edges, "coupon", "paid").words == "Nobody could go from coupon to paid."


def test_nodes_that_are_not_on_the_way_are_told() -> None:
    with shop_data([*as_expected("c"), ("d", "page", 0.0), ("d", "cart", 1.0)]) as data:
        edges = compare_with_expected(data, BUYING).edges
    one = edge(edges, "page", "cart")
    assert (one.share_before, one.is_changed) == (None, False)
    assert one.words == "100 of 100 go from page to cart; page is not on the expected way."


def test_journeys_are_compared_with_the_version_they_are_judged_by() -> None:
    later = {"version": 2, "since": "2023-11-20", "way": ["paid", "done"]}  # day 5
    log = [*as_expected("c"), ("d", "paid", 8.0), ("d", "done", 9.0)]
    with shop_data(log, **later) as data:
        new, old = compare_with_expected(data, BUYING), compare_with_expected(data, BUYING, 1)
    assert (new.after.n, old.after.n) == (1, 1)
    assert edge(new.edges, "START", "paid").words == "All begin with paid, as expected."
    assert edge(old.edges, "START", "cart").words == "All begin with cart, as expected."


def test_a_kind_without_a_way_is_refused() -> None:
    with shop_data(as_expected("c")) as data:
        with pytest.raises(InvalidRequest, match="a version with a way: none"):
            compare_with_expected(data, JourneyFilter(map="help"))
        with pytest.raises(InvalidRequest, match="a version with a way: 1"):
            compare_with_expected(data, BUYING, 7)
