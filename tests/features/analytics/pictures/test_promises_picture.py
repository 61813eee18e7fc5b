"""The picture of promises: four parts with signs of their own, each a link to its list."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures.promises_picture import promises_picture, states_of
from features.analytics.pictures.svg import SVG, list_address, no_address
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.promised.promises import promises
from tests.journey_logs import journeys_of
from tests.journey_pictures import desk, desk_log, links_of, says


@pytest.fixture(scope="module")
def found():
    # Day 9.5: the two customers of days 8 and 9 are not solved yet.
    with journeys_of(desk(), desk_log(10), as_of_days=9.5) as data:
        return promises(data, JourneyFilter(map="support"))


def test_the_numbers_of_each_state_are_shown_with_their_lists(found):
    (quick,) = found
    states = states_of(quick)
    assert sum(one.n for one in states.values()) == quick.activations.n > 0
    assert all(states[name].n for name in ("kept", "broken", "open"))
    links = links_of(promises_picture(found, list_address))
    for state, number in states.items():
        told = [said for query, said in links if query == number.rows]
        assert len(told) == (2 if number.n else 1)
        assert all(says(one, number.n) and state in one for one in told)


def test_the_parts_of_a_bar_fill_it_and_broken_and_open_have_a_pattern(found):
    root = ElementTree.fromstring(promises_picture(found, no_address))
    wide = [one for one in root.iter(f"{{{SVG}}}rect") if one.get("height") == "24"]
    track = next(one for one in wide if one.get("class") == "track")
    parts = [one for one in wide if (one.get("class") or "").startswith("part")]
    assert sum(float(one.get("width", 0)) for one in parts) == pytest.approx(
        float(track.get("width", 0)), abs=0.3
    )
    drawn = {one.get("fill") for one in wide} - {None}
    assert drawn == {"url(#promise-hatch)", "url(#promise-dots)"}
    patterns = {f"url(#{one.get('id')})" for one in root.iter(f"{{{SVG}}}pattern")}
    assert drawn <= patterns


def test_no_promise_is_an_empty_picture():
    assert "0 promises" in promises_picture((), no_address).replace("\u00a0", " ")
