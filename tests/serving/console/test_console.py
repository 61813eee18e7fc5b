"""The page that business people look at, in a real browser, from a started server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from features.ledger.ledger import Ledger
from tests.browser import Browser, chromium
from tests.commands import ROOT
from tests.decided import decided
from tests.server import Server

pytestmark = pytest.mark.server
PAGES = ROOT / "serving" / "console"


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    for number in range(40):
        asked = {"customer_id": f"h{number}", "channel": "app", "decision_id": f"d{number}"}
        assert first_day_server.post("/v1/decide", asked)[0] == 200
    return first_day_server


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def page(server: Server, browser: Browser):
    """The HTML of the console in the browser, once its requests are answered."""

    def opened(query: str = "") -> str:
        browser.open(f"http://127.0.0.1:{server.port}/console/{query}")
        browser.wait_for("!/Loading|Checking/.test(document.body.textContent)")
        asked = {"?c": "decision", "?d": "explained"}.get(query[:2])
        if asked:
            browser.wait_for(f"document.getElementById('{asked}').textContent")
        return browser.html()

    return opened


def test_the_page_shows_readiness_and_lift(page, server):
    shown = page()
    assert "Checking readiness" not in shown and "Loading" not in shown
    assert "run 'nba train --promote'" in shown  # degraded: there are no models yet
    lift = server.post("/v1/lift", {})[1]
    for verdict in (lift["verdict"], lift["credited"]["verdict"]):
        assert len(verdict) > 20 and verdict in shown
    assert '<td class="n">policy</td>' in shown


def test_a_link_asks_for_a_decision_and_shows_why(page, server):
    shown = page("?customer=h1&channel=app")
    assert "Candidates for rank 1" in shown
    assert "it needs open_problems > 0" in shown  # why make_it_right was removed
    assert "% chance of acceptance x" in shown


def test_a_past_decision_is_explained(page):
    shown = page("?decision=d7")
    assert "the answer is the same, to the byte" in shown
    assert "decision_id d7" in shown


def test_what_cannot_be_asked_is_told_in_a_sentence(page):
    assert "'never' is not of a decision that we have made" in page("?decision=never")
    assert "channel is 'fax'" in page("?customer=h1&channel=fax")


def test_markup_in_a_name_stays_text(page, browser):
    shown = page("?customer=%3Cimg%20src=x%3E&channel=app")
    assert "customer_id" in browser.text("decision") and "Candidates" not in shown
    assert browser.evaluate("document.images.length") == 0


def test_the_address_without_a_slash_leads_there(server):
    connection = server.connect()
    connection.request("GET", "/console")
    answer = connection.getresponse()
    assert answer.status == 307 and answer.getheader("location").endswith("/console/")


def test_the_lift_is_drawn_with_its_course_and_what_to_bear_in_mind(page, server):
    """Decisions of three earlier days beside those of today; a quarter is in the random arm."""
    ledger = Ledger(f"sqlite:///{server.log.parent / 'ledger.db'}")
    for number in range(80):
        arm = "random" if number % 4 == 0 else "policy"
        at = datetime.now(UTC) - timedelta(days=1 + number % 3, hours=1)
        about = {"customer_id": f"past{number}", "arm": arm}
        decided(ledger, f"past{number}", at, {"fuel_points": 14}, **about)
        if number % 3:
            told = {"decision_id": f"past{number}", "outcome": "accepted"}
            assert server.post("/v1/outcomes", told)[0] == 200
    ledger.close()
    shown = page()
    assert "decisions may still be followed by outcomes" in shown
    assert "Do not trust the credited lift" in shown


def test_the_page_of_the_api_shows_each_route_and_tries_one(server, browser):
    browser.open(f"http://127.0.0.1:{server.port}/")
    browser.wait_for("document.querySelectorAll('section').length > 5")
    shown, document = browser.html(), server.get("/docs.json")[1]
    for path, methods in document["paths"].items():
        assert all(f"{method.upper()} {path}</h2>" in shown for method in methods)
    section = "#post-v1-lift"
    told = browser.evaluate(f"document.querySelector('{section}').textContent")
    for part in ("Needs a key with the scope read.", "Example", "401", "LiftView"):
        assert part in told
    browser.click(f"{section} form button")
    browser.wait_for(f"document.querySelector('{section} form pre')")
    answer = browser.evaluate(f"document.querySelector('{section} form').textContent")
    assert "Status 200" in answer and '"verdict"' in answer


def test_the_pages_ask_nothing_of_another_address(server, browser):
    own = f"http://127.0.0.1:{server.port}/"
    for path in ("", "console/", "console/?customer=h2&channel=app"):
        browser.open(own + path)
        browser.wait_for("!/Loading|Checking/.test(document.body.textContent)")
        assert len(browser.requested) >= 5
        assert [one for one in browser.requested if not one.startswith(own)] == []


def test_no_page_names_another_address_or_holds_a_script_or_a_style(server):
    files = [file.name for file in PAGES.iterdir() if file.is_file()]
    assert {"index.html", "api.html", "console.js", "api.js", "page.js", "console.css"} < {*files}
    paths = ["/", "/console/", *(f"/console/{name}" for name in files if name != "api.html")]
    for path in paths:
        status, text = server.get(path)
        assert status == 200
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]+[\w./-]*", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path
        if text.startswith("<!doctype"):
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)", text)


@pytest.mark.parametrize(
    "path", ["/static_content/swagger-ui.css", "/static_content/", "/assets/", "/console/api.html"]
)
def test_pages_of_bentoml_are_not_served(server, path):
    status, answer = server.get(path)
    assert status == 404 and "is not a route of this service" in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "cached"),
    [
        ("GET", "/", 200, "no-cache"),
        ("GET", "/console", 307, "no-store"),
        ("GET", "/console/page.js", 200, "no-cache"),
        ("GET", "/console/none.js", 404, "no-cache"),
        ("GET", "/livez", 200, "no-store"),
        ("GET", "/made-up", 404, "no-store"),
        ("GET", "/v1/decide", 405, "no-store"),
        ("OPTIONS", "/v1/decide", 405, "no-store"),
        ("POST", "/v1/decide", 415, "no-store"),
    ],
)
def test_every_answer_has_the_headers_for_browsers(server, method, path, status, cached):
    connection = server.connect()
    connection.request(method, path)
    answer = connection.getresponse()
    assert answer.status == status
    told = {name.lower(): value for name, value in answer.getheaders()}
    policy = told["content-security-policy"]
    assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert told["x-content-type-options"] == "nosniff" and told["x-frame-options"] == "DENY"
    assert told["referrer-policy"] == "no-referrer" and told["cache-control"] == cached
    assert told["cross-origin-resource-policy"] == "same-origin" and "server" not in told
