"""Tests connections on a socket, with a tiny application behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn.config
from uvicorn.config import Config
from uvicorn.server import ServerState

from serving.access import connections
from serving.access.asgi import send_json
from serving.access.connections import BoundedHttp, bound_connections
from serving.access.load_shedding import LoadShedding
from tests.serving.access.test_traffic_metrics import count

POST = b"POST /v1/decide?x=1 HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n{}"
Story = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


class Full(LoadShedding):
    def is_full(self, path: str, now_s: float) -> bool:
        return path == "/v1/decide"


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    known = uvicorn.config.HTTP_PROTOCOLS
    monkeypatch.setitem(known, "auto", known["auto"])
    monkeypatch.setattr(BoundedHttp, "shedding", None)
    monkeypatch.setattr(BoundedHttp, "refusal", None)
    monkeypatch.setattr(BoundedHttp, "paths", frozenset())


def talk(story: Story) -> Any:
    """Run a story over one connection; the application answers 200 with the body that came."""

    async def app(connection: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"].decode()
        await send_json(send, 200, {"path": connection["path"], "body": body})

    async def run() -> Any:
        config = Config(app, log_config=None, lifespan="off")  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedHttp(config, ServerState(), {}), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            found = await story(reader, writer)
        writer.close()
        server.close()
        return found

    return asyncio.run(run())


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
    return int(head[9:12]), head, await reader.readexactly(length)


async def post_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
    writer.write(POST)
    first = await answer(reader)
    writer.write(POST.replace(b"/v1/decide", b"/livez"))
    return first, await answer(reader)


def test_a_connection_is_answered_by_the_application():
    first, second = talk(post_twice)
    assert (first[0], first[2]) == (200, b'{"path": "/v1/decide", "body": "{}"}')
    assert (second[0], second[2]) == (200, b'{"path": "/livez", "body": "{}"}')


def test_a_full_worker_refuses_before_the_application_and_keeps_the_connection():
    bound_connections(Full(), ["/v1/decide"])
    (status, head, body), second = talk(post_twice)
    assert status == 503 and b"retry-after: 1\r\n" in head
    assert body.startswith(b'{"error": "This worker has taken on what it can answer soon')
    assert second[0] == 200


def test_a_refused_request_is_counted_by_its_path():
    bound_connections(Full(), ["/v1/decide"])
    before = count("/v1/decide", 503)
    talk(post_twice)
    assert count("/v1/decide", 503) == before + 1


@pytest.mark.parametrize("more", [b"connection: close", b"expect: 100-continue"])
def test_a_refusal_may_be_the_last_answer_of_a_connection(more):
    bound_connections(Full(), ["/v1/decide"])

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        writer.write(POST.replace(b"host: here", b"host: here\r\n" + more))
        first = await answer(reader)
        if b"close" in more:
            assert b"connection: close" in first[1]
            assert await reader.read() == b""
        return first[0]

    assert talk(story) == 503


def test_the_body_of_a_refused_request_may_come_later_and_another_request_after_it():
    bound_connections(Full(), ["/v1/decide"])

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        writer.write(POST[:-2])
        first = await answer(reader)
        writer.write(POST[-2:] + POST.replace(b"/v1/decide", b"/livez"))
        return first[0], (await answer(reader))[0]

    assert talk(story) == (503, 200)


@pytest.mark.parametrize(
    ("origin", "method", "status"),
    [
        ("https://shop.test", "POST", 503),
        ("https://shop.test", "OPTIONS", 204),
        ("https://evil.test", "POST", 403),
    ],
)
def test_a_page_that_may_call_can_read_that_the_worker_is_full(origin, method, status):
    bound_connections(Full(), ["/v1/decide"], ["https://shop.test"])
    more = f"origin: {origin}\r\naccess-control-request-method: POST\r\nconnection: close\r\n"

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        head = POST.replace(b"POST", method.encode(), 1)
        writer.write(head.replace(b"host: here\r\n", b"host: here\r\n" + more.encode()))
        return (await reader.read()).decode()

    found = talk(story)
    assert found.startswith(f"HTTP/1.1 {status} ") and "content-security-policy" in found
    assert (f"access-control-allow-origin: {origin}" in found) is (status != 403)
    assert ("retry-after: 1" in found) is (status == 503)


def test_a_refused_head_has_no_body():
    bound_connections(Full(), ["/v1/decide"])

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        writer.write(b"HEAD /v1/decide HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        return await reader.read()

    head, _, body = talk(story).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ") and body == b""


def test_uvicorn_is_told_to_use_these_connections():
    bound_connections(LoadShedding(), [])
    config = Config(talk, log_config=None)  # type: ignore[arg-type]
    config.load()
    assert config.http_protocol_class is BoundedHttp


@pytest.mark.parametrize("sent", [b"", b"POST /v1/dec", b"\r\n", POST[:-6]])
def test_half_a_head_is_not_waited_for(sent, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.02)

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(sent)
        return await reader.read()  # until the server closes the connection

    assert talk(story) == b""


def test_half_a_head_after_an_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.02)

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        writer.write(POST)
        first = await answer(reader)
        writer.write(b"POST /v1")
        return first[0], await reader.read()

    assert talk(story) == (200, b"")


def test_a_body_may_take_longer_than_a_head(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.02)

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        writer.write(POST[:-2])
        closed = asyncio.ensure_future(answer(reader))
        done, _ = await asyncio.wait([closed], timeout=0.1)
        assert not done
        writer.write(POST[-2:])
        return (await closed)[0]

    assert talk(story) == 200
