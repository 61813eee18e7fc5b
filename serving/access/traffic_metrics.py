"""Counts and times the requests, under the names of BentoML's metrics, with few labels.

BentoML labels by the path as it was sent, so paths that callers make up stay in memory for ever.
Here they are one label. Each process writes its metrics to files of its own, which `answer_metrics`
adds up (`prometheus_client.multiprocess`). Such a file forgets no label, and `Gauge.remove` leaves
it as it is. So a gauge of which the labels are no longer there is set to `REMOVED`, and not told.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator, Set
from functools import cache
from http import HTTPStatus
from pathlib import Path
from time import perf_counter

import bentoml
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from serving.access.asgi import App, Connection, Message, Receive, Send, send_json
from serving.access.scopes import OPEN_FOLDERS

REMOVED = float("-inf")  # of a gauge; the largest of several workers is that of one that has it
OTHER = "other"  # the label of all paths that the server does not know
_SERVICE = ("service_name", "service_version", "runner_name")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REQUESTS = Counter(
    "bentoml_service_request_total",
    "Requests that were answered.",
    ["endpoint", *_SERVICE, "http_response_code"],
)
SECONDS = Histogram(
    "bentoml_service_request_duration_seconds",
    "Time from a request's head to the end of its answer.",
    ["endpoint", *_SERVICE, "http_response_code"],
    buckets=_SECONDS,
)
IN_PROGRESS = Gauge(
    "bentoml_service_request_in_progress",
    "Requests that are being answered.",
    ["endpoint", *_SERVICE],
    multiprocess_mode="livesum",
)


class TrafficMetrics:
    """ASGI middleware; the outermost, because it counts what the others refuse, too.

    Parameters
    ----------
    paths
        The paths that the server knows; each is a label.
    """

    def __init__(self, app: App, paths: Collection[str]) -> None:
        self._app = app
        self._paths = frozenset(paths)

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] != "http":
            await self._app(connection, receive, send)
            return
        endpoint = endpoint_of(connection["path"], self._paths)
        began, status = perf_counter(), 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        in_progress = _in_progress(endpoint)
        in_progress.inc()
        try:
            await self._app(connection, receive, note_status)
        except asyncio.CancelledError:  # by BentoML, which then answers that it took too long
            status = status or HTTPStatus.GATEWAY_TIMEOUT.value
            raise
        finally:
            in_progress.dec()
            if status:  # else the caller hung up
                requests, seconds = _answered(endpoint, status)
                requests.inc()
                seconds.observe(perf_counter() - began)


def endpoint_of(path: str, paths: Set[str]) -> str:
    """Return the label of a path: the path if it is known, else its folder, or `OTHER`."""
    if path in paths:
        return path
    return next((folder for folder in OPEN_FOLDERS if path.startswith(folder)), OTHER)


def count_refusal(path: str, status: int, paths: Set[str]) -> None:
    """Count a request that was refused at once."""
    requests, seconds = _answered(endpoint_of(path, paths), status)
    requests.inc()
    seconds.observe(0.0)


async def answer_metrics(connection: Connection, send: Send) -> None:
    """Answer with the metrics of all workers, in Prometheus's text format."""
    if connection["method"] not in ("GET", "HEAD"):
        said = f"{connection['method']} is not answered at '/metrics'. Send GET."
        await send_json(send, 405, {"error": said}, [(b"allow", b"GET, HEAD")])
        return
    content = await asyncio.to_thread(_latest)
    headers = [
        (b"content-type", CONTENT_TYPE_LATEST.encode()),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _latest() -> bytes:
    registry = CollectorRegistry()
    try:
        workers = MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        _forget_killed(Path(workers._path))
    except ValueError:  # a process alone, without a folder that it shares with others
        registry = REGISTRY
    return generate_latest(_Told(registry))


def _forget_killed(folder: Path) -> None:
    """Delete the gauges of workers that were killed, and so could not do it themselves."""
    for process in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]
        except (OSError, ValueError):
            pass  # it runs, as somebody else


class _Told:
    """The metrics of a registry without those that were removed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if one.value != REMOVED]
            yield metric


@cache
def _in_progress(endpoint: str) -> Gauge:
    return IN_PROGRESS.labels(endpoint, *_service())


@cache
def _answered(endpoint: str, status: int) -> tuple[Counter, Histogram]:
    labels = (endpoint, *_service(), str(status))
    return REQUESTS.labels(*labels), SECONDS.labels(*labels)


@cache
def _service() -> tuple[str, str, str]:
    of = bentoml.server_context
    return of.bento_name, of.bento_version, of.service_name or ""
