"""ASGI types, and answers that the middlewares send themselves."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

Connection = MutableMapping[str, Any]  # ASGI's "scope"; here, a scope is what a key may do
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Connection, Receive, Send], Awaitable[None]]


def header(message: Mapping[str, Any], name: bytes) -> str:
    """Read a header of a request or an answer; empty if it is missing."""
    return next((value.decode("latin-1") for key, value in message["headers"] if key == name), "")


async def send_json(
    send: Send, status: int, body: Mapping[str, Any], more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole answer with a body of JSON, and more headers."""
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
