"""Tables beside the pictures: they hold each number of the view, and the link to its list."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures.map_layout import lay_out
from features.analytics.pictures.svg import XHTML, list_address, no_address
from features.analytics.pictures.tables import (
    funnel_table,
    map_table,
    promises_table,
    times_table,
    ways_table,
)
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.conversion_times import ConversionDefinition, conversion_times
from features.analytics.views.funnels.funnels import FunnelDefinition, funnel
from features.analytics.views.maps.journey_map import journey_map
from features.analytics.views.maps.ways import ways
from features.analytics.views.promised.promises import promises
from tests.journey_logs import journeys_of
from tests.journey_pictures import HOSTILE, desk, desk_log, links_of, says

WANTED = JourneyFilter(map="support")
THANKED = ConversionDefinition.model_validate({"to": {"step": "thanked"}})
STEPS = FunnelDefinition.model_validate({"steps": [{"step": "taken"}, {"step": "thanked"}]})


@pytest.fixture(scope="module")
def data():
    with journeys_of(desk(), desk_log(10), as_of_days=9.5) as opened:
        yield opened


def check(table, numbers):
    links = links_of(table)
    for number in numbers:
        told = [said for query, said in links if query == number.rows]
        assert told and all(says(one, number.n) for one in told), number


@pytest.mark.parametrize("at_least", [1, 3])
def test_the_list_of_a_map_has_all_nodes_and_transitions(data, at_least):
    found = journey_map(data, WANTED, at_least=at_least)
    table = map_table(found, lay_out(data.domain, "support", found.nodes), list_address)
    nodes = [number for one in found.nodes for number in (one.visits, one.journeys)]
    others = [one.n for one in found.other_ways]
    check(table, [found.journeys, *nodes, *(one.n for one in found.edges), *others])
    stages = [one.text for one in ElementTree.fromstring(table).iter(f"{{{XHTML}}}h4")]
    assert stages == ["Start", "use", "advocacy"]
    assert "<script" not in table and f"{HOSTILE[:7]}" not in table


def test_the_table_of_ways_has_how_each_ended(data):
    found = ways(data, WANTED, 2)
    numbers = [number for one in found.ways for number in (one.n, *one.how.values())]
    check(ways_table(found, list_address), [*numbers, found.others])


def test_the_table_of_a_funnel_has_what_stopped_journeys(data):
    found = funnel(data, WANTED, STEPS)
    numbers = [found.journeys]
    for one in found.steps:
        numbers += [one.reached, *(number for number in one.stopped.values() if number.n)]
        numbers += [number for _, number in one.next_instead]
    check(funnel_table(found, list_address), numbers)


def test_the_table_of_promises_has_the_states_and_those_that_are_due(data):
    found = promises(data, WANTED)
    table = promises_table(found, list_address)
    check(table, [number for one in found for number in (one.kept, one.broken, one.open, one.void)])
    assert found[0].due and all(f">{each.customer_id}</bdi>" in table for each in found[0].due)


def test_the_table_of_times_has_the_states(data):
    found = conversion_times(data, WANTED, THANKED)
    check(times_table(found, list_address), [found.converted, found.stopped, found.waiting])


def test_without_addresses_the_same_figures_are_texts(data):
    found = ways(data, WANTED, 3)
    one, other = ways_table(found, list_address), ways_table(found, no_address)
    assert "<a" not in other
    texts = [list(ElementTree.fromstring(table).itertext()) for table in (one, other)]
    assert texts[0] == texts[1]
