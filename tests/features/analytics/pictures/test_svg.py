"""Elements of SVG: well-formed whatever the texts are, and without inline styles."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from features.analytics.pictures.svg import (
    LONGEST,
    Markup,
    cut,
    element,
    label,
    link,
    name_of,
    picture,
    visible,
)


@given(st.text())
def test_any_text_makes_a_well_formed_element_that_holds_it(content):
    made = ElementTree.fromstring(element("text", content, aria_label=content))
    shown = visible(content)
    assert (made.text or "") == shown == made.attrib["aria-label"]
    assert len(made) == 0


def test_marks_that_turn_or_hide_a_text_are_shown():
    assert visible("a\u202eb\x00\n\u200f") == "a[U+202E]b[U+0000][U+000A][U+200F]"
    assert visible("Zoë 👩\u200d🚀 نام") == "Zoë 👩\u200d🚀 نام"


def test_a_long_text_is_cut_and_whole_in_its_title():
    name = "<b>" + "x" * 200
    made = ElementTree.fromstring(label(name))
    assert made.find("title").text == name
    assert made.find("title").tail == cut(name)
    assert len(cut(name)) == LONGEST and cut(name).endswith("…")
    assert ElementTree.fromstring(name_of(name)).attrib["title"] == name
    assert cut("y" * LONGEST) == "y" * LONGEST


def test_numbers_are_rounded_and_none_is_left_out():
    assert element("rect", x=1.26, y=2.0, class_="a", id=None) == '<rect x="1.3" y="2" class="a"/>'


def test_markup_is_not_escaped_twice():
    assert element("g", element("title", "a < b"), Markup("<rect/>")) == (
        "<g><title>a &lt; b</title><rect/></g>"
    )


def test_a_link_without_an_address_is_a_group_with_the_same_words():
    assert link(None, "3 visits") == "<g><title>3 visits</title></g>"
    made = ElementTree.fromstring(link("?list=%7B%7D", "3 visits"))
    assert made.attrib == {"href": "?list=%7B%7D"} and made.findtext("title") == "3 visits"


def test_a_picture_without_links_is_an_image():
    assert ElementTree.fromstring(picture("A map", 10, 20, "map", links=False)).attrib == {
        "class": "picture map",
        "role": "img",
        "aria-label": "A map",
        "viewBox": "0 0 10 20",
        "width": "10",
        "height": "20",
    }
