"""Tests the gate as an ASGI application, with a tiny application behind it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from features.errors import LedgerDown, Overloaded
from serving.access import gate
from serving.access.access_log import read_accesses
from serving.access.gate import (
    AccessControl,
    AccessMiddleware,
    bearer,
    may,
)
from serving.access.keys import add_key, revoke_key
from serving.access.scopes import OTHER_PATHS, KeyScope

SCOPES = {
    "/v1/decide": KeyScope.DECIDE,
    "/v1/customer": KeyScope.READ,
    "/v1/forget": KeyScope.PRIVACY,
    **OTHER_PATHS,
}


class Behind:
    """Answers 200, and keeps what the gate let through."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, connection: Any, receive: Any, send: Any) -> None:
        self.seen.append(connection)
        if connection["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})


class Caller:
    """Sends requests through a gate."""

    def __init__(self, control: AccessControl) -> None:
        self.behind = Behind()
        self._gate = AccessMiddleware(self.behind, control, SCOPES)

    def __call__(self, path: str, token: str = "", server: Any = ("127.0.0.1", 3000), **more: Any):
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(k.encode(), v.encode()) for k, v in bearer(token).items()]
        connection = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": headers,
            "server": server,
            "client": ("10.0.0.7", 999),
            **more,
        }
        asyncio.run(self._gate(connection, None, send))
        status = sent[0].get("status") if sent else None
        body = b"".join(one.get("body", b"") for one in sent[1:])
        return (
            status,
            json.loads(body or b"{}").get("error", ""),
            dict(sent[0].get("headers", ()) if sent else ()),
        )


@pytest.fixture
def control(ledger):
    opened = AccessControl()
    opened.open(ledger)
    return opened


@pytest.fixture
def call(control):
    return Caller(control)


def test_without_keys_the_machine_itself_may_do_everything(call):
    for path in SCOPES:
        assert call(path)[0] == 200
    assert all(may(call.behind.seen[-1], scope) for scope in KeyScope)


def test_without_keys_nobody_else_may_do_anything(call):
    for path in ("/v1/decide", "/v1/forget", "/docs.json", "/metrics", "/made-up"):
        status, error, headers = call(path, server=("192.168.1.4", 3000))
        assert status == 401 and headers[b"www-authenticate"] == b"Bearer"
        assert error.startswith("This server has no keys yet") and "nba keys add" in error
    assert call("/livez", server=("192.168.1.4", 3000))[0] == 200
    assert call("/readyz", server=("192.168.1.4", 3000))[0] == 200
    assert not may(call.behind.seen[-1], KeyScope.READ)


def test_a_key_is_needed_on_loopback_too_once_there_is_one(call, control, ledger, now):
    token = add_key(ledger, "shop", [KeyScope.DECIDE], now)
    control.refresh()
    assert call("/v1/decide", token)[0] == 200
    assert call("/v1/decide", token, server=("192.168.1.4", 3000))[0] == 200
    status, error, headers = call("/v1/decide")
    assert (status, headers[b"www-authenticate"]) == (401, b"Bearer")
    assert error.startswith("No key was sent.")
    status, error, _ = call("/v1/decide", token + "x")
    assert status == 401 and error.startswith("The key that was sent is unknown or revoked.")
    status, error, _ = call("/v1/customer", token)
    assert status == 403 and "'shop' has the scopes decide. Expected read" in error
    assert call("/made-up", token)[0] == 404 and call("/made-up")[0] == 401
    assert token not in error
    revoke_key(ledger, "shop", now)
    control.refresh()
    assert call("/v1/decide", token)[0] == 401 and call("/v1/decide")[0] == 401


def test_the_scheme_of_the_header_is_compared_without_case_and_others_are_no_key(
    call, control, ledger, now
):
    token = add_key(ledger, "shop", [KeyScope.DECIDE], now)
    control.refresh()
    for sent, status in ((f"bEARER  {token} ", 200), (f"Basic {token}", 401), (token, 401)):
        headers = [(b"authorization", sent.encode())]
        assert call("/v1/decide", headers=headers)[0] == status


