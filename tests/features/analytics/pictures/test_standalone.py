"""A picture that stands alone is well-formed, and has its looks inside."""

from __future__ import annotations

from xml.etree import ElementTree

from features.analytics.pictures.standalone import standalone, style
from features.analytics.pictures.svg import SVG, element, picture


def test_the_looks_are_the_first_thing_in_the_picture():
    drawn = standalone(picture("A map", 10, 10, "map", element("text", "a > b")))
    root = ElementTree.fromstring(drawn)
    assert [one.tag for one in root] == [f"{{{SVG}}}style", f"{{{SVG}}}text"]
    assert root[0].text == style() and root[1].text == "a > b"


def test_the_looks_need_no_other_file_and_no_escaping():
    assert "url(" not in style() and "@import" not in style()
    assert not set("<&") & set(style())
