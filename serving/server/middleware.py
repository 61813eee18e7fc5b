"""The middleware refuses bodies that are too large, and gives every error one form.

BentoML sends an error as a list, or as a stock phrase with a list of details. This middleware sends
``{"error": "one sentence"}`` instead. BentoML also answers `/readyz` with an empty line; here it
names what is missing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from features.clock import monotonic_s
from features.errors import NotCounted, Overloaded, quoted, truncated
from serving.access.asgi import App, Connection, Message, Receive, Send, header, send_json
from serving.access.bodies import refused_content, refused_depth
from serving.access.connections import refuse_busy
from serving.access.gate import may
from serving.access.load_shedding import RETRY_AFTER_S, LoadShedding
from serving.access.scopes import KeyScope, unknown_path
from serving.access.traffic_metrics import answer_metrics

MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_S = 8.0  # for the whole body to come; the timeout of a request is 10 s
API_PAGE = "/console/api.html"  # answered at '/'
# BentoML's own pages and their parts, which ask other hosts; and our page at another address.
UNSERVED = ("/static_content", "/assets", API_PAGE)
NO_ROUTE = ("Not Found", "Method Not Allowed")  # as Starlette says it, in plain text
# Statuses with which every route may refuse a request, and the reason in the OpenAPI document.
REFUSED: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The body is not JSON, nested too deep, or not of this route.",
    HTTPStatus.UNAUTHORIZED: "No key was sent, or one that is unknown or revoked.",
    HTTPStatus.FORBIDDEN: "The key has another scope, or a page of another origin asks.",
    HTTPStatus.REQUEST_TIMEOUT: f"The body did not come within {BODY_S:g} s.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"The body is larger than {MAX_BODY_BYTES:,} bytes.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not application/json, or compressed.",
    HTTPStatus.TOO_MANY_REQUESTS: "The key sent too much in a second; see `Retry-After`.",
}
# Sentences for the caller about a failure of ours (5xx); BentoML would send a stock phrase.
_failures: ContextVar[list[str]] = ContextVar("failures")
_AGAIN = (b"retry-after", str(RETRY_AFTER_S).encode())  # of each 503


def send_sentence(sentence: str) -> None:
    """Answer the current request with this sentence, if its status is an error."""
    _failures.get([]).append(sentence)


class ClientGone(Exception):
    """The caller closed the connection before the whole request had come."""


class ReadyzAnswer:
    """The answer of `/readyz`: 503 until the service has started, then what ``started`` finds."""

    started: Callable[[], tuple[int, dict[str, Any]]] | None = None

    def __call__(self) -> tuple[int, dict[str, Any]]:
        if self.started is None:
            return 503, {"status": "starting", "degraded": [], "models": {}}
        return self.started()


class ErrorMiddleware:
    """ASGI middleware around the BentoML application.

    Parameters
    ----------
    readiness
        Returns the status code and the body of `/readyz`.
    documents
        Each returns the body of a path, such as `/docs.json`.
    shedding
        Bounds the requests that are in the worker.
    """

    def __init__(
        self,
        app: App,
        readiness: Callable[[], tuple[int, dict[str, Any]]],
        documents: Mapping[str, Callable[[], dict[str, Any]]] | None = None,
        shedding: LoadShedding | None = None,
    ) -> None:
        self._app = app
        self._readiness = readiness
        self._documents = documents or {}
        self._shedding = shedding or LoadShedding()

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] != "http":
            await self._app(connection, receive, send)
        elif connection["path"].startswith("/v1/"):
            await self._api(connection, receive, send)
        elif connection["path"] == "/metrics":
            await answer_metrics(connection, send)
        elif connection["method"] not in ("GET", "HEAD"):
            await self._app(connection, receive, _ErrorForm(send, [], connection).send)
        elif connection["path"] == "/readyz":
            status, found = self._readiness()
            bare = {"status": found["status"]}
            await send_json(send, status, found if may(connection, KeyScope.READ) else bare)
        elif document := self._documents.get(connection["path"]):
            await send_json(send, HTTPStatus.OK, document())
        elif connection["path"] == "/":
            await self._app({**connection, "path": API_PAGE}, receive, send)
        elif connection["path"].startswith(UNSERVED):
            error = {"error": _no_route(connection, "")}
            await send_json(send, HTTPStatus.NOT_FOUND, error)
        else:
            await self._app(connection, receive, _ErrorForm(send, [], connection).send)

    async def _api(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["method"] == "POST" and (refused := refused_content(connection)):
            await send_json(send, 415, {"error": str(refused)})
            return
        announced = header(connection, b"content-length")
        if re.fullmatch(r"[0-9]+", announced) and int(announced[:20]) > MAX_BODY_BYTES:
            await send_json(send, 413, _too_large())
            return
        path = connection["path"]
        if self._shedding.is_full(path, monotonic_s()):  # before the body is read
            await refuse_busy(connection, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_S):
                body = await _read(receive)
        except ClientGone:
            return
        except TimeoutError:
            await send_json(send, 408, _too_slow(), [(b"connection", b"close")])
            return
        if body is None:
            await send_json(send, 413, _too_large())
        elif too_deep := refused_depth(body):
            await send_json(send, 400, {"error": str(too_deep)})
        elif self._shedding.is_full(path, monotonic_s()):
            await refuse_busy(connection, receive, send)
        else:
            await self._shedding.begin(path, monotonic_s())
            try:
                await self._pass_on(connection, body, receive, send)
            finally:
                self._shedding.end(path, monotonic_s())

    async def _pass_on(
        self, connection: Connection, body: bytes, receive: Receive, send: Send
    ) -> None:
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def repeat() -> Message:
            return whole.pop() if whole else await receive()

        failures: list[str] = []
        _failures.set(failures)
        await self._app(connection, repeat, _ErrorForm(send, failures, connection).send)


async def _read(receive: Receive) -> bytes | None:
    """Read the body; None if it is too large, because its announced length may be false."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":  # half a request is not handled
            raise ClientGone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