def test_an_unknown_path_never_reaches_the_application(call, control, ledger, now):
    """Its router takes a path with a line break at its end for the same path without."""
    for path in ("/v1/forget\n", "/v1/forget\n/", "/docs.json\n", "/\n", "//v1/forget"):
        assert call(path)[0] == 404
    token = add_key(ledger, "shop", [KeyScope.DECIDE], now)
    control.refresh()
    assert call("/v1/forget\n", token)[:2] == (
        404,
        "'/v1/forget\\n' is not a route of this service. /docs.json names them all.",
    )
    assert call.behind.seen == []


def test_each_use_of_privacy_is_logged_with_its_status_and_no_other_is(call, control, ledger, now):
    token = add_key(ledger, "dpo", list(KeyScope), now)
    other = add_key(ledger, "shop", [KeyScope.DECIDE], now)
    control.refresh()
    assert call("/v1/forget", token)[0] == 200
    assert call("/v1/customer", token)[0] == 200
    assert call("/v1/forget", other)[0] == 403
    [use] = ledger.read(lambda c: read_accesses(c, None, 10))
    assert (use.key_name, use.client, use.request, use.status) == (
        *("dpo", "10.0.0.7"),
        *("POST /v1/forget", 200),
    )


def test_a_use_that_cannot_be_logged_does_not_happen(call, control, monkeypatch):
    async def down(*_: Any, **__: Any) -> None:
        raise LedgerDown("The ledger is down.", expected="an answer", remedy="Wait.")

    monkeypatch.setattr(control.ledger, "write", down)
    assert call("/v1/forget")[0] == 503
    assert call.behind.seen == []


def test_a_failed_request_is_logged_as_a_failure(control, ledger):
    async def fails(*_: Any) -> None:
        raise RuntimeError

    caller = Caller(control)
    caller._gate._app = fails
    with pytest.raises(RuntimeError):
        caller("/v1/forget")
    assert [use.status for use in ledger.read(lambda c: read_accesses(c, None, 10))] == [500]


