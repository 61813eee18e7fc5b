"""Requests of web pages, through the middleware with a tiny application behind it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from serving.access.browsers import BrowserMiddleware

LISTED = ("https://Shop.example:443", "http://intranet.test:8000")
HOST = "nba.example:3000"


class Behind:
    """Answers 200 as BentoML does, and counts what came through."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, connection: Any, receive: Any, send: Any) -> None:
        self.count += 1
        if connection["type"] == "http":
            headers = [(b"server", b"BentoML Service/x"), (b"cache-control", b"max-age=9")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{}"})


class Pages:
    """Sends requests as a browser would, on behalf of a page."""

    def __init__(self) -> None:
        self.behind = Behind()
        self.middleware = BrowserMiddleware(self.behind, LISTED)

    def __call__(self, method: str = "POST", path: str = "/v1/forget", **told: str):
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(dict(message))

        told = {"host": HOST, **told}
        headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in told.items()]
        connection = {"type": "http", "method": method, "path": path, "headers": headers}
        asyncio.run(self.middleware({**connection, "scheme": "http"}, None, send))
        pairs = sent[0]["headers"]
        assert len({name for name, _ in pairs}) == len(pairs)
        body = b"".join(one.get("body", b"") for one in sent[1:])
        told_back = {name.decode(): value.decode() for name, value in pairs}
        return sent[0]["status"], told_back, body


@pytest.fixture
def page():
    return Pages()


@pytest.mark.parametrize(
    "told",
    [
        {},  # no browser
        {"origin": f"http://{HOST}"},
        {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin"},
        {"origin": f"https://{HOST}", "sec_fetch_site": "same-origin"},  # a proxy ends TLS
        {"origin": "http://nba.example", "host": "nba.example:80"},
        {"origin": "http://nba.example:80", "host": "NBA.example"},
        {"sec_fetch_site": "none"},  # the address was typed
        {"sec_fetch_site": "same-origin"},
    ],
)
def test_requests_of_our_own_pages_and_of_programs_pass(page, told):
    status, headers, _ = page(**told)
    assert (status, page.behind.count) == (200, 1)
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "told",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"origin": f"https://{HOST}"},
        {"origin": "http://nba.example:3001", "sec_fetch_site": "same-site"},
        {"origin": f"http://{HOST}", "sec_fetch_site": "cross-site"},
        {"origin": f"http://{HOST}.evil.test"},
        {"origin": "https://shop.example.evil.test"},
        {"origin": "http://shop.example"},  # listed with https
        {"origin": "https://shop.example:8443"},
        {"origin": "https://evil.test, https://shop.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "Cross-Site", "referer": "https://evil.test/shop.example"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_pages_of_other_origins_are_refused(page, told, method):
    status, headers, body = page(method, **told)
    assert (status, page.behind.count) == (403, 0)
    error = json.loads(body)["error"]
    assert "sent this request from a browser. Expected a page of this server" in error
    assert told.get("origin", "another site" if "referer" not in told else "evil.test") in error
    assert not [name for name in headers if name.startswith("access-control")]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "application/json"


def test_a_link_of_the_same_site_is_followed_and_one_of_another_site_is_not(page):
    assert page("GET", "/console/", sec_fetch_site="same-site")[0] == 200
    assert page("GET", "/console/", sec_fetch_site="cross-site")[0] == 403
    listed = {"sec_fetch_site": "cross-site", "referer": "https://shop.example/orders?id=1"}
    status, headers, _ = page("GET", "/console/", **listed)
    assert status == 200 and "access-control-allow-origin" not in headers


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_a_listed_origin_may_call_and_read_the_answer(page, site):
    told = {"sec_fetch_site": site} if site else {}
    status, headers, _ = page(origin="https://shop.example", **told)
    assert (status, page.behind.count) == (200, 1)
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert headers["access-control-expose-headers"] == "retry-after, www-authenticate"
    assert headers["vary"] == "Origin"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-credentials" not in headers


def test_a_preflight_of_a_listed_origin_is_answered_before_any_key_is_asked_for(page):
    asked = {
        "origin": "https://shop.example",
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization,content-type",
        "access_control_request_private_network": "true",
    }
    status, headers, body = page("OPTIONS", **asked)
    assert (status, body, page.behind.count) == (204, b"", 0)
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert "authorization, content-type" in headers["access-control-allow-headers"]
    assert headers["access-control-max-age"] == "600" and "Origin" in headers["vary"]
    assert "content-length" not in headers and "content-type" not in headers
    for other in ({"origin": "https://evil.test"}, {"access_control_request_method": "PUT"}):
        status, headers, body = page("OPTIONS", **{**asked, **other})
        assert status == 403 and "Expected" in json.loads(body)["error"]
    refused = page("OPTIONS", **{**asked, "access_control_request_headers": "x-other"})
    assert refused[0] == 403 and page.behind.count == 0


def test_an_options_request_that_is_no_preflight_is_passed_on(page):
    assert page("OPTIONS")[0] == 200
    assert page("OPTIONS", origin="https://shop.example")[0] == 200


def test_answers_are_not_kept_and_pages_are_looked_up_again(page):
    for path, cached in (("/v1/lift", "no-store"), ("/", "no-cache"), ("/console/x", "no-cache")):
        headers = page("GET", path)[1]
        assert headers["cache-control"] == cached and "server" not in headers


def test_what_is_not_http_goes_straight_through(page):
    asyncio.run(page.middleware({"type": "lifespan"}, None, None))
    assert page.behind.count == 1
