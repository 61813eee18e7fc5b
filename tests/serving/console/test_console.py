"""The page that business people look at, in a real browser, from a started server."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.ledger.ledger import Ledger
from tests.decided import decided
from tests.server import Server

pytestmark = pytest.mark.server
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    for number in range(40):
        asked = {"customer_id": f"h{number}", "channel": "app", "decision_id": f"d{number}"}
        assert first_day_server.post("/v1/decide", asked)[0] == 200
    return first_day_server


@pytest.fixture
def page(server: Server, tmp_path: Path):
    """The HTML of the console in a browser, once its requests are answered."""
    chromium = shutil.which("chromium")
    if chromium is None:
        assert not os.environ.get("CI"), "Chromium must be there when CI is set"
        pytest.skip("chromium is not installed")

    def opened(query: str = "") -> str:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        url = f"http://127.0.0.1:{server.port}/console/{query}"
        command = [chromium, *QUIET, profile, "--virtual-time-budget=15000", "--dump-dom", url]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=90
        ).stdout

    return opened


def test_the_page_shows_readiness_and_lift(page, server):
    shown = page()
    assert "Checking readiness" not in shown and "Loading" not in shown
    assert "run 'nba train --promote'" in shown  # degraded: there are no models yet
    verdict = server.post("/v1/lift", {})[1]["verdict"]
    assert len(verdict) > 20 and verdict in html.unescape(shown)
    assert '<td class="n">policy</td>' in shown


def test_a_link_asks_for_a_decision_and_shows_why(page, server):
    shown = page("?customer=h1&channel=app")
    assert "Candidates for rank 1" in shown
    assert "it needs open_problems &gt; 0" in shown  # why make_it_right was removed
    assert "% chance of acceptance x" in shown


def test_a_past_decision_is_explained(page):
    shown = page("?decision=d7")
    assert "the answer is the same, to the byte" in shown
    assert "decision_id d7" in shown


def test_what_cannot_be_asked_is_told_in_a_sentence(page):
    assert "'never' is not of a decision that we have made" in page("?decision=never")
    assert "channel is 'fax'" in page("?customer=h1&channel=fax")


def test_markup_in_a_name_stays_text(page):
    shown = page("?customer=%3Cimg%20src=x%3E&channel=app")
    assert "<img" not in shown


def test_the_address_without_a_slash_leads_there(server):
    connection = server.connect()
    connection.request("GET", "/console")
    answer = connection.getresponse()
    assert answer.status == 307 and answer.getheader("location").endswith("/console/")


def test_the_lift_is_drawn_with_its_course_and_what_to_bear_in_mind(page, server):
    """Decisions of three earlier days beside those of today; a quarter is in the control group."""
    ledger = Ledger(f"sqlite:///{server.log.parent / 'ledger.db'}")
    for number in range(80):
        arm = "control" if number % 4 == 0 else "policy"
        at = datetime.now(UTC) - timedelta(days=1 + number % 3, hours=1)
        about = {"customer_id": f"past{number}", "arm": arm}
        decided(ledger, f"past{number}", at, {"fuel_points": 14}, **about)
        if number % 3:
            told = {"decision_id": f"past{number}", "outcome": "accepted"}
            assert server.post("/v1/outcomes", told)[0] == 200
    ledger.close()
    shown = page()
    assert "<polyline" in shown and "<polygon" in shown
    assert "decisions may still be followed by outcomes" in shown
    assert "Do not trust the lift" in shown
