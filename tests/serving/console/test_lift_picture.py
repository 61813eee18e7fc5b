"""The picture of lift and the guardrails, in a real browser, from answers that are made up here."""

from __future__ import annotations

import json
import threading
import time
from datetime import date, timedelta
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
from tests.server import free_port

pytestmark = pytest.mark.server
READ, WIDTHS = KeyScope.READ, (390, 1440)
SCOPES = {
    **OTHER_PATHS,
    "/v1/lift": READ,
    "/v1/guardrails": READ,
    "/v1/guardrails/lift": KeyScope.ADMIN,
}
DAYS = [
    {
        "day": (date(2026, 3, 1) + timedelta(days=number)).isoformat(),
        "value": -1.5 - 0.02 * number,
        "low": -1.5 - 40 / (number + 5),
        "high": -1.5 + 40 / (number + 5),
    }
    for number in range(40)
]


def difference(value: float, half: float, planned: float) -> dict[str, float]:
    return {
        "value": value,
        "low": value - half,
        "high": value + half,
        "planned_low": value - planned,
        "planned_high": value + planned,
        "smallest": 1.6 * half,
        "planned_smallest": 1.4 * planned,
    }


def pair(arm: str, against: str, value: float, days: list[Any]) -> dict[str, Any]:
    return {
        "arm": arm,
        "against": against,
        "lift": difference(value, 1.25, 0.75),
        "left": difference(0.031, 0.0225, 0.0125),
        "relative": value / 20,
        "relative_low": (value - 1.25) / 20,
        "relative_high": (value + 1.25) / 20,
        "explained": 0.2,
        "informative": 120,
        "verdict": f"Of {arm} and {against} this is said.",
        "days": days,
    }


def arm(name: str, share: float, customers: int, value: float) -> dict[str, Any]:
    about = {"arm": name, "share": share, "customers": customers, "value": value}
    return about | {"margin": value + 3, "cost": 1.0, "lost": 2.0, "left": 0.041}


def credited() -> dict[str, Any]:
    of_arm = {"customers": 900, "decisions": 8000}
    of_arm |= {"reward_per_customer": 12.5, "reward_per_decision": 1.4}
    return {
        "currency": "eur",
        "policy": of_arm,
        "random": {**of_arm, "customers": 20},
        "in_both": 0,
        "open": 3,
        "lift": 7.47,
        "low": 5.92,
        "high": 8.9,
        "welch_low": 5.9,
        "welch_high": 8.8,
        "relative": 0.4,
        "relative_low": 0.3,
        "relative_high": 0.5,
        "per_decision": 0.2,
        "sample_ratio": {
            "expected_random": 0.02,
            "found_random": 0.02,
            "p_value": 0.7,
            "trusted": True,
        },
        "verdict": "Credited outcomes are more.",
        "remarks": ["3 decisions are open."],
        "days": [],
        "forgotten_actions": [],
    }


def lift_view() -> dict[str, Any]:
    return {
        "currency": "eur",
        "objective": "Margin of all events that measure spend, less costs.",
        "horizon_days": 28,
        "arms": [
            *(arm("policy", 0.5, 1000, 18.5), arm("random", 0.25, 500, 17.9)),
            arm("nobody", 0.25, 500, 20.25),
        ],
        "pairs": [
            *(pair("policy", "nobody", -1.75, DAYS), pair("policy", "random", 0.5, DAYS)),
            {**pair("random", "nobody", 0.0, []), "lift": None, "verdict": "Not enough yet here."},
        ],
        "sample_ratio": {
            "expected": {"policy": 0.5, "random": 0.25, "nobody": 0.25},
            "found": {"policy": 0.5, "random": 0.25, "nobody": 0.25},
            "p_value": 0.83,
            "trusted": True,
        },
        "merged_across_arms": 2,
        "verdict": "The policy loses 1.75 EUR for each customer.",
        "remarks": ["2 customers have keys of several arms."],
        "credited": credited(),
    }


HARM = {
    "action_id": "loud_mail",
    "harmed": 61,
    "after": 40,
    "expected": 20.5,
    "rate_ratio": 3.1,
    "e_value": 512.0,
    "stops_at": 400.0,
    "exceeded": True,
}
FINE = {**HARM, "action_id": "quiet_mail", "e_value": 0.3, "rate_ratio": None, "exceeded": False}


class Guarded:
    """The answers of the routes of guardrails; an action is switched off until it is lifted."""

    def __init__(self) -> None:
        self.lifted: list[dict[str, Any]] = []

    def view(self) -> dict[str, Any]:
        stop = {"guardrail": "unsubscribes", "action_id": "loud_mail", "test": HARM}
        stop |= {"stopped_at": "2026-03-20T10:00:00Z", "lifted_at": None, "lifted_by": None}
        guardrail = {
            "name": "unsubscribes",
            "description": "Who wants no more mail.",
            "at_most": None,
            "counts": "unsubscribed",
            "within_days": 7,
            "limit": 1,
            "against": "nobody",
            "level": 0.02,
            "since": "2026-03-01T00:00:00Z",
            "policy": None,
            "actions": [HARM, FINE],
            "words": "loud_mail does too much harm.",
        }
        return {"guardrails": [guardrail], "stops": [] if self.lifted else [stop]}


def application(control: AccessControl, guarded: Guarded) -> Any:
    async def lift(_: Request) -> JSONResponse:
        return JSONResponse(lift_view())

    async def guardrails(_: Request) -> JSONResponse:
        return JSONResponse(guarded.view())

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
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    side_by_side = "new Set([...document.querySelectorAll('.pair')].map(one => one.offsetTop)).size"
    assert browser.evaluate(side_by_side) == (3 if width == 390 else 1)
    overlaps = """[...document.querySelectorAll('.pair svg')].flatMap(picture => {
      const all = [...picture.querySelectorAll('text')].map(one => one.getBoundingClientRect());
      return all.flatMap((a, i) => all.slice(i + 1).filter(b => a.left < b.right
        && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
    }).length"""
    assert browser.evaluate(overlaps) == 0
    assert [one for one in browser.complaints if "401" not in one] == []  # before the key
