"""Bodies that are refused before they are parsed, over HTTP, at every route."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping

import pytest

from tests.server import Server

pytestmark = pytest.mark.server
JSON = {"content-type": "application/json"}
EVENT = json.dumps(
    {"events": [{"event_id": "zip-1", "type": "visit", "customer_id": "h1", "properties": {}}]}
).encode()


@pytest.fixture(scope="module")
def routes(first_day_server: Server) -> list[str]:
    paths = first_day_server.get("/docs.json")[1]["paths"]
    return [path for path, methods in paths.items() if "post" in methods]


def send(
    server: Server, path: str, body: bytes | None, headers: Mapping[str, str]
) -> tuple[int, str]:
    connection = server.connect()
    connection.request("POST", path, body, dict(headers))
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    return answer.status, error


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_a_compressed_body_is_refused_with_its_encoding(first_day_server, routes, encoding):
    for path in routes:
        headers = {**JSON, "content-encoding": encoding}
        status, error = send(first_day_server, path, gzip.compress(EVENT), headers)
        assert status == 415 and error.startswith(f"content-encoding is '{encoding}'.")
        assert "Expected a body that is not compressed." in error


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({}, "content-type is missing."),
        ({"content-type": "text/plain;charset=UTF-8"}, "content-type is 'text/plain'."),
        ({"content-type": "application/json; charset=latin-1"}, "is 'latin-1'."),
    ],
)
def test_a_missing_or_foreign_type_is_refused_by_its_name(first_day_server, routes, headers, named):
    for path in routes:
        status, error = send(first_day_server, path, EVENT, headers)
        assert status == 415 and named in error and "'content-type: application/json'" in error


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"customer_id": "h1", "channel": "app", "context": {"a":'
        + b'{"a":' * 100_000
        + b"1"
        + b"}" * 100_002,
    ],
    ids=["open", "lists", "objects"],
)
def test_json_nested_without_end_is_refused_in_a_sentence(first_day_server, routes, body):
    for path in routes:
        status, error = send(first_day_server, path, body, JSON)
        assert status == 400 and error.startswith("The body is nested deeper than 32")
    assert "RecursionError" not in first_day_server.log.read_text()
