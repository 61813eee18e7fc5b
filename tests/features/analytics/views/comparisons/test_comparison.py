"""Tests the difference of two maps: its numbers, its sentences, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from features.analytics.journey_data import JourneyData
from features.analytics.views.comparisons.comparison import ComparedEdge, compare_maps
from features.analytics.views.comparisons.onward import ComparisonDefinition
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_count
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, journeys_of

BEFORE = JourneyFilter(map="buying", entry_channel=("app",))
AFTER = JourneyFilter(map="buying", entry_channel=("phone",))


def two_sides(before: int, after: int, customers: int = 60) -> JourneyData:
    """After the cart, some of the customers of each side pay, and the others take a coupon."""
    log: list[tuple[Any, ...]] = []
    for channel, paying in (("app", before), ("phone", after)):
        for place in range(customers):
            name = f"{channel}{place}"
            then = "paid" if place < paying else "coupon"
            log += [(name, "cart", 0.0, channel), (name, then, 1.0), (name, "done", 2.0)]
    return journeys_of(small_shop(), log)


def day(days: float) -> datetime:
    return datetime.fromtimestamp(at_us(days) / 1e6, UTC)


def edge(edges: tuple[ComparedEdge, ...], source: str, target: str) -> ComparedEdge:
    (found,) = (one for one in edges if (one.source, one.target) == (source, target))
    return found


def test_a_large_difference_is_flagged_and_told() -> None:
    with two_sides(12, 48) as data:
        found = compare_maps(data, BEFORE, AFTER)
        assert found.before is not None
        assert (found.before.n, found.after.n, found.tested) == (60, 60, 2)
        one = found.edges[0]
        assert (one.share_before, one.share_after, one.difference) == (0.2, 0.8, pytest.approx(0.6))
        assert {(one.source, one.target) for one in found.edges if one.is_changed} == {
            ("cart", "paid"),
            ("cart", "coupon"),
        }
        # 1.98 x sqrt((12 (0.8)^2 + 48 (0.2)^2) / 60^2 x 2 x 120/119) = 0.146
        words = "60 of 100 more go from cart to paid (between 45 and 75)."
        assert edge(found.edges, "cart", "paid").words == words
        words = "60 of 100 fewer go from cart to coupon (between 45 and 75)."
        assert edge(found.edges, "cart", "coupon").words == words


def test_a_small_difference_is_not_flagged() -> None:
    with two_sides(28, 30) as data:
        found = compare_maps(data, BEFORE, AFTER)
        assert found.tested == 2 and not any(one.is_changed for one in found.edges)
        one = edge(found.edges, "cart", "paid")
        assert one.words == "No difference found in how many go from cart to paid."
        assert one.low is not None and one.high is not None and one.low < 0 < one.high


def test_too_few_customers_are_not_tested() -> None:
    with two_sides(4, 16, customers=20) as data:
        found = compare_maps(data, BEFORE, AFTER)
        one = edge(found.edges, "cart", "paid")
        assert found.tested == 0 and one.p_value is None and not one.is_changed
        assert one.words == "Too few to tell whether more go from cart to paid."
        assert one.difference == pytest.approx(0.6)


def test_an_edge_of_one_map_is_there_with_its_zero() -> None:
    with two_sides(0, 60) as data:
        found = compare_maps(data, BEFORE, AFTER)
        paid = edge(found.edges, "cart", "paid")
        assert paid.before is not None
        assert (paid.before.n, paid.after.n) == (0, 60)
        done = edge(found.edges, "paid", "done")  # nobody paid before
        assert done.share_before is None and done.difference is None
        assert done.words == "Nobody could go from paid to done on one of the maps."


def test_every_number_is_as_long_as_its_list() -> None:
    with two_sides(12, 48) as data:
        for definition in (ComparisonDefinition(), ComparisonDefinition(at_most=2)):
            found = compare_maps(data, BEFORE, AFTER, definition)
            numbers = [found.before, found.after]
            numbers += [one for edge in found.edges for one in (edge.before, edge.after)]
            for number in numbers:
                assert number is not None and number.n == list_count(data, number.rows)
        assert "other steps" in {one.source for one in found.edges}


def test_a_map_compared_with_itself_has_no_difference() -> None:
    with two_sides(12, 48) as data:
        for one in compare_maps(data, AFTER, AFTER).edges:
            assert one.difference == 0 and one.low == pytest.approx(0) and not one.is_changed


def test_two_maps_of_other_journeys_are_refused() -> None:
    with two_sides(1, 1) as data, pytest.raises(InvalidRequest, match="the same map in both"):
        compare_maps(data, BEFORE, JourneyFilter(map="help"))


def test_a_recent_period_is_compared_by_what_was_quick() -> None:
    """Half go on after a day and half after ten: the same, but not seen yet in the last days."""
    log: list[tuple[Any, ...]] = []
    for place in range(160):
        began = 20.0 if place < 80 else 64.0
        kind, days = ("coupon", 1.0) if place % 2 else ("paid", 10.0)
        log += [(f"c{place}", "cart", began), (f"c{place}", kind, began + days)]
    before = JourneyFilter(map="buying", until=day(60.0))
    after = JourneyFilter(map="buying", since=day(60.0))
    with journeys_of(small_shop(), log, 70.0) as data:
        misled = compare_maps(data, before, after)
        assert edge(misled.edges, "cart", "coupon").is_changed
        found = compare_maps(data, before, after, ComparisonDefinition(within_days=5))
        one = edge(found.edges, "cart", "coupon")
        assert (one.share_before, one.share_after, one.is_changed) == (0.5, 0.5, False)
        assert one.p_value is not None
