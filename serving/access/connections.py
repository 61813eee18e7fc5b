"""Bounds what a connection may hold up: the time for a request's head, and a worker that is full.

A request is refused here as soon as its head has come, without a task and before any middleware of
BentoML and OpenTelemetry. Those take 0.3 ms of a request, as measured, which is a sixth of a
decision: two refused requests for each answered one would take a quarter of the worker.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from features.clock import monotonic_s
from serving.access.asgi import App, Connection, Receive, Send, header, send_json
from serving.access.browsers import BrowserMiddleware
from serving.access.load_shedding import RETRY_AFTER_S, LoadShedding, too_many
from serving.access.rate_limits import retry_after
from serving.access.traffic_metrics import TrafficMetrics, count_refusal

HEAD_S = 10.0  # for the head of a request to come, since the connection was opened or last used


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with a time limit for heads and an early refusal.

    uvicorn itself waits for ever for the rest of a head, so whoever sends half of one occupies a
    file descriptor of the worker.
    """

    shedding: LoadShedding | None = None  # of this process, see `bound_connections`
    refusal: App | None = None
    paths: frozenset[str] = frozenset()

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._whole: Any = self.app
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head_has_come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head that has not come whole."""
        super().data_received(data)
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self._head_timer is None and not self.transport.is_closing():
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Choose who answers: the application, or a refusal if the worker is full."""
        self._head_has_come()
        full = False
        if self.shedding is not None and self.refusal is not None:
            path = self.url.partition(b"?")[0].decode("ascii", "replace")
            full = self.shedding.is_full(path, monotonic_s())
        self.app = self.refusal if full else self._whole
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer a refused request at once, with one write; run the application for others.

        A page reads no answer without the headers of CORS, so those with `Origin` are others.
        """
        scope = cycle.scope
        if app is not self.refusal or scope["method"] == "HEAD" or header(scope, b"origin"):
            super()._start_asgi_task(cycle, app)
            return
        count_refusal(scope["path"], HTTPStatus.SERVICE_UNAVAILABLE, self.paths)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(_REFUSED if cycle.keep_alive else _REFUSED_LAST)
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._close)

    def _head_has_come(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def bound_connections(
    shedding: LoadShedding, paths: Collection[str], origins: Collection[str] = ()
) -> None:
    """Make uvicorn use `BoundedHttp` in this process.

    Parameters
    ----------
    paths
        The labels of its metrics.
    origins
        Origins of pages that may call.
    """
    BoundedHttp.shedding = shedding
    BoundedHttp.paths = frozenset(paths)
    BoundedHttp.refusal = TrafficMetrics(BrowserMiddleware(refuse_busy, origins), paths)
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedHttp.__name__}"


async def refuse_busy(_: Connection, __: Receive, send: Send) -> None:
    """Answer that the worker is full; an ASGI application."""
    await send_json(send, 503, {"error": str(too_many())}, retry_after(RETRY_AFTER_S))


def _refused(more: str = "") -> bytes:
    """Write the answer of `refuse_busy` as it is sent."""
    content = json.dumps({"error": str(too_many())})
    head = f"content-type: application/json\r\nretry-after: {RETRY_AFTER_S}\r\n{more}"
    length = f"content-length: {len(content)}"
    return f"HTTP/1.1 503 Service Unavailable\r\n{head}{length}\r\n\r\n{content}".encode()


_REFUSED, _REFUSED_LAST = _refused(), _refused("connection: close\r\n")
