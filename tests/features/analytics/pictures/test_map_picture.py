"""The picture of a map: its numbers are those of the view, and no filter moves a node."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures.map_layout import lay_out
from features.analytics.pictures.map_picture import map_picture
from features.analytics.pictures.svg import SVG, list_address, no_address, visible
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_count
from features.analytics.views.maps.journey_map import JourneyMap, journey_map
from tests.journey_logs import BEGIN_US, at_us, journeys_of
from tests.journey_pictures import HOSTILE, desk, desk_log, links_of, says

FILTERS = [
    {},
    {"how": ("ended",)},
    {"entry_channel": ("phone",)},
    {"through": "waits"},
    {"until": "2000-01-01T00:00:00Z"},
]


@pytest.fixture(scope="module")
def data():
    with journeys_of(desk(), desk_log(12)) as opened:
        yield opened


def drawn(data, at_least: int = 1, **wanted) -> tuple[JourneyMap, str]:
    found = journey_map(data, JourneyFilter(map="support", **wanted), at_least=at_least)
    return found, map_picture(found, lay_out(data.domain, "support", found.nodes), list_address)


def places(picture: str) -> dict[str, tuple[str, str]]:
    """Return where each node is drawn, by the names of its classes."""
    root = ElementTree.fromstring(picture)
    nodes = [one for one in root.iter(f"{{{SVG}}}a") if "node n" in one.get("class", "")]
    boxes = {one.get("class", "").split()[1]: one.find(f"{{{SVG}}}rect") for one in nodes}
    return {name: (box.get("x"), box.get("y")) for name, box in boxes.items()}


@pytest.mark.parametrize("wanted", FILTERS)
def test_each_number_of_nodes_and_transitions_is_shown_with_its_list(data, wanted):
    found, picture = drawn(data, **wanted)
    links = links_of(picture)
    assert found.journeys.n == journey_map(data, JourneyFilter(map="support", **wanted)).journeys.n
    shown = [found.journeys, *found.how.values(), *(one.visits for one in found.nodes)]
    for number in [*shown, *(one.n for one in found.edges)]:
        told = [said for query, said in links if query == number.rows]
        assert told and all(says(one, number.n) for one in told)


@pytest.mark.parametrize("wanted", FILTERS[1:])
def test_no_filter_moves_a_node(data, wanted):
    everything = places(drawn(data)[1])
    assert len(everything) == 5
    assert places(drawn(data, **wanted)[1]) == everything


def test_the_transitions_that_are_drawn_and_the_other_ways_are_all(data):
    found, picture = drawn(data, at_least=3)
    whole = drawn(data)[0]
    assert sum(one.n.n for one in found.edges) + found.bundled.n == whole.transitions.n
    assert 0 < found.bundled.n < whole.transitions.n
    other = [said for query, said in links_of(picture) if query == found.bundled.rows]
    assert len(other) == 1 and says(other[0], found.bundled.n)


@pytest.mark.parametrize("most", [1, 3, 5, 100])
def test_the_most_frequent_transitions_are_drawn_and_the_rest_is_counted(data, most):
    wanted = JourneyFilter(map="support")
    whole, found = journey_map(data, wanted), journey_map(data, wanted, most_edges=most)
    kinds = [[(one.source, one.target, one.n.n) for one in of.edges] for of in (found, whole)]
    assert kinds[0] == kinds[1][: len(kinds[0])]
    assert sum(one.n.n for one in found.edges) + found.bundled.n == whole.transitions.n
    assert list_count(data, found.bundled.rows) == found.bundled.n
    rarest = min(one.n.n for one in found.edges)
    equal = sum(one.n.n >= rarest for one in whole.edges)
    assert len(found.edges) == equal
    assert equal <= most or rarest == whole.edges[0].n.n


def test_a_hostile_name_is_text_with_its_marks_shown(data):
    picture = drawn(data)[1]
    assert "<script" not in picture and "\u202e" not in picture and "[U+202E]" in picture
    titles = [one.text or "" for one in ElementTree.fromstring(picture).iter(f"{{{SVG}}}title")]
    assert any(one.startswith(f"{visible(HOSTILE)}: 1") for one in titles)


def test_each_node_can_be_reached_by_keys_and_lines_are_passed_over(data):
    root = ElementTree.fromstring(drawn(data)[1])
    for one in root.iter(f"{{{SVG}}}a"):
        classes = one.get("class", "").split()
        assert (one.get("tabindex") == "-1") == ("way" in classes)
        assert one.findtext(f"{{{SVG}}}title") and one.get("href")


def test_there_is_no_inline_style_and_no_script(data):
    for one in ElementTree.fromstring(drawn(data)[1]).iter():
        assert "style" not in one.attrib and not any(key.startswith("on") for key in one.attrib)
        assert one.tag.removeprefix(f"{{{SVG}}}") in {
            *("svg", "g", "a", "title", "rect", "path", "line", "text")
        }


def test_without_addresses_it_is_an_image_with_the_same_figures(data):
    found, linked = drawn(data)
    picture = map_picture(found, lay_out(data.domain, "support", found.nodes), no_address)
    texts = [list(ElementTree.fromstring(one).itertext()) for one in (linked, picture)]
    assert texts[0] == texts[1]
    assert 'role="img"' in picture and "href" not in picture


def test_the_expected_way_lies_under_the_lines(data):
    root = ElementTree.fromstring(drawn(data)[1])
    groups = [one.get("class") for one in root.iter(f"{{{SVG}}}g")]
    assert groups.index("meant") < groups.index("ways")
    (meant,) = [one for one in root.iter(f"{{{SVG}}}g") if one.get("class") == "meant"]
    assert meant.findtext(f"{{{SVG}}}title") == "Expected way: taken → solved → thanked"
    assert meant.find(f"{{{SVG}}}path").get("d", "").count("M") == 4


def test_a_period_without_journeys_is_drawn_empty(data):
    found, picture = drawn(data, until="2000-01-01T00:00:00Z")
    assert at_us(0) == BEGIN_US and found.journeys.n == 0
    assert "0 journeys" in picture.replace("\u00a0", " ")
    assert len(places(picture)) == 5
