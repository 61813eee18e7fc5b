"""Tests the counts of transitions: by source, by target, and their times."""

from __future__ import annotations

import pytest

from features.analytics.tables import END, START
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_count
from features.analytics.views.maps.drawn import DrawnAs
from features.analytics.views.maps.edge_counts import EdgeCounts
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
DAY_S = 86_400


def test_transitions_are_counted_by_source_target_and_time() -> None:
    log = [("a", "cart", 0.0), ("a", "paid", 1.0), ("b", "cart", 0.0), ("b", "paid", 3.0)]
    log += [("c", "cart", 0.0), ("c", "paid", 9.0), ("d", "cart", 0.0)]
    with journeys_of(small_shop(), log) as data:
        counts = EdgeCounts(data, BUYING, DrawnAs(at_least=2))
        cart, paid = data.nodes.code("buying", "cart"), data.nodes.code("buying", "paid")
        assert counts.n() == 11
        assert (counts.n(START), counts.n(START, cart), counts.n(None, END)) == (4, 4, 4)
        assert (counts.n(cart), counts.n(cart, paid), counts.n(paid, cart)) == (4, 3, 0)
        place = [*zip(counts.sources, counts.targets, strict=True)].index((cart, paid))
        assert counts.counts[place] == 3
        assert counts.times(place) == (
            pytest.approx(3 * DAY_S, rel=0.0221),
            pytest.approx(9 * DAY_S, rel=0.0221),
        )
        rare = counts.number(1, {"is_rare": 1})
        assert list_count(data, rare.rows) == 1  # from the cart to the end


def test_transitions_from_the_start_have_no_time() -> None:
    with journeys_of(small_shop(), [("a", "cart", 0.0)]) as data:
        counts = EdgeCounts(data, BUYING, DrawnAs())
        assert [counts.times(place) for place in range(2)] == [(None, None), (None, None)]


def test_transitions_that_are_equally_frequent_are_all_told_or_counted_together() -> None:
    log = [("a", "cart", 0.0), ("a", "paid", 1.0)]
    with journeys_of(small_shop(), log) as data:
        assert EdgeCounts(data, BUYING, DrawnAs(), most=1).at_least == 1  # all three are as many
    log += [("b", "cart", 0.0), ("b", "paid", 1.0), ("b", "done", 2.0)]
    with journeys_of(small_shop(), log) as data:
        by_most = [EdgeCounts(data, BUYING, DrawnAs(), most).at_least for most in (1, 2, 4, 5)]
    # START to cart 2, cart to paid 2; paid to done, paid to END and done to END 1.
    assert by_most == [2, 2, 2, 1]
