"""The picture of a funnel: each number with its list; open journeys are hatched, not dropped."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures.funnel_picture import BAR, funnel_picture
from features.analytics.pictures.svg import SVG, list_address
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnels import FunnelDefinition, funnel
from tests.journey_logs import journeys_of
from tests.journey_pictures import desk, desk_log, links_of, says

STEPS = {"steps": [{"step": "taken"}, {"step": "waits", "optional": True}, {"step": "thanked"}]}


@pytest.fixture(scope="module")
def found():
    with journeys_of(desk(), desk_log(9), as_of_days=30) as data:
        wanted = JourneyFilter(map="support")
        return funnel(data, wanted, FunnelDefinition.model_validate(STEPS))


def test_each_number_is_shown_with_its_list(found):
    links = links_of(funnel_picture(found, list_address))
    numbers = [found.journeys, *(one.reached for one in found.steps)]
    for one in (found, *found.steps):
        numbers += [number for number in one.stopped.values() if number.n]
        numbers += [number for _, number in one.next_instead[:4]]
    for number in numbers:
        told = [said for query, said in links if query == number.rows]
        assert told and any(says(one, number.n) for one in told)


def test_bars_are_as_long_as_their_share_and_open_journeys_are_hatched(found):
    rects = list(ElementTree.fromstring(funnel_picture(found, list_address)).iter(f"{{{SVG}}}rect"))
    bars = [float(one.get("width", 0)) for one in rects if one.get("class") == "bar"]
    shares = [1.0, *(one.reached.n / found.journeys.n for one in found.steps)]
    assert bars == pytest.approx([BAR * share for share in shares], abs=0.1)
    hatched = [float(one.get("width", 0)) for one in rects if "hatch" in one.get("fill", "")]
    opened = [one.stopped["open"].n for one in found.steps if one.stopped.get("open")]
    assert hatched == pytest.approx([BAR * n / found.journeys.n for n in opened if n], abs=0.1)
    assert sum(opened) == 3