@pytest.mark.parametrize(("begun", "status"), [(False, 504), (True, 200)])
def test_a_request_that_takes_too_long_is_logged_as_it_is_answered(control, ledger, begun, status):
    """BentoML cancels it, and answers 504 if nothing was sent yet."""

    async def slow(_: Any, __: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    caller = Caller(control)
    caller._gate._app = slow
    with pytest.raises(asyncio.CancelledError):
        caller("/v1/forget")
    assert [use.status for use in ledger.read(lambda c: read_accesses(c, None, 10))] == [status]


def test_a_request_of_a_caller_who_hung_up_has_no_status(control, ledger):
    async def nothing(*_: Any) -> None: ...

    caller = Caller(control)
    caller._gate._app = nothing
    assert caller("/v1/forget")[0] is None
    assert [use.status for use in ledger.read(lambda c: read_accesses(c, None, 10))] == [None]


def test_the_status_is_kept_however_much_the_ledger_has_to_write(
    call, control, ledger, monkeypatch
):
    async def fill(connection: Any, receive: Any, send: Any) -> None:
        monkeypatch.setattr("features.ledger.ledger.MAX_WAITING", 0)
        await Behind()(connection, receive, send)

    call._gate._app = fill
    assert call("/v1/forget")[0] == 200
    assert [use.status for use in ledger.read(lambda c: read_accesses(c, None, 10))] == [200]


def test_before_the_keys_are_read_only_open_paths_are_answered():
    call = Caller(AccessControl())
    assert call("/readyz")[0] == 200
    status, error, headers = call("/v1/decide")
    assert status == 503 and "starting" in error and headers[b"retry-after"] == b"5"
    assert len(call.behind.seen) == 1


def test_a_websocket_is_closed_and_the_start_of_the_server_passes(call):
    assert call("/v1/decide", type="websocket")[0] is None
    assert call.behind.seen == []
    call("", type="lifespan")
    assert [one["type"] for one in call.behind.seen] == ["lifespan"]


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:3000", "shop.test:80"])
def test_without_keys_the_server_is_called_by_a_name_of_this_machine(ledger, host):
    control = AccessControl(["https://shop.test"])
    control.open(ledger)
    assert Caller(control)("/v1/forget", headers=[(b"host", host.encode())])[0] == 200


@pytest.mark.parametrize("host", ["evil.test:3000", "10.0.0.7", "localhost.evil.test", "[::1", "@"])
def test_without_keys_no_page_calls_by_a_name_of_its_own(call, host):
    """A name of the page's own leads to this machine once its owner says so (DNS rebinding)."""
    headers = [(b"host", host.encode())]
    for path in ("/v1/forget", "/docs.json", "/", "/console/"):
        status, error, _ = call(path, headers=headers)
        assert status == 403 and error.startswith(f"Host is '{host}', and this server has no keys")
    assert call("/livez", headers=headers)[0] == call("/readyz", headers=headers)[0] == 200
    assert not any(may(call.behind.seen[-1], scope) for scope in KeyScope)


def test_with_keys_host_is_not_looked_at(call, control, ledger, now):
    token = add_key(ledger, "shop", [KeyScope.DECIDE], now)
    control.refresh()
    headers = [(b"host", b"nba.example.org"), (b"authorization", f"Bearer {token}".encode())]
    assert call("/v1/decide", headers=headers)[0] == 200
    assert call("/console/", headers=headers[:1])[0] == 200


# Rate limits -----------------------------------------------------------------------------------


@pytest.fixture
def slow_clock(monkeypatch):
    """A clock that stands still until a test sets it."""
    times = [100.0]
    monkeypatch.setattr(gate, "monotonic_s", lambda: times[0])
    return times


def test_a_key_that_sends_too_much_is_refused_until_its_bucket_fills(ledger, now, slow_clock):
    tokens = [add_key(ledger, name, list(KeyScope), now) for name in ("shop", "desk")]
    control = AccessControl(requests_per_s=3)
    control.open(ledger)
    call = Caller(control)
    assert [call("/v1/decide", tokens[0])[0] for _ in range(4)] == [200, 200, 200, 429]
    status, sentence, headers = call("/v1/customer", tokens[0])
    assert (status, headers[b"retry-after"]) == (429, b"1")
    assert sentence.startswith("The key 'shop' sent too many requests")
    assert "at most 3 a second" in sentence
    assert call("/v1/decide", tokens[1])[0] == 200  # another key
    assert call("/livez", tokens[0])[0] == 200
    slow_clock[0] += 0.34
    assert [call("/v1/decide", tokens[0])[0] for _ in range(2)] == [200, 429]


def test_wrong_keys_are_slowed_down_and_right_ones_are_not(ledger, now, slow_clock):
    token = add_key(ledger, "shop", list(KeyScope), now)
    control = AccessControl()
    control.open(ledger)
    call = Caller(control)
    found = [call("/v1/decide", f"nba_wrong{number}")[0] for number in range(103)]
    assert found == [401] * 100 + [429] * 3
    status, sentence, headers = call("/v1/decide")
    assert (status, headers[b"retry-after"]) == (429, b"1")
    assert "'Authorization: Bearer KEY'" in sentence
    assert call("/v1/decide", token)[0] == 200
    slow_clock[0] += 1
    assert call("/v1/decide", "nba_wrong")[0] == 401


def test_without_any_key_no_request_is_counted(call, slow_clock):
    assert {call("/v1/decide")[0] for _ in range(1_200)} == {200}


def test_an_access_log_that_is_overloaded_says_when_to_come_back(call, control, monkeypatch):
    async def full(*_: Any) -> None:
        raise Overloaded("The ledger is full.", expected="less", remedy="Wait.")

    monkeypatch.setattr(control.ledger, "write", full)
    status, _, headers = call("/v1/forget")
    assert (status, headers[b"retry-after"]) == (503, b"1")


# A simulated clock -----------------------------------------------------------------------------


def test_whoever_could_set_the_time_of_others_is_refused_with_a_key_too(ledger, now):
    token = add_key(ledger, "shop", list(KeyScope), now)
    control = AccessControl(this_machine_only=True)
    control.open(ledger)
    call = Caller(control)
    for path in ("/v1/decide", "/v1/forget", "/readyz", "/livez", "/made-up"):
        status, error, _ = call(path, token, server=("192.168.1.4", 3000))
        assert status == 403 and "NBA_CLOCK=simulated" in error and "127.0.0.1" in error
    assert call.behind.seen == []
    for here in ("127.0.0.1", "::1"):
        assert call("/v1/decide", token, server=(here, 3000))[0] == 200
    assert call("/v1/decide")[0] == 401  # a key is asked for all the same
