"""The three verbs under fuzzing: no 5xx, and nothing that the OpenAPI document does not tell."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from features.business.domain import load_domain
from features.settings import GROCERY
from tests.conftest import Built
from tests.fuzz import VERBS, Keys, Known, acquaint, fuzz, make_keys, table
from tests.fuzz_floods import garbage, make_up_paths
from tests.server import Server, running

pytestmark = pytest.mark.server
CASES, PATHS = 1000, 500  # `make bench-fuzz` sends 20,000 of both


@pytest.fixture(scope="module")
def server(first_day: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("fuzz") / "home"
    shutil.copytree(first_day.home, home)
    env = {**first_day.env, "NBA_HOME": str(home), "NBA_JOURNEYS": "true"}
    with running(home, env) as started:
        yield started


@pytest.fixture(scope="module")
def known(server: Server) -> Known:
    customers = [f"c{number}" for number in range(12)]
    return acquaint(server, load_domain(GROCERY), customers, datetime.now(UTC))


@pytest.fixture(scope="module")
def keys(server: Server, known: Known) -> Keys:
    return make_keys(server, server.log.parent)


def test_no_request_meets_a_5xx_or_an_answer_that_is_not_documented(server, known, keys, capfd):
    found = fuzz(server, server.get("/docs.json")[1], known, CASES, 0, keys)
    with capfd.disabled():
        Console(file=sys.stderr, width=120).print(table(found))
    assert not found.failures, "\n\n".join(found.failures)
    assert sum(map(found.cases, VERBS)) >= 0.95 * CASES
    for path in VERBS:  # most of the requests that can be understood reach the end
        assert found.share(path, "known", 200) > 0.5


def test_what_is_no_http_or_a_path_that_nobody_knows_is_refused_and_leaves_nothing(server, keys):
    assert garbage(server) == []
    first = make_up_paths(server, PATHS, keys.good, seed=0)
    assert all(400 <= status < 500 for status in first.statuses), first
    again = make_up_paths(server, PATHS, keys.good, seed=1)
    assert again.metrics_grown < 5_000  # statuses that the first paths did not get, such as 429


def without_404(document: dict[str, Any]) -> None:
    del document["paths"]["/v1/outcomes"]["post"]["responses"]["404"]


def with_other_errors(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Error"]["properties"]["error"] = {"type": "integer"}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without_404, "Undocumented status code"),
        (with_other_errors, "Response violates schema"),
    ],
)
def test_fuzzing_notices_a_document_that_is_not_true(server, known, keys, spoil, told):
    document = server.get("/docs.json")[1]
    document["paths"] = {"/v1/outcomes": document["paths"]["/v1/outcomes"]}
    spoil(document)
    found = fuzz(server, document, known, 300, 0, keys)
    assert told in "\n".join(found.failures)