class _ErrorForm:
    """Sends good answers on as they come; collects an error and sends it in one form."""

    def __init__(self, send: Send, failures: list[str], connection: Connection) -> None:
        self._send = send
        self._failures = failures
        self._connection = connection
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                status, allowed = self._start["status"], header(self._start, b"allow")
                more = [(b"allow", allowed.encode())] if allowed else []
                if status == HTTPStatus.SERVICE_UNAVAILABLE:
                    more.append(_AGAIN)
                said = self._failures
                content = {"error": said[0]} if said else error_form(self._body)
                if content["error"] in NO_ROUTE:
                    content["error"] = _no_route(self._connection, allowed)
                await send_json(self._send, status, content, more)


def _no_route(connection: Connection, allowed: str) -> str:
    """Say that there is no such path, or no such method of it."""
    path = connection["path"]
    if allowed:
        return f"{connection['method']} is not answered at {quoted(path)}. Send {allowed}."
    return unknown_path(path)


def error_form(body: bytes) -> dict[str, Any]:
    """Rewrite an error of BentoML or Starlette as ``{"error": "one sentence"}``."""
    try:
        content = json.loads(body)
    except ValueError:
        return {"error": body.decode(errors="replace") or "The request was refused."}
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if not isinstance(content, dict):
        return {"error": str(content)}
    if isinstance(content.get("error"), str) and "detail" not in content:
        return content  # it may hold more, such as the rejected events
    if isinstance(details := content.get("detail"), list) and details:
        return {"error": " ".join(_detail(detail) for detail in details[:5])}
    return {"error": str(content.get("error") or content.get("detail") or content)}


def _detail(detail: Any) -> str:
    """Turn one error of pydantic into a sentence with the field's name and the remedy."""
    if not isinstance(detail, dict):
        return str(detail)
    field = truncated(".".join(str(part) for part in detail.get("loc", ())))
    message = str(detail.get("msg", "is not valid")).removeprefix("Value error, ")
    if detail.get("type") == "missing":
        return f"{field} is missing. Send it."
    if detail.get("type") == "extra_forbidden":
        return f"{field} is not a field of this request. Leave it out, or correct its name."
    if detail.get("type") == "json_invalid":
        return f"The body is not JSON: {message}. Send a JSON object."
    if not field:
        return f"The request: {message[:1].lower()}{message[1:]}. Correct it and send it again."
    return f"{field}: {message[:1].lower()}{message[1:]}. Correct it and send it again."


def _too_slow() -> dict[str, str]:
    return {"error": f"The body did not come within {BODY_S:g} s. Send the same again, faster."}


def _too_large() -> dict[str, str]:
    return {"error": f"The body is larger than {MAX_BODY_BYTES:,} bytes. Send less at a time."}


class QuietRefusals(logging.Filter):
    """Keeps tracebacks of refused requests out of the log; the caller gets the sentence."""

    @classmethod
    def install(cls) -> None:
        """Filter what the handlers of BentoML and of the whole process write."""
        for handler in logging.getLogger("bentoml").handlers + logging.getLogger().handlers:
            handler.addFilter(cls())

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        code = getattr(error, "error_code", None)
        refused = code is not None and 400 <= int(code) < 500
        refused = refused or isinstance(error and error.__cause__, Overloaded | NotCounted)
        return not refused and type(error).__name__ != "ValidationError"
