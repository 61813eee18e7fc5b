"""Tests which journey follows another one: sums, ties, windows that are not over, and leaving."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.analytics.journey_data import JourneyData
from features.analytics.tables import HOWS
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.next_journeys import NextDefinition, next_journeys
from features.analytics.views.list_rows import list_count, list_rows
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

ALL = JourneyFilter()
DAY_US = 86_400_000_000


def counted(
    log: list[tuple[Any, ...]], as_of: float, days: float = 7, wanted: JourneyFilter = ALL
) -> dict[tuple[str, str], dict[str, int]]:
    """Count what came next, by kind and how; without zeros."""
    with journeys_of(small_shop(), log, as_of) as data:
        found = next_journeys(data, wanted, NextDefinition(within_days=days))
        for row in found.rows:
            assert tuple(row.nexts) == found.columns
            assert row.journeys.n == sum(number.n for number in row.nexts.values())
        return {
            (row.kind, row.how): {name: one.n for name, one in row.nexts.items() if one.n}
            for row in found.rows
        }


def test_the_next_journey_is_the_first_that_begins_after_the_end() -> None:
    log = [
        ("a", "asked", 0.0),
        ("a", "solved", 1.0),
        ("a", "page", 3.0),
        ("a", "asked", 4.0),
        ("b", "asked", 0.0),
        ("b", "solved", 1.0),
        ("b", "asked", 2.0),
    ]
    assert counted(log, as_of=5.0) == {("help", "ended"): {"buying": 1, "help": 1}}


def test_a_journey_that_ran_beside_it_is_not_the_next_one() -> None:
    log = [("a", "asked", 0.0), ("a", "page", 0.5), ("a", "solved", 1.0), ("a", "cart", 2.0)]
    assert counted(log, as_of=5.0) == {("help", "ended"): {"nothing yet": 1}}


def test_nothing_yet_is_not_nothing_came() -> None:
    log = [("old", "solved", 0.0), ("on_the_day", "solved", 1.0), ("new", "solved", 5.0)]
    assert counted(log, as_of=8.0) == {("help", "ended"): {"nothing yet": 2, "nothing came": 1}}


def test_a_journey_after_the_days_does_not_count_and_one_at_their_end_does() -> None:
    log = [("a", "solved", 0.0), ("a", "page", 7.0), ("b", "solved", 0.0), ("b", "page", 7.01)]
    assert counted(log, as_of=20.0) == {("help", "ended"): {"buying": 1, "nothing came": 1}}


def test_leaving_comes_before_the_journey_of_the_leaving_event() -> None:
    log = [
        ("a", "solved", 0.0),
        ("a", "gone", 2.0),
        ("b", "solved", 0.0),
        ("b", "page", 1.0),
        ("b", "gone", 2.0),
    ]
    assert counted(log, as_of=20.0) == {
        ("buying", "left"): {"customer left": 1},
        ("help", "ended"): {"buying": 1, "customer left": 1},
        ("leaving", "ended"): {"customer left": 2},
    }


def test_of_one_moment_the_order_of_the_ledger_decides() -> None:
    log = [("a", "solved", 1.0), ("a", "done", 1.0)]
    assert counted(log, as_of=20.0) == {
        ("buying", "ended"): {"nothing came": 1},
        ("help", "ended"): {"buying": 1},
    }


def test_lapsed_journeys_are_followed_from_the_day_they_lapsed() -> None:
    log = [("a", "asked", 0.0), ("a", "page", 16.0)]
    assert counted(log, as_of=30.0)["help", "lapsed"] == {"buying": 1}  # lapsed on day 10


def test_a_filter_of_one_kind_shows_that_kind() -> None:
    log = [("a", "solved", 0.0), ("a", "done", 1.0)]
    wanted = JourneyFilter(map="help")
    assert counted(log, as_of=5.0, wanted=wanted) == {("help", "ended"): {"buying": 1}}


def by_hand(data: JourneyData, days: float) -> dict[str, str]:
    """Return by journey what came next."""
    rows = data.rows("SELECT journey, customer_id, map, how, start_us, end_us FROM journeys")
    life = data.nodes.map_code("lifecycle")
    found = {}
    for journey, customer, kind, _, _, end in rows:
        if kind == life or end is None:
            continue
        until = end + days * DAY_US
        later = [
            (start, other, data.nodes.maps[other_kind])
            for other, whose, other_kind, _, start, _ in rows
            if whose == customer and other_kind != life and (start, other) > (end, journey)
        ]
        gone = [
            other_end
            for _, whose, other_kind, how, _, other_end in rows
            if whose == customer and other_kind == life and HOWS[how] == "left" and other_end >= end
        ]
        first = min(later, default=(10**18, 0, ""))
        if gone and min(gone) <= min(first[0], until):
            found[str(journey)] = "customer left"
        elif first[0] <= until:
            found[str(journey)] = first[2]
        else:
            found[str(journey)] = "nothing yet" if until >= data.as_of_us else "nothing came"
    return found


kinds = st.sampled_from(["page", "done", "asked", "solved", "gone"])
logs = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), kinds, st.sampled_from([0.0, 1.0, 2.0, 9.0, 45.0])),
    max_size=16,
)


@settings(max_examples=25, deadline=None)
@given(logs, st.sampled_from([9.0, 50.0]), st.sampled_from([1.0, 8.0, 41.0]))
def test_rows_equal_those_worked_by_hand_and_numbers_their_lists(
    log: list[tuple[Any, ...]], as_of: float, days: float
) -> None:
    with journeys_of(small_shop(), log, as_of) as data:
        found = next_journeys(data, ALL, NextDefinition(within_days=days))
        listed = {}
        for row in found.rows:
            assert row.journeys.n == sum(number.n for number in row.nexts.values())
            assert row.journeys.n == list_count(data, row.journeys.rows)
            for name, number in row.nexts.items():
                shown = list_rows(data, number.rows) if number.n else []
                assert number.n == len(shown)
                listed |= {one["journey"]: name for one in shown}
        assert listed == by_hand(data, days)


def test_of_the_lifecycle_a_node_is_one_of_any_kind() -> None:
    """Kinds without that node have no journeys, and a node of no kind is refused."""
    log = [("a", "cart", 0.0), ("a", "done", 1.0), ("b", "asked", 0.0), ("b", "solved", 1.0)]
    carts = ALL.model_copy(update={"through": "cart"})
    assert counted(log, 2.0, wanted=carts) == {("buying", "ended"): {"nothing yet": 1}}
    silent = ALL.model_copy(update={"through": "silent"})
    with pytest.raises(InvalidRequest, match="through is 'silent'. Expected a node of a kind of j"):
        counted(log, 2.0, wanted=silent)
