"""The map of the help desk equals pandas: an event log of 21,348 steps that others have published.

Case by case, 14 nodes and 226 ways are known from the literature of process mining. As shipped, a
ticket ends when it is closed, and 17 tickets are opened again: these are new journeys.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import pandas as pd
import pytest

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from features.analytics.journey_data import JourneyData
from features.analytics.nodes import END_LABEL, START_LABEL
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.maps.journey_map import JourneyMap, MapEdge, journey_map
from features.analytics.views.maps.loops import Loops, loops
from features.analytics.views.maps.ways import Ways, ways
from features.analytics.views.promised.conformance import conformance
from features.analytics.views.promised.promises import promises
from features.business.domain import load_domain
from features.ingest.sources.helpdesk import write_tables
from features.settings import PACKAGE
from tests.conftest import published
from tests.promise_oracle import OracleStep, judge

SUPPORT = JourneyFilter(map="support")
DAY_S = 86_400
TAKEN, RESOLVED, CLOSED = "Take in charge ticket", "Resolve ticket", "Closed"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The events as they are imported, in the order of their cases; one row for each step."""
    folder = tmp_path_factory.mktemp("help_desk")
    write_tables(published("helpdesk.csv.gz"), folder)
    table = pd.read_parquet(folder / "events.parquet")
    return table.sort_values(["customer_id", "occurred_at", "event_id"], ignore_index=True)


def cut(events: pd.DataFrame, ends: bool) -> JourneyData:
    domain = load_domain(PACKAGE / "domains" / "helpdesk.yaml")
    if not ends:
        kind = domain.journeys["support"].model_copy(update={"ends_when": None})
        domain = domain.model_copy(update={"journeys": {"support": kind}})
    at_us = events["occurred_at"].dt.tz_convert(None).astype("datetime64[us]").astype("int64")
    rows = [
        (customer_id, "activity", "desk", at, json.dumps({"name": name}))
        for customer_id, at, name in zip(events["customer_id"], at_us, events["name"], strict=True)
    ]
    until_us = int(at_us.max()) + 1
    journeys, steps = CustomerCutter(domain).tables(CustomerPasts(rows, {}, {}), until_us)
    return JourneyData.of_tables(domain, journeys, steps, until_us)


@pytest.fixture(scope="module")
def by_case(events: pd.DataFrame) -> tuple[JourneyMap, Ways, Loops]:
    """The views of tickets that are one journey each, whatever happens."""
    with cut(events, ends=False) as data:
        return journey_map(data, SUPPORT), ways(data, SUPPORT), loops(data, SUPPORT)


@pytest.fixture(scope="module")
def ending(events: pd.DataFrame) -> Iterator[JourneyData]:
    """The tickets that end when they are closed."""
    with cut(events, ends=True) as data:
        yield data


@pytest.fixture(scope="module")
def shipped(ending: JourneyData) -> tuple[JourneyMap, Ways, Loops]:
    """The views of tickets that end when they are closed."""
    return journey_map(ending, SUPPORT), ways(ending, SUPPORT, 1000), loops(ending, SUPPORT)


def between_steps(found: JourneyMap) -> list[MapEdge]:
    """Return the transitions from one step to another one."""
    return [one for one in found.edges if one.source != START_LABEL and one.target != END_LABEL]


def journeys_by_hand(events: pd.DataFrame) -> pd.Series:
    """Return the journey of each step: the next one begins after a ticket is closed."""
    closed = events.groupby("customer_id", sort=False)["name"].shift() == CLOSED
    return events["customer_id"] + closed.groupby(events["customer_id"]).cumsum().astype(str)


def test_counts_by_case_are_the_published_ones(by_case: tuple[JourneyMap, Ways, Loops]) -> None:
    found, went, repeated = by_case
    edges = between_steps(found)
    assert found.journeys.n == found.customers.n == 4_580
    assert len(found.nodes) == 14
    assert len(edges) == 55
    assert sum(one.n.n for one in edges) == 16_768
    assert sum(node.loops.n for node in found.nodes) == repeated.all_self_loops.n == 944
    assert went.distinct == 226
    assert round(repeated.share, 3) == 0.271
    assert round(went.ways[0].share, 3) == 0.517
    assert round(sum(one.share for one in went.ways), 3) == 0.841
    assert went.ways[0].steps == ("Assign seriousness", TAKEN, RESOLVED, CLOSED)


def test_the_time_to_resolve_is_within_one_bucket(by_case: tuple[JourneyMap, Ways, Loops]) -> None:
    (edge,) = [one for one in by_case[0].edges if (one.source, one.target) == (TAKEN, RESOLVED)]
    assert edge.n.n == 3_563
    assert edge.median_s == pytest.approx(0.113 * DAY_S, rel=0.0221)


