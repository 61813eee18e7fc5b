"""Tests repeated steps and their time by hand, and against a plain walk over random journeys."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings

from features.analytics.journey_data import JourneyData, connect
from features.analytics.tables import NO_CHANNEL
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_rows
from features.analytics.views.maps.loops import Loops, Repeated, loops
from tests.features.analytics.views.random_logs import MAPS, RandomLog, random_logs
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
DAY_S = 86_400
LOG: list[tuple[Any, ...]] = [
    ("a", "cart", 0.0, "app"),
    ("a", "cart", 1.0, "phone"),
    ("a", "coupon", 3.0, "app"),
    ("a", "cart", 6.0, "app"),
    ("a", "cart", 10.0, "phone"),
    ("b", "paid", 0.0, "app"),
]


def of_log(log: list[tuple[Any, ...]]) -> Loops:
    with journeys_of(small_shop(), log, as_of_days=11.0) as data:
        return loops(data, BUYING)


def told(listed: tuple[Repeated, ...]) -> list[tuple[tuple[str, ...], int, float]]:
    return [(one.names, one.n.n, one.total_s / DAY_S) for one in listed]


def test_self_loops_returns_and_ping_pong_with_their_time() -> None:
    found = of_log(LOG)
    assert told(found.self_loops) == [(("cart",), 2, 5.0)]  # after 1 day, and after 4
    assert told(found.returns) == [(("cart",), 1, 5.0)]  # over the coupon: from day 1 to day 6
    assert told(found.ping_pong) == [(("app", "phone"), 1, 3.0)]
    assert found.self_loops[0].median_s == pytest.approx(DAY_S, rel=0.0221)
    assert found.self_loops[0].p90_s == pytest.approx(4 * DAY_S, rel=0.0221)
    assert found.self_loops[0].per_journey == 1.0
    sums = (found.all_self_loops.n, found.all_returns.n, found.all_ping_pong.n)
    assert sums == (2, 1, 1)


def test_journeys_are_counted_by_their_repeats() -> None:
    found = of_log(LOG)
    assert (found.journeys.n, found.with_repeat.n, found.share) == (2, 1, 0.5)
    assert [(one.repeats, one.n.n) for one in found.by_repeats] == [(0, 1), (3, 1)]


def test_journeys_with_very_many_repeats_are_counted_together() -> None:
    log = [("a", "cart", place / 4) for place in range(12)]
    log += [("b", "cart", place / 4) for place in range(14)]
    assert [(one.repeats, one.n.n) for one in of_log(log).by_repeats] == [(10, 2)]


def test_the_repeats_of_a_journey_are_in_its_list() -> None:
    with journeys_of(small_shop(), LOG, as_of_days=11.0) as data:
        found = loops(data, BUYING)
        (row,) = list_rows(data, found.with_repeat.rows)
        assert (row["customer_id"], row["repeats"], row["steps"]) == ("a", 3, 5)
        (again,) = list_rows(data, found.returns[0].n.rows)
        assert (again["customer_id"], again["time_s"], again["seq"]) == ("a", 5 * DAY_S, 3)


def test_a_journey_with_one_repeat_is_in_the_list_of_those_with_any() -> None:
    log = [("a", "cart", 0.0), ("a", "cart", 1.0), ("b", "cart", 0.0)]
    with journeys_of(small_shop(), log, as_of_days=11.0) as data:
        found = loops(data, BUYING).with_repeat
        assert found.n == 1
        assert [row["customer_id"] for row in list_rows(data, found.rows)] == ["a"]


def test_without_journeys_nothing_is_repeated() -> None:
    found = of_log([])
    assert (found.journeys.n, found.share, found.self_loops, found.by_repeats) == (0, 0.0, (), ())


@pytest.fixture(scope="module")
def connection() -> Iterator[DuckDBPyConnection]:
    opened = connect()
    yield opened
    opened.close()


def by_hand(data: JourneyData, name: str) -> list[dict[tuple[Any, ...], tuple[int, int]]]:
    """Walk the steps of each journey: self-loops, returns and ping-pong, with number and time."""
    ways: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    sql = "SELECT journey, node, channel, at_us FROM steps WHERE map = ? ORDER BY journey, seq"
    for journey, *step in data.rows(sql, [data.nodes.map_code(name)]):
        ways[journey].append(tuple(step))
    found: list[dict[tuple[Any, ...], list[int]]] = [defaultdict(list) for _ in range(3)]
    for steps in ways.values():
        for place, (node, _, at) in enumerate(steps):
            before = [one for one in range(place) if steps[one][0] == node]
            if before:
                kind = 0 if before[-1] == place - 1 else 1
                found[kind][(data.nodes.label(node),)].append(at - steps[before[-1]][2])
        contacts = [(channel, at) for _, channel, at in steps if channel != NO_CHANNEL]
        for first, second, third in zip(contacts, contacts[1:], contacts[2:], strict=False):
            if first[0] == third[0] != second[0]:
                names = data.nodes.channels[third[0]], data.nodes.channels[second[0]]
                found[2][names].append(third[1] - first[1])
    return [{key: (len(all_), sum(all_)) for key, all_ in kind.items()} for kind in found]


@given(random_logs())
@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)
def test_repeated_steps_equal_those_of_a_walk(
    connection: DuckDBPyConnection, log: RandomLog
) -> None:
    data = log.data(connection)
    for name in MAPS:
        found = loops(data, JourneyFilter(map=name))
        listed = found.self_loops, found.returns, found.ping_pong
        counted = [
            {one.names: (one.n.n, round(one.total_s * 1e6)) for one in kind} for kind in listed
        ]
        assert counted == by_hand(data, name)
        repeats = Counter({one.repeats: one.n.n for one in found.by_repeats})
        assert repeats.total() == found.journeys.n
