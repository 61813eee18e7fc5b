"""The picture of ways: a bar and a number for each, and chips that fit."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures.svg import SVG, list_address, no_address
from features.analytics.pictures.ways_picture import CHIPS, WIDTH, in_words, ways_picture
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.maps.ways import ways
from tests.journey_logs import journeys_of
from tests.journey_pictures import desk, desk_log, links_of, says

MAP = JourneyFilter(map="support")


@pytest.fixture(scope="module")
def data():
    with journeys_of(desk(), desk_log(8)) as opened:
        yield opened


@pytest.mark.parametrize("limit", [1, 2, 20])
def test_the_ways_that_are_shown_and_the_others_are_all_journeys(data, limit):
    found = ways(data, MAP, limit)
    links = links_of(ways_picture(found, list_address))
    numbers = [*(one.n for one in found.ways), *([found.others] if found.others.n else [])]
    assert sum(one.n for one in numbers) == found.journeys.n == 8
    assert len(links) == len(numbers)
    for number, (query, said) in zip(numbers, links, strict=True):
        assert query == number.rows and says(said, number.n)


def test_steps_that_follow_themselves_are_one_chip_with_their_number(data):
    assert in_words(["a", "b", "b", "a"]) == "a → b ×2 → a"
    assert "waits ×2" in ways_picture(ways(data, MAP, 9), no_address)


def test_the_chips_of_a_long_way_end_before_the_edge_and_say_how_many_are_missing():
    names = ["taken", "waits"] * 30
    log = [("c", "activity", float(at), "web", {"name": name}) for at, name in enumerate(names)]
    with journeys_of(desk(), log) as data:
        picture = ways_picture(ways(data, MAP, 3), no_address)
    chips = [
        one for one in ElementTree.fromstring(picture).iter(f"{{{SVG}}}rect") if "rx" in one.attrib
    ]
    assert all(
        CHIPS <= float(one.get("x", 0)) <= WIDTH - float(one.get("width", 0)) for one in chips
    )
    assert 10 < len(chips) < 60 and f"+ {60 - len(chips)} more" in picture
