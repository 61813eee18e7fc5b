"""Tests that requests are counted by few labels, whatever callers send."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from serving.access.traffic_metrics import OTHER, REMOVED, TrafficMetrics, answer_metrics

PATHS = ("/v1/decide", "/livez", "/console/")


def count(endpoint: str, status: int) -> float:
    found = 0.0
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            labels = (sample.labels.get("endpoint"), sample.labels.get("http_response_code"))
            if sample.name == "bentoml_service_request_total" and labels == (endpoint, str(status)):
                found += sample.value
    return found


def ask(*paths: str, status: int = 200, kind: str = "http") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def app(connection: Any, receive: Any, send: Any) -> None:
        if status:
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    async def story() -> None:
        counted = TrafficMetrics(app, PATHS)
        for path in paths:
            await counted({"type": kind, "path": path}, None, send)  # type: ignore[arg-type]

    asyncio.run(story())
    return sent


def test_a_known_path_is_counted_by_its_status():
    before = count("/v1/decide", 503)
    ask("/v1/decide", "/v1/decide", status=503)
    assert count("/v1/decide", 503) == before + 2


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/console/charts.js", "/console/"),
        ("/v1/decide/", OTHER),
        ("/V1/decide", OTHER),
        ("/made-up\n", OTHER),
        ("", OTHER),
    ],
)
def test_another_path_is_counted_by_its_folder_or_as_other(path, label):
    before = count(label, 404)
    ask(path, status=404)
    assert count(label, 404) == before + 1


def test_paths_that_callers_make_up_add_no_line():
    ask("/made-up", status=404)
    lines = len(generate_latest(REGISTRY).splitlines())
    ask(*(f"/made-up/{number}" for number in range(2_000)), status=404)
    assert len(generate_latest(REGISTRY).splitlines()) == lines


def test_a_request_without_an_answer_is_not_counted_and_no_longer_in_progress():
    before = count("/livez", 0)
    ask("/livez", status=0)
    assert count("/livez", 0) == before == 0
    lines = generate_latest(REGISTRY).decode().splitlines()
    (line,) = [
        one
        for one in lines
        if one.startswith('bentoml_service_request_in_progress{endpoint="/livez"')
    ]
    assert line.endswith(" 0.0")


def test_a_request_that_takes_too_long_is_counted_as_it_is_answered():
    """BentoML cancels it, and answers 504."""
    before = count("/v1/decide", 504)

    async def slow(*_: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(
            TrafficMetrics(slow, ["/v1/decide"])(
                {"type": "http", "path": "/v1/decide"},
                None,
                None,  # type: ignore[arg-type]
            )
        )
    assert count("/v1/decide", 504) == before + 1


def test_what_is_no_request_is_passed_on_uncounted():
    lines = len(generate_latest(REGISTRY).splitlines())
    assert ask("/livez", kind="lifespan")
    assert len(generate_latest(REGISTRY).splitlines()) == lines


def test_the_metrics_are_sent_as_text_with_their_length(monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)  # BentoML sets it
    ask("/v1/decide")
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(answer_metrics({"method": "GET"}, send))
    headers = dict(sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/plain; version=")
    assert int(headers[b"content-length"]) == len(sent[1]["body"])
    assert b'bentoml_service_request_total{endpoint="/v1/decide"' in sent[1]["body"]


def told(monkeypatch, folder, values: dict[tuple[int, str], float]) -> dict[str, float]:
    """The lines of `/metrics` where processes have written a gauge: by process and action."""
    for (process, action), value in values.items():
        key = mmap_key("seen", "seen", ["action"], [action], "Help.")
        file = MmapedDict(str(folder / f"gauge_livemax_{process}.db"))
        file.write_value(key, value, 0.0)
        file.close()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(answer_metrics({"method": "GET"}, send))
    lines = [line for line in sent[1]["body"].decode().splitlines() if line[0] != "#"]
    return {line.split()[0]: float(line.split()[1]) for line in lines}


def test_a_removed_gauge_is_told_while_another_worker_has_it(monkeypatch, tmp_path):
    me, other = os.getpid(), os.getppid()
    values = {(me, "gone"): REMOVED, (other, "gone"): REMOVED}
    values |= {(me, "late"): REMOVED, (other, "late"): 3.0, (me, "kept"): 2.0}
    found = told(monkeypatch, tmp_path, values)
    assert found == {'seen{action="late"}': 3.0, 'seen{action="kept"}': 2.0}


def test_the_gauges_of_a_worker_that_was_killed_are_not_told(monkeypatch, tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    values = {(ended.pid, "red"): 1.0, (os.getpid(), "red"): 0.0}
    assert told(monkeypatch, tmp_path, values) == {'seen{action="red"}': 0.0}
    assert len(list(tmp_path.iterdir())) == 1


def test_the_metrics_are_only_read():
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(answer_metrics({"method": "POST"}, send))
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"allow"]) == (405, b"GET, HEAD")
