"""The page of journeys in a real browser: each number leads to its list, by mouse and by keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from features.analytics.views.list_rows import list_count
from features.analytics.views.lists import ListQuery
from tests.browser import Browser, chromium
from tests.journey_logs import journeys_of
from tests.journey_pictures import desk, desk_log, says
from tests.journeys_stand_in import StandIn, stand_in

SHOWN = "document.querySelectorAll('svg.picture').length === 4 && !document.body.ariaBusy"
LINKS = """JSON.stringify([...document.querySelectorAll('main a[href^="?list="]')]
  .map(one => [one.getAttribute('href'), (one.querySelector('title') || one).textContent]))"""
NODES = "[...document.querySelectorAll('svg.map a.node')]"
PLACES = f"JSON.stringify({NODES}.map(one => [one.getAttribute('class').split(' ')[1], " + (
    "...['x', 'y'].map(name => one.querySelector('rect').getAttribute(name))]))"
)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with journeys_of(desk(), desk_log(12), as_of_days=11.5) as data, stand_in(data) as started:
        yield started


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def page(server: StandIn, browser: Browser):
    """Opens the page with a query, and waits for its pictures; nothing may go wrong meanwhile."""

    def opened(query: str = "?map=support", until: str = SHOWN) -> Browser:
        browser.open(server.page + query)
        browser.wait_for(until)
        return browser

    yield opened
    assert browser.complaints == []


def address(browser: Browser) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.evaluate("location.href")).query)


def test_each_number_of_the_page_is_as_long_as_its_list(page, server):
    links = json.loads(page().evaluate(LINKS))
    assert len({href for href, _ in links}) > 40
    for href, said in dict(links).items():
        (query,) = parse_qs(href[1:])["list"]
        assert says(said, list_count(server.data, ListQuery.model_validate_json(query))), said


def test_a_number_opens_its_list_and_the_way_back_closes_it(page):
    browser = page()
    wanted = f"{NODES}.find(one => one.textContent.includes('waits'))"
    said = browser.evaluate(f"{wanted}.querySelector('title').textContent")
    click = "new MouseEvent('click', {bubbles: true, cancelable: true})"
    browser.evaluate(f"{wanted}.dispatchEvent({click})")
    browser.wait_for("/Rows 1 to/.test(document.getElementById('rows').textContent)")
    visits = re.match(r"waits: (\d+)", said.replace("\u00a0", " "))[1]
    assert browser.text("list-title") == f"{visits} steps: node waits"
    assert browser.evaluate("document.querySelectorAll('#rows tbody tr').length") == int(visits)
    assert browser.evaluate("document.activeElement.id") == "list-title"
    assert set(address(browser)) == {"map", "list"}
    browser.evaluate("history.back()")
    browser.wait_for("document.getElementById('list').hidden")
    assert set(address(browser)) == {"map"}


def test_a_list_that_is_opened_by_itself_brings_its_filter(page, server):
    query = {"relation": "journeys", "where": {"how": "ended"}}
    query["filter"] = {"map": "support", "entry_channel": ["web"], "since": "2023-11-15"}
    browser = page(f"?list={quote(json.dumps(query))}")
    found = address(browser)
    assert (found["map"], found["channel"], found["since"]) == (
        ["support"],
        ["web"],
        ["2023-11-15"],
    )
    pages = [one for one in server.asked if one["view"] == "page"]
    assert pages[-1]["filter"] == query["filter"]


def test_a_filter_is_in_the_address_and_moves_no_node(page):
    browser = page()
    before = browser.evaluate(PLACES)
    text = browser.text("about")
    assert "Unit: journeys" in text and "Data version 1" in text and "35 s old" in text
    browser.evaluate(
        "{const s = document.querySelector('select[name=how]'); s.value = 'ended';"
        "s.dispatchEvent(new Event('change', {bubbles: true}))}"
    )
    browser.wait_for("/ended/.test(document.getElementById('about').textContent)")
    assert address(browser) == {"map": ["support"], "how": ["ended"]}
    assert browser.evaluate(PLACES) == before and len(json.loads(before)) == 6
    assert "100\u00a0% ended" in browser.evaluate(
        "document.querySelector('#map .said').textContent"
    )


def test_tab_reaches_every_node_and_enter_opens_its_list(page):
    browser = page()
    browser.evaluate("document.getElementById('all').focus()")
    met: list[str] = []
    lit: set[bool] = set()  # the ways of a node stand out while it has the focus
    for _ in range(40):
        browser.press("Tab")
        met.append(browser.evaluate("document.activeElement.getAttribute('class') || ''"))
        if met[-1].startswith("node n"):
            lit.add(browser.evaluate("document.querySelectorAll('.map.dim .way.lit').length > 0"))
        if met[-1].startswith("number"):
            break
    nodes = browser.evaluate(f"JSON.stringify({NODES}.map(one => one.getAttribute('class')))")
    assert set(json.loads(nodes)) <= set(met) and lit == {True}
    assert browser.evaluate("document.querySelector('svg.map').classList.contains('dim')") is False
    browser.press("Enter")
    browser.wait_for("/Rows 1 to/.test(document.getElementById('rows').textContent)")
    assert "transitions" in browser.text("list-title")


def test_a_phone_shows_the_stages_as_a_list_with_the_same_links(page):
    wide = {href for href, _ in json.loads(page().evaluate(LINKS))}
    browser = page()
    browser.resize(390)
    try:
        browser.wait_for("document.querySelector('#map details.same').open")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        hidden = "getComputedStyle(document.querySelector('svg.map').parentNode).display === 'none'"
        assert browser.evaluate(hidden)
        assert {href for href, _ in json.loads(browser.evaluate(LINKS))} == wide
        stops = browser.evaluate("document.querySelector('#map .stops:nth-of-type(2)').innerText")
        assert re.search(r"taken: \d+.visits in \d+.journeys \(100.% of all\)", stops)
        assert re.search(r"then:\s*\d+.% (waits|solved) \(\d+, half within 24.h\)", stops)
    finally:
        browser.resize(1440)


def test_a_filter_without_journeys_says_how_many_there_are_without_it(page):
    browser = page("?map=support&until=2000-01-01")
    browser.wait_for("/Without the filter there are 12 journeys/.test(document.body.textContent)")
    browser.click("#map .row button")
    browser.wait_for(
        "/12.journeys of 12.customers/.test(document.querySelector('.said').textContent)"
    )
    assert address(browser) == {"map": ["support"]}


def test_on_a4_the_pictures_are_printed_and_nothing_to_click(page):
    browser = page()
    browser.print_media(True)
    browser.resize(690)  # the width of A4 within its margins
    visible = "[...document.querySelectorAll('svg.picture')].map(one => one.clientWidth)"
    widths = browser.evaluate(f"JSON.stringify({visible})")
    assert all(0 < one <= 690 for one in json.loads(widths)) and widths.count(",") == 3
    shown = browser.evaluate("document.body.innerText")
    assert "Unit: journeys" in shown and "As of 20" in shown and "Data version 1" in shown
    assert not any(word in shown for word in ("Refresh", "as JSON", "Clear", "Show all"))
    browser.print_media(False)
    browser.resize(1440)


def test_what_cannot_be_shown_is_told_in_a_sentence(page, browser):
    shown = page("?map=never", "/Try again/.test(document.body.textContent)")
    assert "map is 'never'. Expected one of support, lifecycle." in shown.text("about")
    # The browser tells of the answer 400 itself.
    assert len(browser.complaints) == 1 and "400" in browser.complaints.pop()


def test_a_key_is_asked_for_and_used(page, server, browser):
    server.key = "nba_secret"
    try:
        shown = page("?map=support", "!document.getElementById('key').hidden")
        assert "Send a key." in shown.text("key-why")
        assert "Nothing to show yet." in shown.text("map")
        shown.type_into("input[name=key]", "nba_secret")
        shown.click("#key-form button")
        shown.wait_for(SHOWN)
        assert shown.evaluate("document.getElementById('key').hidden")
        assert "nba_secret" not in shown.evaluate("location.href")
    finally:
        server.key = ""
    assert [one for one in browser.complaints if "401" not in one] == []
    browser.complaints.clear()


def test_data_of_two_minutes_and_more_are_marked(page, server):
    assert page().evaluate("document.querySelector('#about .old')") is None
    server.age_s = 121.0
    try:
        assert "121 s old" in page().evaluate("document.querySelector('#about .old').textContent")
    finally:
        server.age_s = 35.0


def test_only_known_elements_of_a_picture_get_into_the_page(page, browser):
    hostile = """<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)' class='picture'>
      <script>alert(2)</script><foreignObject><p>x</p></foreignObject><style>a{}</style>
      <a href='javascript:alert(3)'><text style='x' x='1'>kept</text></a>
      <a href='//other.test'><image href='//other.test/i'/></a>
      <rect fill='url(//other.test)' id='key'/><use href='#key'/></svg>"""
    script = f"import('./drawing.js').then(one => one.drawn({json.dumps(hostile)}).outerHTML)"
    found = re.sub(r"\s+", " ", page().evaluate(script))
    assert found == (
        '<svg class="picture"> <a><text x="1">kept</text></a> <a></a> <rect></rect></svg>'
    )
    # The policy of the page holds for what is read, too: it names what it blocked.
    blocked = [one for one in browser.complaints if "Content Security Policy" in one]
    assert blocked == browser.complaints != []
    browser.complaints.clear()