def test_all_transitions_and_their_times_equal_pandas(
    events: pd.DataFrame, shipped: tuple[JourneyMap, Ways, Loops]
) -> None:
    own = events.groupby(journeys_by_hand(events), sort=False)
    pairs = events.assign(
        before=own["name"].shift(), seconds=own["occurred_at"].diff().dt.total_seconds()
    ).dropna(subset="before")
    by_hand = pairs.groupby(["before", "name"])["seconds"]
    expected = by_hand.quantile(0.5, interpolation="lower"), by_hand.count()
    found = {(one.source, one.target): one for one in between_steps(shipped[0])}
    assert {pair: one.n.n for pair, one in found.items()} == expected[1].to_dict()
    for pair, one in found.items():
        assert one.median_s == pytest.approx(expected[0][pair], rel=0.0221, abs=1e-6)
    starts = Counter(own["name"].first())
    assert {one.label: one.entries.n for one in shipped[0].nodes if one.entries.n} == starts


def test_ways_equal_pandas(events: pd.DataFrame, shipped: tuple[JourneyMap, Ways, Loops]) -> None:
    expected = Counter(events.groupby(journeys_by_hand(events))["name"].agg(tuple))
    went = shipped[1]
    assert {way.steps: way.n.n for way in went.ways} == expected
    assert went.others.n == 0
    ended = {way.steps: way.how["ended"].n for way in went.ways}
    assert ended == {way: n * (way[-1] == CLOSED) for way, n in expected.items()}


def test_repeated_steps_and_their_time_equal_pandas(
    events: pd.DataFrame, shipped: tuple[JourneyMap, Ways, Loops]
) -> None:
    journeys = journeys_by_hand(events)
    place = events.groupby(journeys).cumcount()
    again = events.assign(place=place, journey=journeys).groupby(["journey", "name"], sort=False)
    steps = events.assign(
        journey=journeys,
        gap=place - again["place"].shift(),
        seconds=again["occurred_at"].diff().dt.total_seconds(),
    ).dropna(subset="gap")
    found = shipped[2]
    for kind, listed in ((steps["gap"] == 1, found.self_loops), (steps["gap"] > 1, found.returns)):
        expected = steps[kind].groupby("name")["seconds"].agg(["count", "sum"])
        assert {one.names[0]: one.n.n for one in listed} == expected["count"].to_dict()
        for one in listed:
            assert one.total_s == pytest.approx(expected["sum"][one.names[0]], rel=1e-9)
    per_journey = steps.groupby("journey").size()
    assert found.with_repeat.n == len(per_journey)
    assert {one.repeats: one.n.n for one in found.by_repeats if one.repeats} == dict(
        Counter(per_journey.clip(upper=10))
    )


def test_promises_equal_brute_force(events: pd.DataFrame, ending: JourneyData) -> None:
    at_us = events["occurred_at"].dt.tz_convert(None).astype("datetime64[us]").astype("int64")
    steps = [
        OracleStep(at, frozenset([name])) for at, name in zip(at_us, events["name"], strict=True)
    ]
    (expected,) = ending.domain.journey_kinds["support"].expected
    counts = Counter[tuple[str, str]]()
    for places in events.groupby(journeys_by_hand(events)).indices.values():
        own = [steps[place] for place in places]
        closed = own[-1].at_us if CLOSED in own[-1].names else None
        for name, promise in expected.promises.items():
            judged = judge(promise, own, closed, ending.as_of_us)
            counts.update((name, one.state) for one in judged)
    found = {
        (view.name, state): getattr(view, state).n
        for view in promises(ending, SUPPORT)
        for state in ("kept", "broken", "open", "void")
    }
    assert +Counter(found) == counts
    assert {state for _, state in counts} == {"kept", "broken", "open"}


def test_conformance_equals_a_regular_expression(events: pd.DataFrame, ending: JourneyData) -> None:
    letters = {"Insert ticket": "i", "Assign seriousness": "a", TAKEN: "t", "Wait": "w"}
    letters |= {RESOLVED: "r", CLOSED: "c"}
    told = events["name"].map(letters).fillna("x").groupby(journeys_by_hand(events)).agg("".join)
    (view,) = conformance(ending, SUPPORT, limit=1000)
    assert view.journeys.n == len(told)
    assert view.conforming.n == told.str.fullmatch("i?atw?rc").sum()
    assert view.on_the_way.n == told.str.fullmatch("i?(a(t(w?r?)?)?)?").sum()
    begun = re.compile("i?(a(t(w?(rc?)?)?)?)?")
    deviations = Counter(
        way[begun.match(way).end()]  # type: ignore[union-attr]
        for way in told
        if not begun.fullmatch(way)
    )
    found = Counter[str]()
    for one in view.deviations:
        found[letters.get(one.found or "", "x")] += one.n.n
    assert found == deviations
