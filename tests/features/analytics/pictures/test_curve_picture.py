"""The picture of the time to convert: it rises, and days that are not complete are hatched."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from features.analytics.pictures.curve_picture import HIGH, TOP, curve_picture
from features.analytics.pictures.svg import SVG, list_address
from features.analytics.views.funnels.conversion_times import ConversionDay, ConversionTimes
from features.analytics.views.lists import ListQuery, Number
from tests.journey_pictures import links_of, says


def times(complete_until: float | None) -> ConversionTimes:
    numbers = [
        Number(n, ListQuery(relation="times", where={"state": at}))
        for at, n in enumerate((100, 60, 30, 10))
    ]
    curve = [
        ConversionDay(float(day), share, share - 0.05, share + 0.05, 0.1, 100 - day, day < 3)
        for day, share in enumerate((0.05, 0.2, 0.4, 0.5, 0.6))
    ]
    given = {"curve": tuple(curve), "complete_until_day": complete_until, "half_by_day": 3.0}
    given |= {"map": "support", "median_s": 1.0, "p90_s": 2.0}
    fields = ("journeys", "converted", "stopped", "waiting")
    return ConversionTimes(**given, **dict(zip(fields, numbers, strict=True)))


def test_the_course_is_a_staircase_through_the_shares():
    picture = ElementTree.fromstring(curve_picture(times(None), list_address))
    (course,) = picture.iter(f"{{{SVG}}}polyline")
    heights = [float(one.split(",")[1]) for one in course.get("points", "").split()]
    expected = [TOP + HIGH * (1 - share) for share in (0.05, 0.2, 0.4, 0.5, 0.6)]
    assert heights[::2] == pytest.approx(expected, abs=0.1)
    assert heights[1::2] == pytest.approx(expected[:-1], abs=0.1)


@pytest.mark.parametrize(("until", "hatched"), [(None, 0), (2.0, 1), (4.0, 0)])
def test_days_that_not_all_have_lived_through_are_hatched(until, hatched):
    picture = curve_picture(times(until), list_address)
    assert picture.count("url(#curve-hatch)") == picture.count("not yet complete") == hatched


def test_each_state_is_a_link_to_its_list():
    found = times(2.0)
    links = dict(enumerate(links_of(curve_picture(found, list_address))))
    for at, number in enumerate((found.journeys, found.converted, found.stopped, found.waiting)):
        assert links[at][0] == number.rows and says(links[at][1], number.n)
