"""Tests maps of journeys by hand, and by what users of other tools complain about."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnel_definition import FunnelDefinition
from features.analytics.views.funnels.funnels import funnel
from features.analytics.views.list_rows import list_count, list_rows
from features.analytics.views.maps.journey_map import JourneyMap, MapNode, journey_map
from features.errors import InvalidRequest
from tests.features.analytics.views.random_logs import numbers_of
from tests.features.analytics.views.small_shop import event, small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
DAY_S = 86_400
LOG: list[tuple[Any, ...]] = [
    ("a", "page", 0.0, "app", {"name": "home"}),
    ("a", "cart", 1.0, "app"),
    ("a", "cart", 2.0, "phone"),
    ("a", "done", 6.0, "app"),
    ("b", "cart", 0.0, "phone"),
    ("b", "page", 1.0, "phone", {"name": "offer"}),
    ("b", "cart", 3.0, "phone"),
    ("c", "cart", 0.0, "phone"),
]


def of_log(log: Iterable[tuple[Any, ...]], *how: Any, **more: Any) -> JourneyMap:
    with journeys_of(small_shop(), log, as_of_days=9.0) as data:
        return journey_map(data, BUYING, *how, **more)


def edges_of(found: JourneyMap) -> dict[tuple[str, str], int]:
    return {(edge.source, edge.target): edge.n.n for edge in found.edges}


def node_of(found: JourneyMap, label: str) -> MapNode:
    return next(node for node in found.nodes if node.label == label)


def test_all_transitions_are_counted_with_their_share_and_time() -> None:
    found = of_log(LOG)
    assert edges_of(found) == {
        ("START", "cart"): 2,
        ("cart", "END"): 2,
        ("START", "home"): 1,
        ("home", "cart"): 1,
        ("offer", "cart"): 1,
        ("cart", "cart"): 1,
        ("cart", "offer"): 1,
        ("cart", "done"): 1,
        ("done", "END"): 1,
    }
    shares = {(edge.source, edge.target): edge.share for edge in found.edges}
    assert shares["START", "cart"] == pytest.approx(2 / 3)
    assert shares["cart", "END"] == pytest.approx(2 / 5)  # of the visits of the cart
    times = {(edge.source, edge.target): edge.median_s for edge in found.edges}
    assert times["cart", "done"] == pytest.approx(4 * DAY_S, rel=0.0221)
    assert times["START", "cart"] is None
    assert times["cart", "END"] is None


def test_visits_journeys_and_customers_are_counted_apart() -> None:
    """Adobe: one picture mixes people and events, so a later node has more than an earlier one."""
    found = of_log([*LOG, ("a", "cart", 7.0)])
    cart = node_of(found, "cart")
    assert (cart.visits.n, cart.journeys.n) == (6, 4)
    assert (found.steps.n, found.journeys.n, found.customers.n) == (9, 4, 3)
    assert max(edge.share for edge in found.edges) <= 1


def test_entries_exits_bounces_and_loops_of_a_node() -> None:
    cart = node_of(of_log(LOG), "cart")
    assert (cart.entries.n, cart.exits.n, cart.bounces.n, cart.loops.n) == (2, 2, 1, 1)


def test_journeys_are_counted_by_how_they_ended_and_those_that_ended_by_their_time() -> None:
    found = of_log(LOG)
    assert {how: number.n for how, number in found.how.items()} == {
        "ended": 1,
        "left": 0,
        "lapsed": 0,
        "open": 2,
    }
    assert found.median_s == pytest.approx(6 * DAY_S, rel=0.0221)


def test_the_stage_and_the_lane_of_a_node_are_those_of_all_data() -> None:
    """Apromore: a node is at another height after each filter."""
    with journeys_of(small_shop(), LOG, as_of_days=9.0) as data:
        places = [
            [(node.label, node.stage, node.lane) for node in journey_map(data, wanted).nodes]
            for wanted in (BUYING, JourneyFilter(map="buying", entry_channel=("app",)))
        ]
    assert places[0] == places[1]
    assert places[0] == [
        ("home", "interest", "app"),
        ("offer", "interest", "phone"),
        ("cart", "consideration", "phone"),
        ("done", "use", "app"),
    ]


@pytest.mark.parametrize(("lanes", "lane"), [("touchpoint", "internal"), ("none", None)])
def test_a_map_without_channels_has_other_lanes(lanes: str, lane: str | None) -> None:
    domain = small_shop(journeys={"buying": {"map": {"lanes": lanes}}})
    with journeys_of(domain, LOG) as data:
        assert {node.lane for node in journey_map(data, BUYING).nodes} == {lane}


def test_a_node_that_a_filter_leaves_without_visits_stays_on_the_map() -> None:
    with journeys_of(small_shop(), LOG, as_of_days=9.0) as data:
        found = journey_map(data, JourneyFilter(map="buying", how=("ended",)))
    assert node_of(found, "offer").visits.n == 0


def test_nothing_is_cut_at_50_transitions_or_5_steps() -> None:
    """PostHog paths: the top 50 transitions of the first 5 steps."""
    types = [f"t{place:02}" for place in range(12)]
    domain = small_shop(
        events={name: event("buying", "interest") for name in types}, churn=None, journeys={}
    )
    log = []
    for customer in range(8):  # each goes through the types with another stride
        for place in range(40):
            log.append((f"c{customer}", types[(place * (customer + 1)) % 12], place / 4))
    with journeys_of(domain, log) as data:
        found = journey_map(data, BUYING)
    expected: dict[tuple[str, str], int] = {}
    for customer in range(8):
        way = [name for who, name, _ in log if who == f"c{customer}"]
        for pair in pairwise(["START", *way, "END"]):
            expected[pair] = expected.get(pair, 0) + 1
    assert len(expected) > 50
    assert edges_of(found) == expected
    assert found.bundled.n == 0


def test_rare_transitions_are_other_ways_of_their_source() -> None:
    found = of_log(LOG, at_least=2)
    assert edges_of(found) == {("START", "cart"): 2, ("cart", "END"): 2}
    other = {way.source: (way.kinds, way.n.n) for way in found.other_ways}
    assert other == {
        "START": (1, 1),
        "home": (1, 1),
        "offer": (1, 1),
        "cart": (3, 3),
        "done": (1, 1),
    }
    assert found.bundled.n + 4 == found.transitions.n == 11


def test_nodes_beyond_the_most_visited_are_other_steps_and_are_named() -> None:
    found = of_log(LOG, at_most=1)
    assert [(node.label, node.visits.n) for node in found.nodes] == [
        ("cart", 5),
        ("other steps", 3),
    ]
    assert found.bundled_nodes == ("home", "offer", "done")
    other = node_of(found, "other steps")
    assert (other.stage, other.lane, other.types) == (None, None, ())
    assert (other.entries.n, other.exits.n, other.bounces.n) == (1, 1, 0)


def test_a_map_has_as_many_nodes_as_its_rules_say() -> None:
    domain = small_shop(journeys={"buying": {"map": {"node": "name", "at_most": 2}}})
    with journeys_of(domain, LOG) as data:
        labels = [node.label for node in journey_map(data, BUYING).nodes]
    assert labels == ["home", "cart", "other steps"]


def test_first_and_later_visits_of_a_node_are_both_counted() -> None:
    """Heap: the first path into a node, and the last one out of it."""
    found = edges_of(of_log(LOG))
    assert found["START", "cart"] + found["home", "cart"] + found["offer", "cart"] == 4
    assert found["cart", "cart"] == 1


def test_a_path_counts_as_many_journeys_as_the_funnel_of_its_steps() -> None:
    """PostHog issues 37285 and 32433: paths count others than the funnel of the same steps."""
    with journeys_of(small_shop(), LOG, as_of_days=9.0) as data:
        found = journey_map(data, BUYING)
        for label in ("home", "offer", "cart", "done"):
            steps = FunnelDefinition.model_validate({"steps": [{"step": label}]})
            assert (
                funnel(data, BUYING, steps).steps[0].reached.n == node_of(found, label).journeys.n
            )
        bought = FunnelDefinition.model_validate({"steps": [{"step": "cart"}, {"step": "done"}]})
        assert funnel(data, BUYING, bought).steps[1].reached.n == node_of(found, "done").journeys.n


def test_events_of_one_second_are_in_the_order_of_the_ledger() -> None:
    """pm4py issue 481: events of one second come in any order."""
    log = [("a", "cart", 0.0), ("a", "coupon", 0.0), ("a", "cart", 0.0), ("a", "paid", 0.0)]
    assert edges_of(of_log(log)) == {
        ("START", "cart"): 1,
        ("cart", "coupon"): 1,
        ("coupon", "cart"): 1,
        ("cart", "paid"): 1,
        ("paid", "END"): 1,
    }


def test_each_number_of_a_map_is_as_long_as_its_list() -> None:
    with journeys_of(small_shop(), LOG, as_of_days=9.0) as data:
        for found in (
            journey_map(data, BUYING),
            journey_map(data, BUYING, at_most=2, hidden=("home",), at_least=2),
        ):
            numbers = [*numbers_of(found)]
            assert len(numbers) > 20
            for number in numbers:
                assert list_count(data, number.rows) == number.n
                assert len(list_rows(data, number.rows)) == number.n


def test_a_map_without_journeys_is_empty() -> None:
    with journeys_of(small_shop(), []) as data:
        found = journey_map(data, BUYING)
    assert (found.journeys.n, found.customers.n, found.nodes, found.edges) == (0, 0, (), ())
    assert (found.median_s, found.p90_s) == (None, None)


def test_a_hidden_node_that_the_map_has_not_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="hidden names 'asked'"):
        of_log(LOG, hidden=("asked",))


def test_a_map_of_no_node_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="options.at_most is 0: Input should be greater than"):
        of_log(LOG, at_most=0)
