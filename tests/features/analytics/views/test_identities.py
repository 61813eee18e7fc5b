"""The counts of all views agree: the eight identities, and three sums, for random logs and filters.

A: `test_funnels` has it, and it is here for funnels over the labels of these maps. B to H are here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.analytics.journey_data import JourneyData, connect
from features.analytics.nodes import END_LABEL, START_LABEL
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnel_definition import FunnelDefinition
from features.analytics.views.funnels.funnels import funnel
from features.analytics.views.list_rows import list_count, list_rows
from features.analytics.views.lists import ListQuery
from features.analytics.views.maps.breakdowns import COLUMNS, breakdown
from features.analytics.views.maps.channels import channels
from features.analytics.views.maps.journey_map import JourneyMap, journey_map
from features.analytics.views.maps.loops import loops
from features.analytics.views.maps.ways import ways
from features.analytics.views.promised.conformance import conformance
from features.analytics.views.promised.promises import promises
from features.journeys.fold import Fold
from tests.features.analytics.views.random_logs import (
    DOMAIN,
    RandomLog,
    as_json,
    filters,
    labels_of_map,
    numbers_of,
    random_logs,
    shares_of,
)
from tests.journey_logs import pasts_of

FOLD = Fold(DOMAIN)
BREAKDOWNS = (*DOMAIN.attributes, *COLUMNS)
# One connection is used for all examples of a test, as opening one takes longer than an example.
examples = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)


@pytest.fixture(scope="module")
def connection() -> Iterator[DuckDBPyConnection]:
    opened = connect()
    yield opened
    opened.close()


def edges_of(found: JourneyMap) -> Counter[tuple[str, str]]:
    return Counter({(edge.source, edge.target): edge.n.n for edge in found.edges})


@given(random_logs(), filters(), st.data())
@examples
def test_a_funnel_loses_nobody(
    connection: DuckDBPyConnection,
    log: RandomLog,
    wanted: JourneyFilter,
    drawn: st.DataObject,
) -> None:
    data = log.data(connection)
    labels = st.sampled_from(labels_of_map(wanted.map))
    steps = [{"step": one} for one in drawn.draw(st.lists(labels, min_size=1, max_size=4))]
    found = funnel(data, wanted, FunnelDefinition.model_validate({"steps": steps}))
    assert found.journeys.n == journey_map(data, wanted).journeys.n
    before, stopped = found.journeys.n, found.stopped
    for step in found.steps:
        assert before == step.reached.n + sum(number.n for number in stopped.values())
        before, stopped = step.reached.n, step.stopped


@given(random_logs(), filters(), st.sampled_from([None, 1, 3]), st.sampled_from([1, 2, 4]))
@examples
def test_each_node_is_entered_and_left_as_often_as_it_is_visited(
    connection: DuckDBPyConnection,
    log: RandomLog,
    wanted: JourneyFilter,
    at_most: int | None,
    at_least: int,
) -> None:
    found = journey_map(log.data(connection), wanted, at_most, at_least=1)
    into, out = Counter[str](), Counter[str]()
    for (source, target), n in edges_of(found).items():
        out[source] += n
        into[target] += n
    for node in found.nodes:
        assert into[node.label] == out[node.label] == node.visits.n
        assert node.entries.n == edges_of(found)[START_LABEL, node.label]
        assert node.exits.n == edges_of(found)[node.label, END_LABEL]
    assert out[START_LABEL] == into[END_LABEL] == found.journeys.n
    assert sum(node.visits.n for node in found.nodes) == found.steps.n
    assert sum(number.n for number in found.how.values()) == found.journeys.n
    bundled = journey_map(log.data(connection), wanted, at_most, at_least=at_least)
    shown = sum(edge.n.n for edge in bundled.edges)
    assert shown + bundled.bundled.n == bundled.transitions.n == found.transitions.n
    assert sum(way.n.n for way in bundled.other_ways) == bundled.bundled.n
    by_source = Counter({way.source: way.n.n for way in bundled.other_ways})
    for edge in bundled.edges:
        by_source[edge.source] += edge.n.n
    assert by_source == out


@given(random_logs(), filters())
@examples
def test_ways_add_up_to_journeys_visits_and_transitions(
    connection: DuckDBPyConnection, log: RandomLog, wanted: JourneyFilter
) -> None:
    data = log.data(connection)
    found, went = journey_map(data, wanted, at_most=60), ways(data, wanted, limit=1000)
    assert sum(way.n.n for way in went.ways) == went.journeys.n == found.journeys.n
    assert went.distinct == len(went.ways)
    assert sum(way.n.n * len(way.steps) for way in went.ways) == found.steps.n
    expected = Counter[tuple[str, str]]()
    for way in went.ways:
        for pair in pairwise([START_LABEL, *way.steps, END_LABEL]):
            expected[pair] += way.n.n
        assert sum(number.n for number in way.how.values()) == way.n.n
    assert edges_of(found) == expected
    few = ways(data, wanted, limit=2)
    assert sum(way.n.n for way in few.ways) + few.others.n == few.journeys.n
    assert few.ways == went.ways[:2]


# Makers of a view, of its data, a filter, and what journeys are broken down by.
VIEWS: dict[str, Callable[[JourneyData, JourneyFilter, str], Any]] = {
    "map": lambda data, wanted, _: journey_map(data, wanted, at_most=3, at_least=2),
    "map with hidden nodes": lambda data, wanted, _: journey_map(
        data, wanted, at_most=4, hidden=labels_of_map(wanted.map)[:2], most_edges=4
    ),
    "ways": lambda data, wanted, _: ways(data, wanted, limit=3),
    "loops": lambda data, wanted, _: loops(data, wanted),
    "channels": lambda data, wanted, _: channels(data, wanted),
    "breakdown": lambda data, wanted, by: breakdown(data, wanted, by, limit=2),
}


@given(random_logs(), filters(), st.sampled_from([*VIEWS]), st.sampled_from(BREAKDOWNS))
@settings(examples, max_examples=36)
def test_each_number_is_as_long_as_its_list(
    connection: DuckDBPyConnection,
    log: RandomLog,
    wanted: JourneyFilter,
    name: str,
    by: str,
) -> None:
    data = log.data(connection)
    view = VIEWS[name](data, wanted, by)
    assert all(0 <= share <= 1 for share in shares_of(view))
    for place, number in enumerate(numbers_of(view)):
        assert list_count(data, number.rows) == number.n
        if place % 7 == 0:
            assert len(list_rows(data, number.rows, 1000)) == number.n


@given(random_logs(), filters(), st.sets(st.sampled_from(BREAKDOWNS), min_size=2, max_size=2))
@examples
def test_the_parts_of_a_breakdown_add_up(
    connection: DuckDBPyConnection, log: RandomLog, wanted: JourneyFilter, columns: set[str]
) -> None:
    data = log.data(connection)
    journeys = list_count(data, ListQuery(relation="journeys", filter=wanted))
    for by in sorted(columns):
        found = breakdown(data, wanted, by, limit=2)
        parts = sum(part.journeys.n for part in found.parts)
        assert parts + found.others.n == found.journeys.n == journeys
        for part in found.parts:
            assert sum(number.n for number in part.how.values()) == part.journeys.n


@given(random_logs(), filters())
@settings(examples, max_examples=40)
def test_filters_that_part_the_journeys_part_each_transition(
    connection: DuckDBPyConnection, log: RandomLog, wanted: JourneyFilter
) -> None:
    """A filter selects whole journeys: no transition is in no part, or in two."""
    data = log.data(connection)
    whole, some, rest = (
        edges_of(journey_map(data, wanted.model_copy(update={"how": how})))
        for how in ((), ("open", "left"), ("ended", "lapsed"))
    )
    assert some + rest == whole


@given(random_logs(), filters())
@examples
def test_days_of_start_add_up_to_the_period(
    connection: DuckDBPyConnection, log: RandomLog, wanted: JourneyFilter
) -> None:
    data = log.data(connection)
    found = breakdown(data, wanted, "start_day", limit=400)
    assert found.others.n == 0
    assert sum(part.journeys.n for part in found.parts) == found.journeys.n
    for part in found.parts[:2]:
        begin = datetime.fromisoformat(str(part.value)).replace(tzinfo=UTC)
        since = max(filter(None, (wanted.since, begin)))
        until = min(filter(None, (wanted.until, begin + timedelta(days=1))))
        day = wanted.model_copy(update={"since": since, "until": until})
        query = ListQuery(relation="journeys", filter=day)
        assert list_count(data, query) == part.journeys.n


def steps_by_hand(data: JourneyData, name: str, hidden: set[str]) -> list[list[tuple[str, int]]]:
    """Return the steps of each journey of a map that are not hidden, and their times."""
    found: dict[int, list[tuple[str, int]]] = {}
    sql = "SELECT journey, node, at_us FROM steps WHERE map = ? ORDER BY journey, seq"
    for journey, node, at in data.rows(sql, [data.nodes.map_code(name)]):
        kept = found.setdefault(journey, [])
        if data.nodes.label(node) not in hidden:
            kept.append((data.nodes.label(node), at))
    return [*found.values()]


@given(random_logs(), filters(), st.data())
@examples
def test_hiding_a_node_changes_no_visit_of_others_no_journey_and_no_time(
    connection: DuckDBPyConnection,
    log: RandomLog,
    wanted: JourneyFilter,
    drawn: st.DataObject,
) -> None:
    data = log.data(connection)
    hidden = drawn.draw(st.sets(st.sampled_from(labels_of_map(wanted.map)), min_size=1, max_size=3))
    whole, part = (journey_map(data, wanted, 60, one) for one in ((), sorted(hidden)))
    assert [part.journeys, part.customers, part.how] == [whole.journeys, whole.customers, whole.how]
    assert (part.median_s, part.p90_s) == (whole.median_s, whole.p90_s)
    kept = {node.label: node for node in whole.nodes if node.label not in hidden}
    assert [node.label for node in part.nodes] == [*kept]
    for node in part.nodes:
        before = kept[node.label]
        assert node.visits.n == before.visits.n
        assert node.journeys.n == before.journeys.n
        assert (node.stage, node.lane) == (before.stage, before.lane)
    expected, times = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    if wanted != JourneyFilter(map=wanted.map):
        return
    for steps in steps_by_hand(data, wanted.map, hidden):
        expected.update(pairwise([START_LABEL, *(label for label, _ in steps), END_LABEL]))
        for (source, begin), (target, end) in pairwise(steps):
            times[source, target] = max(times[source, target], end - begin)
    assert edges_of(part) == expected
    for edge in part.edges:
        if edge.source != START_LABEL and edge.target != END_LABEL:
            longest = times[edge.source, edge.target] / 1e6
            assert edge.p90_s is not None and edge.median_s is not None
            assert edge.median_s <= edge.p90_s <= longest * 1.0221


@given(random_logs(), st.sampled_from(["buying", "help"]))
@examples
def test_open_journeys_are_those_that_the_fold_serves(
    connection: DuckDBPyConnection, log: RandomLog, kind: str
) -> None:
    data = log.data(connection)
    served, oldest = 0, []
    for events in pasts_of(DOMAIN, log.log()).values():
        state = FOLD.empty()
        for _, name, channel, at, properties in events:
            if at <= data.as_of_us:
                state = FOLD.advance(state, name, channel, at / 1e6, json.loads(properties))
        values = FOLD.read(state, data.as_of_us / 1e6)
        features = dict(zip(FOLD.feature_names, values, strict=True))
        served += int(features[f"journey_{kind}_open"])
        if features[f"journey_{kind}_open"]:
            oldest.append(features[f"journey_{kind}_age_days"])
    found = journey_map(data, JourneyFilter(map=kind)).how["open"]
    assert found.n == served
    if served:
        first = datetime.fromisoformat(list_rows(data, found.rows, 1)[0]["start"])
        age = (data.as_of_us / 1e6 - first.timestamp()) / 86_400
        assert age == pytest.approx(max(oldest), abs=1e-9)


@given(random_logs(), filters(), st.sampled_from([*VIEWS]), st.sampled_from(BREAKDOWNS))
@settings(examples, max_examples=40)
def test_a_merge_that_is_taken_back_leaves_no_trace(
    connection: DuckDBPyConnection, log: RandomLog, wanted: JourneyFilter, name: str, by: str
) -> None:
    before, _, after = (
        as_json(VIEWS[name](one.data(connection), wanted, by))
        for one in (log.unlinked(), log, log.unlinked())
    )
    assert before == after


@given(random_logs(), filters().filter(lambda wanted: wanted.map == "help"))
@settings(examples, max_examples=30)
def test_promises_and_conformance_add_up_and_are_as_long_as_their_lists(
    connection: DuckDBPyConnection, log: RandomLog, wanted: JourneyFilter
) -> None:
    data = log.data(connection)
    found, (went,) = promises(data, wanted), conformance(data, wanted, limit=2)
    assert len(found) == 6
    for one in found:
        states = (one.kept, one.broken, one.open, one.void)
        assert sum(number.n for number in states) == one.activations.n
    assert went.journeys.n == journey_map(data, wanted).journeys.n
    assert went.conforming.n + went.on_the_way.n + went.deviating.n == went.journeys.n
    told = sum(one.n.n for one in went.deviations)
    assert told + went.other_deviations.n == went.deviating.n
    for place, number in enumerate(numbers_of((found, went))):
        if place % 4 == 0:
            assert list_count(data, number.rows) == number.n
