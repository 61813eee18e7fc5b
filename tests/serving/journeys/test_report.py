"""The report of journeys: one file with all figures, that asks for nothing and runs nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from features.analytics.views.filters import JourneyFilter
from features.ledger.tables import from_micros
from serving.contract.journeys import JourneysAnswer, JourneysRequest
from serving.journeys.answer import answer_journeys
from serving.journeys.report import filter_in_words, report_html
from tests.journey_logs import journeys_of
from tests.journey_pictures import HOSTILE, desk, desk_log, numbers_of, says

NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
VOID = {"meta"}


class Reader(HTMLParser):
    """Reads a page: its elements, its attributes, its text, and whether all were closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.keys: set[str] = set()
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.keys |= {key for key, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.keys |= {key for key, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


@pytest.fixture(scope="module")
def answer():
    with journeys_of(desk(), desk_log(12)) as data:
        asked = JourneysRequest(view="page", filter=JourneyFilter(map="support"), most_edges=4)
        yield answer_journeys(asked, data, from_micros(data.as_of_us) + timedelta(seconds=90))


@pytest.fixture(scope="module")
def page(answer):
    return report_html(answer, desk())


@pytest.fixture(scope="module")
def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_it_has_no_script_no_link_and_no_address(page, read):
    assert read.tags & {"script", "a", "link", "img", "iframe", "form", "button"} == set()
    assert read.keys & {"href", "src", "style"} == set()
    assert not any(key.startswith("on") for key in read.keys)
    assert set(re.findall(r"https?://[^\s\"<)]+", page)) <= NAMESPACES
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {
        *("#funnel-hatch", "#promise-hatch", "#promise-dots"),
    }


def test_it_says_unit_filter_age_and_version(read):
    text = "".join(read.texts)
    for part in ("Unit: journeys.", "all journeys", "90 s old", "Data version 1", "As of 20"):
        assert part in text


def test_it_has_each_count_of_the_four_views(answer, read):
    text = " ".join(read.texts)
    assert "Promises:" in text and "Ways:" in text and "Funnel:" in text and "Map:" in text
    shown = [one.n for one in answer.map.edges] + [one.n for one in answer.map.other_ways]
    shown += [one.reached for one in answer.funnel.steps] + [one.n for one in answer.ways.ways]
    shown += [one.kept for one in answer.promises]
    assert len(list(numbers_of(answer.map))) > len(shown) > 10
    assert all(says(text, one.n) for one in shown)


def test_a_hostile_name_is_text(page):
    assert HOSTILE not in page and "&lt;script&gt;" in page and "\u202e" not in page


def test_it_is_small_and_prints_on_a4(page):
    assert len(page.encode()) <= 400_000
    assert "size: A4" in page


@pytest.mark.parametrize("name", ["map", "funnel", "ways", "promises"])
def test_one_view_is_a_report_too(answer, name):
    alone = {"map", "funnel", "ways", "promises"} - {name}
    one = answer.model_copy(update=dict.fromkeys(alone))
    assert isinstance(one, JourneysAnswer)
    assert report_html(one, desk()).count("<h2>") == 1


def test_a_filter_is_told_in_words():
    wanted = JourneyFilter(
        since=datetime(2026, 1, 1, tzinfo=UTC),
        how=("ended", "left"),
        entry_channel=(None, "web"),
        attributes={"age": ("25-34",)},
        through="waits",
    )
    assert filter_in_words(wanted) == (
        "journeys that began 2026-01-01 or later; ended ended or left; "
        "first channel unknown or web; through waits; age 25-34"
    )
    assert filter_in_words(JourneyFilter(until=datetime(2026, 2, 1, tzinfo=UTC))) == (
        "journeys that began before 2026-02-01"
    )
