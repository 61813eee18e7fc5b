"""The picture of lift and the guardrails, in a real browser, from answers that are made up here."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from features.ledger.ledger import Ledger
from serving.access.browsers import BrowserMiddleware
from serving.access.gate import AccessControl, AccessMiddleware
from serving.access.keys import add_key
from serving.access.scopes import OTHER_PATHS, KeyScope
from serving.server.middleware import ErrorMiddleware
from tests.browser import Browser, chromium
from tests.commands import ROOT
from tests.conftest import NOW
from tests.lift_answers import guardrails_view, lift_view
from tests.server import free_port

pytestmark = pytest.mark.server
READ, WIDTHS = KeyScope.READ, (390, 1440)
SCOPES = {
    **OTHER_PATHS,
    "/v1/lift": READ,
    "/v1/guardrails": READ,
    "/v1/guardrails/lift": KeyScope.ADMIN,
}


class Guarded:
    """The answers of the routes of guardrails; an action is switched off until it is lifted."""

    def __init__(self) -> None:
        self.lifted: list[dict[str, Any]] = []


def application(control: AccessControl, guarded: Guarded) -> Any:
    async def lift(_: Request) -> JSONResponse:
        return JSONResponse(lift_view())

    async def guardrails(_: Request) -> JSONResponse:
        return JSONResponse(guardrails_view(stopped=not guarded.lifted))

    async def lift_stop(request: Request) -> JSONResponse:
        guarded.lifted.append(await request.json())
        return JSONResponse({"stop": {}})

    routes = [
        Route("/v1/lift", lift, methods=["POST"]),
        Route("/v1/guardrails", guardrails, methods=["POST"]),
        Route("/v1/guardrails/lift", lift_stop, methods=["POST"]),
        Mount("/console", StaticFiles(directory=ROOT / "serving" / "console", html=True)),
    ]
    app: Any = Starlette(routes=routes)
    app = ErrorMiddleware(app, lambda: (200, {"status": "ready", "degraded": []}), {})
    return BrowserMiddleware(AccessMiddleware(app, control, SCOPES))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a server, a key of each of two scopes, and what the server was told."""
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('lift') / 'ledger.db'}")
    keys = {
        name: add_key(ledger, name, scopes, NOW)
        for name, scopes in (("reader", [READ]), ("admin", [READ, KeyScope.ADMIN]))
    }
    control, guarded, port = AccessControl(), Guarded(), free_port()
    control.open(ledger)
    app = application(control, guarded)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/console/", keys, guarded
    server.should_exit = True
    thread.join(timeout=10)
    ledger.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


def opened(browser: Browser, served: Any, name: str) -> None:
    browser.open(served[0])
    browser.wait_for("!document.getElementById('key').hidden")
    browser.type_into("#key-form input", served[1][name])
    browser.click("#key-form button")
    browser.wait_for("document.querySelector('#guardrails details')")
    browser.wait_for("document.querySelector('#lift .pair')")


def texts(browser: Browser, selector: str) -> list[str]:
    found = f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.textContent)"
    return list(browser.evaluate(found))


def test_each_pair_has_its_value_both_intervals_and_its_days(served, browser):
    opened(browser, served, "reader")
    assert browser.text("verdict") == "The policy loses 1.75 EUR for each customer."
    heads = ["policy less nobody", "policy less random", "random less nobody"]
    assert texts(browser, ".pair h3") == heads
    assert texts(browser, ".pair .figure") == ["−1.75 EUR", "+0.50 EUR"]
    tones = "[...document.querySelectorAll('.pair .figure')].map(one => one.className)"
    assert browser.evaluate(tones) == ["figure bad", "figure "]  # by the interval of all looks
    told = texts(browser, ".pair:first-child dd")
    assert told[0].startswith("−3.00 to −0.50") and told[1].startswith("−2.50 to −1.00")
    assert told[2].startswith("−8.8 % −15.0 to −2.5 %") and told[3].startswith("+3.1 points")
    assert "0.9 to 5.3" in told[3] and told[4].startswith("1.05 in one planned look; 2.00")
    assert "Not enough yet here." in texts(browser, ".pair:nth-child(3)")[0]
    assert len(texts(browser, ".pair svg[role=img]")) == 2
    rows = texts(browser, ".pair:first-child .days tbody tr")
    assert len(rows) == 40 and rows[-1].startswith("2026-04-09−2.28")


def test_arms_and_the_sample_ratio_are_told_and_credited_outcomes_have_their_name(served, browser):
    opened(browser, served, "reader")
    rows = texts(browser, "#lift > .scroll tbody tr")
    assert rows[2] == "nobody25 %50020.2523.251.002.004.1 %"
    told = browser.text("lift")
    assert "random 25.0 % (planned 25.0 %)" in told and "p 0.83" in told
    assert "2 customers have keys of several arms." in told
    assert browser.evaluate("document.getElementById('credited').open") is False
    assert texts(browser, "#credited summary") == ["Credited outcomes"]
    assert "this is not what the policy earns" in browser.text("credited")
    assert "+7.47 EUR" in browser.text("credited")


def test_a_key_without_the_scope_is_told_and_one_of_an_admin_lifts_the_stop(served, browser):
    opened(browser, served, "reader")
    assert "loud_mail is switched off by unsubscribes" in browser.text("guardrails")
    browser.type_into(".again input", "Checked by a person")
    browser.click(".again button")
    browser.wait_for("document.querySelector('.again [role=alert]').textContent")
    assert "Expected admin" in browser.text("guardrails") and not served[2].lifted
    opened(browser, served, "admin")
    browser.type_into(".again input", "Checked by a person")
    browser.press("Enter")  # from the keyboard
    browser.wait_for("document.body.textContent.includes('No action is switched off.')")
    sent = {"guardrail": "unsubscribes", "action_id": "loud_mail", "cause": "Checked by a person"}
    assert served[2].lifted == [sent]
    served[2].lifted.clear()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_no_words_lie_on_each_other(served, browser, width):
    opened(browser, served, "reader")
    browser.resize(width)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.evaluate(wide) == 0
    side_by_side = "new Set([...document.querySelectorAll('.pair')].map(one => one.offsetTop)).size"
    assert browser.evaluate(side_by_side) == (3 if width == 390 else 1)
    overlaps = """[...document.querySelectorAll('.pair svg')].flatMap(picture => {
      const all = [...picture.querySelectorAll('text')].map(one => one.getBoundingClientRect());
      return all.flatMap((a, i) => all.slice(i + 1).filter(b => a.left < b.right
        && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
    }).length"""
    assert browser.evaluate(overlaps) == 0
    assert [one for one in browser.complaints if "401" not in one] == []  # before the key
