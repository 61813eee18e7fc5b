"""Sentences before pictures: their figures, worked out by hand."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures import sentences
from features.analytics.pictures.svg import list_address, no_address
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.conversion_times import ConversionDefinition, conversion_times
from features.analytics.views.funnels.funnels import FunnelDefinition, funnel
from features.analytics.views.maps.journey_map import journey_map
from features.analytics.views.maps.ways import ways
from features.analytics.views.promised.promises import promises
from tests.journey_logs import journeys_of
from tests.journey_pictures import desk, links_of

WANTED = JourneyFilter(map="support")
NOBODY = JourneyFilter.model_validate({"map": "support", "until": "2000-01-01T00:00:00Z"})
THANKED = ConversionDefinition.model_validate({"to": {"step": "thanked"}})
STEPS = FunnelDefinition.model_validate({"steps": [{"step": "taken"}, {"step": "thanked"}]})
# Three of four thank, after 1, 1 and 3 days; the last one is solved late and waits.
LOG = [
    *(("a", "activity", 0.0, "web", {"name": "taken"}), ("a", "thanked", 1.0)),
    *(("b", "activity", 0.0, "web", {"name": "taken"}), ("b", "thanked", 1.0)),
    ("c", "activity", 0.0, "web", {"name": "taken"}),
    *(("c", "activity", 1.0, "web", {"name": "solved"}), ("c", "thanked", 3.0)),
    ("d", "activity", 0.0, "web", {"name": "taken"}),
    ("d", "activity", 5.0, "web", {"name": "solved"}),
]


@pytest.fixture(scope="module")
def data():
    with journeys_of(desk(), LOG, as_of_days=6.0) as opened:
        yield opened


def told(sentence: str) -> str:
    return "".join(ElementTree.fromstring(sentence).itertext()).replace("\u00a0", " ")


def test_a_map_says_how_journeys_ended_and_began(data):
    sentence = sentences.map_in_words(journey_map(data, WANTED), list_address)
    assert told(sentence).startswith("4 journeys of 4 customers: 75 % ended, 25 % open. Half of ")
    assert told(sentence).endswith("Most begin with taken (100 %).")
    assert [said for _, said in links_of(sentence)] == ["4\u00a0journeys", "4\u00a0customers"]


def test_ways_say_the_most_frequent_one(data):
    first = (
        "Journeys took 3 different ways. The most frequent one is taken → thanked: 50 % of the "
        "journeys."
    )
    assert told(sentences.ways_in_words(ways(data, WANTED, 1))) == first
    two = told(sentences.ways_in_words(ways(data, WANTED, 2)))
    assert two == f"{first} The 2 most frequent together: 75 %."


def test_a_funnel_says_who_gets_through(data):
    sentence = sentences.funnel_in_words(funnel(data, WANTED, STEPS), list_address)
    assert told(sentence).strip() == "3 of 4 journeys (75 %) reach thanked."


def test_promises_say_the_one_that_is_kept_least_often(data):
    sentence = sentences.promises_in_words(promises(data, WANTED), list_address)
    assert "50 % of 2 decided; 1 were broken." in told(sentence)


def test_times_say_by_which_day_half_have_converted(data):
    found = conversion_times(data, WANTED, THANKED)
    assert "half have converted by day 1" in told(sentences.times_in_words(found, no_address))


def test_without_journeys_the_next_step_is_named(data):
    empty = [
        sentences.map_in_words(journey_map(data, NOBODY), no_address),
        sentences.ways_in_words(ways(data, NOBODY, 3)),
        sentences.funnel_in_words(funnel(data, NOBODY, STEPS), no_address),
        sentences.times_in_words(conversion_times(data, NOBODY, THANKED), no_address),
    ]
    assert all("leave out a filter" in told(one) for one in empty)
    assert "domain file" in told(sentences.promises_in_words((), no_address))
