"""Each view is drawn as a sentence, a picture and a table, and all are well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures.drawn_views import DRAWN, draw_view
from features.analytics.pictures.svg import SVG, XHTML
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.conversion_times import ConversionDefinition, conversion_times
from features.analytics.views.funnels.funnels import FunnelDefinition, funnel
from features.analytics.views.maps.journey_map import journey_map
from features.analytics.views.maps.ways import ways
from features.analytics.views.promised.promises import promises
from tests.journey_logs import journeys_of
from tests.journey_pictures import desk, desk_log

THANKED = ConversionDefinition.model_validate({"to": {"step": "thanked"}})
STEPS = FunnelDefinition.model_validate({"steps": [{"step": "taken"}, {"step": "thanked"}]})
VIEWS = {
    "map": lambda data, wanted: journey_map(data, wanted),
    "funnel": lambda data, wanted: funnel(data, wanted, STEPS),
    "ways": lambda data, wanted: ways(data, wanted, 5),
    "promises": lambda data, wanted: promises(data, wanted),
    "times": lambda data, wanted: conversion_times(data, wanted, THANKED),
}


@pytest.fixture(scope="module")
def data():
    with journeys_of(desk(), desk_log(6), as_of_days=9.5) as opened:
        yield opened


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("until", [None, "2000-01-01T00:00:00Z"])
def test_a_view_is_drawn_in_three_well_formed_parts(data, name, until):
    found = VIEWS[name](data, JourneyFilter.model_validate({"map": "support", "until": until}))
    drawn = draw_view(data.domain, found)
    tags = [ElementTree.fromstring(one).tag for one in (drawn.sentence, drawn.picture, drawn.table)]
    assert tags == [f"{{{XHTML}}}p", f"{{{SVG}}}svg", f"{{{XHTML}}}div"]
    assert "style=" not in drawn.sentence + drawn.picture + drawn.table


def test_all_pictures_are_drawn():
    assert set(VIEWS) == set(DRAWN)
