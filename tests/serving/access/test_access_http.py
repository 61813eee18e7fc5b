"""Tests who may call a started server: without keys, with keys of each scope, from elsewhere."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import bentoml
import psutil
import pytest
from bentoml.exceptions import BentoMLException

from serving.access.access_log import read_accesses
from serving.access.scopes import ANY_KEY, OPEN, UNKNOWN, need_of, scopes_of
from serving.service import NextBestAction
from tests.bench.guarantees_access import (
    NO_KEY,
    PATHS,
    REVOKED,
    SENT,
    WRONG,
    ask,
    is_right,
    make_keys,
)
from tests.commands import nba_in_process
from tests.conftest import Built
from tests.server import Server, ledger_of, running

pytestmark = pytest.mark.server
SCOPES = scopes_of(NextBestAction)
ROUTES = {api.route for api in NextBestAction.apis.values()}
ELSEWHERE = "A server cannot be reached at another address: this machine has loopback only"


@pytest.fixture(scope="module")
def env(shop: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("access") / "home"
    shutil.copytree(shop.home, home)
    return {**shop.env, "NBA_HOME": str(home)}


@pytest.fixture(scope="module")
def server(env: dict[str, str]) -> Iterator[Server]:
    """A server of the shop on all addresses, without a key so far."""
    with running(Path(env["NBA_HOME"]), env, host="0.0.0.0") as started:
        yield started


def add_key(env: dict[str, str], name: str, *scopes: str) -> str:
    done = nba_in_process(["keys", "add", name, "--scope", ",".join(scopes)], env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def keys(server: Server, env: dict[str, str]) -> dict[str, str]:
    """A key for each scope, and a revoked one that had all."""
    return make_keys(server, Path(env["NBA_HOME"]))


def other_address() -> str:
    """An address of this machine that is not loopback."""
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family == socket.AF_INET and not one.address.startswith("127."):
                return one.address
    pytest.skip(ELSEWHERE)


# Before there is a key ---------------------------------------------------------------------------


def test_without_keys_this_machine_is_answered_and_no_other(server):
    assert ask(server, "/v1/decide")[0] == 200
    assert ask(server, "/readyz")[1]["models"] == {"bandit": None, "effects": None}
    host = other_address()
    for path in (*SCOPES, "/x"):
        status, answer = ask(server, path, host=host)
        if need_of(path, SCOPES) == OPEN:
            assert status == 200
        else:
            assert (status, answer["error"].partition(",")[0]) == (
                401,
                "This server has no keys yet",
            )
    assert set(ask(server, "/readyz", host=host)[1]) == {"status"}


def test_bentoml_clients_call_every_route_by_keyword_arguments(server):
    url = f"http://127.0.0.1:{server.port}"
    with bentoml.SyncHTTPClient(url) as client:
        assert set(client.endpoints) == set(NextBestAction.apis)
        decided = client.decide(customer_id="c1", channel="app", explain=True)
        assert decided["actions"][0]["action_id"] and decided["removed"] is not None
        client.decide(identifiers=["card:9"], channel="app", slots=2, exclude=["hello"])
        told = client.outcomes(decision_id=decided["decision_id"], outcome="accepted")
        assert told["status"] == "recorded"
        event = {"event_id": "b1", "type": "visit", "occurred_at": "2026-01-05T10:00:00Z"}
        event |= {"channel": "app", "customer_id": "c1"}
        assert client.events(events=[event])["accepted"] == 1
        with pytest.raises(BentoMLException, match="has no field|not in the catalog|channel is"):
            client.decide(customer_id="c1", channel="fax")

    async def others() -> None:
        async with bentoml.AsyncHTTPClient(url) as client:
            waiting = await client.decide(customer_id="c2", channel="app", activate=False)
            of = {"decision_id": waiting["decision_id"]}
            assert (await client.activate(**of))["decision_id"] == of["decision_id"]
            assert (await client.explain(**of))["as_logged"]
            assert (await client.replay(**of, catalog="now"))["identical"]
            assert "verdict" in await client.lift()
            seen = await client.customer(customer_id="c1", limit=5)
            assert seen["customer_id"] == "c1"
            assert await client.link(keys=["c1", "card:9"], cause="told")
            assert await client.unlink(keys=["c1", "card:9"], cause="told")
            assert not (await client.merge_candidates(status="open", limit=3))["candidates"]
            with pytest.raises(BentoMLException, match="attributes"):
                await client.attributes(customer_id="c1", attributes={"nonsense": 1})
            assert (await client.forget(customer_id="c2"))["erased"]

    asyncio.run(others())


def test_head_is_answered_where_get_is(server):
    for path in (path for path in SCOPES if not path.startswith("/v1/")):
        connection = server.connect()
        found = []
        for method in ("GET", "HEAD"):
            connection.request(method, path)
            answer = connection.getresponse()
            found.append((answer.status, answer.getheader("content-type")))
            assert bool(answer.read()) is (method == "GET"), (path, method)
        connection.close()
        assert found[0] == found[1] and found[0][0] == 200, path


def test_the_story_of_the_readme(shop, tmp_path):
    """Add a key, listen on all addresses, ask with the key, revoke it."""
    home = tmp_path / "home"
    shutil.copytree(shop.home, home)
    env = {**shop.env, "NBA_HOME": str(home)}
    refused = nba_in_process(["serve", "--host", "0.0.0.0"], env)
    assert refused.returncode == 2 and "Run 'nba keys add NAME" in refused.stderr
    token = add_key(env, "web-shop", "decide", "write")
    with running(home, env, host="0.0.0.0", by_nba=True) as started:
        host = other_address()
        assert ask(started, "/v1/decide", token, host)[0] == 200
        assert ask(started, "/v1/decide", "", host)[0] == 401
        assert ask(started, "/v1/customer", token, host)[0] == 403
        assert nba_in_process(["keys", "revoke", "web-shop"], env).returncode == 0
        started.wait_for(lambda: ask(started, "/v1/decide", token, host)[0] == 401, 5)
        assert token not in started.log.read_text()


# Once there are keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sent", SENT)
def test_each_path_is_answered_to_its_scope_only(server, keys, path, sent):
    need = need_of(path, SCOPES)
    status, answer = ask(server, path, keys[sent])
    assert is_right(path, sent, status)
    if need == OPEN:
        assert status == 200
    elif sent in (NO_KEY, WRONG, REVOKED):
        assert status == 401 and "nba keys add" in answer["error"]
    elif need == UNKNOWN:
        assert status == 404 and "is not a route of this service" in answer["error"]
    elif need in (sent, ANY_KEY):
        assert status not in (401, 403, 404), answer
    else:
        assert status == 403
        assert f"has the scopes {sent}. Expected {need}, which" in answer["error"]


def test_the_details_of_readiness_need_the_scope_read(server, keys):
    assert set(ask(server, "/readyz", keys["read"])[1]) == {"status", "degraded", "models"}
    for name in ("decide", "write", "privacy", "admin", "revoked", "wrong"):
        assert set(ask(server, "/readyz", keys[name])[1]) == {"status"}


def test_a_key_is_answered_at_every_address(server, keys):
    host = other_address()
    assert ask(server, "/v1/decide", keys["decide"], host)[0] == 200
    assert ask(server, "/v1/decide", host=host)[0] == 401


def test_a_bentoml_client_sends_its_token_as_the_key(server, keys):
    url = f"http://127.0.0.1:{server.port}"
    with bentoml.SyncHTTPClient(url, token=keys["decide"]) as client:
        assert client.decide(customer_id="c1", channel="app")["decision_id"]
        with pytest.raises(BentoMLException, match="Expected privacy"):
            client.forget(customer_id="c1")


def test_each_use_of_privacy_and_admin_stands_in_the_access_log(server, keys, env):
    with ledger_of(Path(env["NBA_HOME"])) as ledger:
        before = len(ledger.read(lambda c: read_accesses(c, None, 1000)))
        status = ask(server, "/v1/forget", keys["privacy"])[0]
        ask(server, "/v1/forget", keys["admin"])
        server.wait_for(
            lambda: ledger.read(lambda c: read_accesses(c, None, 1))[0].status is not None
        )
        log = ledger.read(lambda c: read_accesses(c, None, 1000))
    assert len(log) == before + 1
    assert (log[0].key_name, log[0].client) == ("only-privacy", "127.0.0.1")
    assert (log[0].request, log[0].status) == ("POST /v1/forget", status)
    shown = nba_in_process(["access-log", "--limit", "1"], env).stdout
    assert "only-privacy" in shown and "/v1/forget" in shown


def test_a_command_that_erases_stands_in_the_access_log_too(env, server, keys):
    nba_in_process(["forget", "nobody-at-all"], env)
    with ledger_of(Path(env["NBA_HOME"])) as ledger:
        [newest] = ledger.read(lambda c: read_accesses(c, None, 1))
    assert (newest.client, newest.request, newest.key_id) == ("nba", "nba forget", None)
