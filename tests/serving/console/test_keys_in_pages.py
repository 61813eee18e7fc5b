"""The pages ask for a key: in a real browser, from a server of this process with our middlewares.

The routes behind are small stand-ins; the pages, the gate and the keys are the real ones.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
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
from tests.lift_answers import lift_view
from tests.server import free_port

pytestmark = pytest.mark.server
READY = {"status": "ready", "degraded": [], "models": {"churn": 3}}
SCOPES = {**OTHER_PATHS, "/v1/lift": KeyScope.READ, "/v1/decide": KeyScope.DECIDE}
DOCUMENT = {
    "info": {"description": "A small document."},
    "components": {"schemas": {}},
    "paths": {"/v1/lift": {"post": {"description": "Estimate the lift.", "responses": {}}}},
}


def application(control: AccessControl) -> Any:
    async def decide(_: Any) -> JSONResponse:
        return JSONResponse({"error": "Nobody is asked here."}, 404)

    async def lift(_: Any) -> JSONResponse:
        return JSONResponse(lift_view(verdict="Too early."))

    pages = Mount("/console", StaticFiles(directory=ROOT / "serving" / "console", html=True))
    routes = [Route("/v1/decide", decide, methods=["POST"]), pages]
    app: Any = Starlette(routes=[Route("/v1/lift", lift, methods=["POST"]), *routes])
    app = ErrorMiddleware(app, lambda: (200, READY), {"/docs.json": lambda: DOCUMENT})
    return BrowserMiddleware(AccessMiddleware(app, control, SCOPES))


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The address of a server, and a key of each of some scopes."""
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('keys') / 'ledger.db'}")
    reader, decider = (
        add_key(ledger, scope.value, [scope], NOW) for scope in (KeyScope.READ, KeyScope.DECIDE)
    )
    control = AccessControl()
    control.open(ledger)
    port = free_port()
    config = uvicorn.Config(application(control), port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/", reader, decider
    server.should_exit = True
    thread.join(timeout=10)
    ledger.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


def use(browser: Browser, key: str) -> None:
    browser.wait_for("!document.getElementById('key').hidden")
    browser.type_into("#key-form input", key)
    browser.click("#key-form button")


def test_the_console_asks_for_a_key_and_keeps_it_for_the_tab_alone(keys, browser):
    address, reader, _ = keys
    browser.open(f"{address}console/")
    browser.wait_for("!document.getElementById('key').hidden")
    assert browser.text("key-why").startswith("No key was sent.")
    assert browser.text("lift") == "This section needs a key."
    assert "ready" in browser.text("ready") and "churn" not in browser.text("ready")
    field = "document.querySelector('#key-form input')"
    assert browser.evaluate(f"[{field}.type, {field}.autocomplete]") == ["password", "off"]
    use(browser, reader)
    browser.wait_for("document.getElementById('lift').textContent.includes('Too early.')")
    browser.wait_for("document.getElementById('ready').textContent.includes('churn 3')")
    assert browser.evaluate("document.getElementById('key').hidden")
    assert reader not in browser.html() and not browser.evaluate(f"{field}.value")
    stored = "[JSON.stringify({...sessionStorage}), localStorage.length, document.cookie]"
    assert browser.evaluate(stored) == [
        json.dumps({"nba.key": reader}, separators=(",", ":")),
        0,
        "",
    ]
    browser.evaluate("location.reload()")
    browser.wait_for("document.getElementById('lift').textContent.includes('Too early.')")
    browser.open(f"{address}console/")  # in another tab
    browser.wait_for("!document.getElementById('key').hidden")


def test_a_section_that_the_key_may_not_read_says_which_scope_is_missing(keys, browser):
    address, reader, decider = keys
    browser.open(f"{address}console/?customer=h1&channel=app")
    browser.wait_for("document.getElementById('decision').textContent.includes('needs a key')")
    use(browser, decider)  # the request of the link is sent again by itself
    browser.wait_for("document.getElementById('decision').textContent.includes('Nobody is asked')")
    told = "The key 'decide' has the scopes decide. Expected read, which '/v1/lift' needs."
    browser.wait_for(f"document.getElementById('lift').textContent.includes({json.dumps(told)})")
    assert "Details need a key with the scope read." in browser.text("ready")


def test_a_key_is_forgotten(keys, browser):
    address, reader, _ = keys
    browser.open(f"{address}console/")
    use(browser, reader)
    browser.wait_for("!document.getElementById('forget').hidden")
    browser.click("#forget")
    browser.wait_for("document.getElementById('key-why').textContent.startsWith('No key was sent')")
    assert browser.evaluate("sessionStorage.length") == 0
    assert browser.evaluate("document.getElementById('forget').hidden")


@pytest.mark.parametrize(
    ("key", "told"),
    [("nba_wrong", "The key that was sent is unknown or revoked."), ("clé €", "A key has letters")],
)
def test_a_wrong_key_is_asked_for_again(key, told, keys, browser):
    browser.open(f"{keys[0]}console/")
    use(browser, key)
    browser.wait_for(f"document.getElementById('key-why').textContent.includes({json.dumps(told)})")
    assert browser.evaluate("[document.getElementById('key').hidden, sessionStorage.length]") == [
        False,
        0,
    ]


def test_the_page_of_the_api_takes_any_key(keys, browser):
    address, _, decider = keys
    browser.open(address)
    browser.wait_for("document.getElementById('api').textContent.includes('needs a key')")
    use(browser, decider)
    browser.wait_for("document.getElementById('api').textContent.includes('Estimate the lift.')")
    browser.click("#post-v1-lift form button")
    browser.wait_for("document.body.textContent.includes('Status 403')")
    assert "Expected read" in browser.text("api")
