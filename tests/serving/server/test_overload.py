"""An overloaded server refuses at once, and writes nothing for those who have given up."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from features.ledger.writing.writer_queue import WriterQueue
from serving.access.gate import bearer
from serving.access.keys import add_key
from serving.access.load_shedding import FEWEST, WAIT_S
from serving.access.scopes import KeyScope
from serving.access.throughput import FIRST_PER_S
from tests.bench import guarantees_overload
from tests.bench.guarantees_home import Home
from tests.conftest import Built, copied
from tests.server import Server, ledger_of, running
from tests.serving.test_service import decide

pytestmark = pytest.mark.server

ASKED, MOST = 600, round(FIRST_PER_S * WAIT_S)  # at once; taken on by a worker that was idle
MADE_UP = 300  # paths
UNKNOWN = {"decision_id": "none", "outcome": "accepted"}


@contextmanager
def locked(file: Path) -> Iterator[sqlite3.Connection]:
    """Keep the ledger locked, as a process that is stopped while it writes does."""
    queue = WriterQueue(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other, queue.turn():
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.execute("ROLLBACK")
    queue.close()


async def ask(port: int, path: str, body: object) -> tuple[int, dict[str, str]]:
    """Post over a connection of its own; return the status and the headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    content = json.dumps(body).encode()
    more = f"content-type: application/json\r\ncontent-length: {len(content)}"
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n\r\n"
    writer.write(head.encode() + content)
    status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    writer.close()
    return int(status.split()[1]), dict(one.split(": ", 1) for one in headers if one)


@pytest.fixture(scope="module")
def home(first_day: Built, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    return copied(first_day, tmp_path_factory.mktemp("overload"))


@pytest.fixture(scope="module")
def server(home: tuple[Path, dict]) -> Iterator[Server]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with running(
        home[0], {**home[1], "NBA_LEARNER": "false", "NBA_REQUESTS_PER_S": "3"}
    ) as started:
        yield started


def test_beyond_its_bound_a_worker_refuses_at_once_and_does_the_rest(server, home):
    async def story() -> list[tuple[int, dict[str, str]]]:
        with locked(home[0] / "ledger.db"):
            asked = [
                asyncio.create_task(ask(server.port, "/v1/outcomes", UNKNOWN)) for _ in range(ASKED)
            ]
            refused = 0
            async with asyncio.timeout(9):
                for done in asyncio.as_completed(asked):
                    status, headers = await done
                    assert (status, headers.get("retry-after")) == (503, "1")
                    refused += 1
                    if refused == ASKED - MOST:
                        break
            alive, _ = await asyncio.to_thread(server.again().get, "/livez")
            assert alive == 200
        return await asyncio.gather(*asked)

    statuses = [status for status, _ in asyncio.run(story())]
    assert set(statuses) == {503, 404}
    assert FEWEST <= statuses.count(404) <= MOST


def test_of_three_times_as_much_as_a_worker_can_do_nothing_acknowledged_is_lost(server, home):
    names = [f"overload-{number}" for number in range(500)]
    size = guarantees_overload.SMALL
    figures = guarantees_overload.measure(server, Home(*home), names, size)
    assert [one for one in figures if not (one.holds or one.speed)] == []
    assert len(figures) >= 15


def test_made_up_paths_are_one_label_of_the_metrics(server):
    def series() -> list[str]:
        status, text = server.get("/metrics")
        assert status == 200
        named = [one.rsplit(" ", 1)[0] for one in text.splitlines() if not one.startswith("#")]
        # Others may begin at any time, such as those of decisions that are being counted.
        return [one for one in named if "endpoint=" in one or "made-up" in one]

    def count() -> float:
        counted = [
            float(one.rsplit(" ", 1)[1])
            for one in server.get("/metrics")[1].splitlines()
            if one.startswith('bentoml_service_request_total{endpoint="other"')
        ]
        return sum(counted)

    assert server.get("/v1/made-up")[0] == server.get("/made-up")[0] == 404
    series()  # from now on `/metrics` is counted, too
    before, counted = series(), count()
    assert len(before) >= 10, "the requests are counted by their paths"
    for number in range(MADE_UP):
        server.get(f"/made-up/{number}")
    assert set(series()) == set(before)
    assert count() == counted + MADE_UP


def test_a_decision_whose_caller_timed_out_is_not_written_later(server, home):
    answers = []

    def late() -> None:
        body = {"customer_id": "late", "channel": "app", "decision_id": "late"}
        answers.append(server.again().post("/v1/decide", body))

    with locked(home[0] / "ledger.db"):
        asking = threading.Thread(target=late)
        asking.start()
        asking.join()
    assert [status for status, _ in answers] == [504]
    decide(server, customer_id="next", decision_id="next")
    with closing(sqlite3.connect(home[0] / "ledger.db")) as ledger:
        query = "SELECT decision_id FROM decisions WHERE decision_id IN ('late', 'next')"
        assert ledger.execute(query).fetchall() == [("next",)]


def test_a_key_that_sends_too_much_gets_429_with_the_time_to_come_back(server, home, now):
    """The last test of the file: from now on the server wants a key."""
    with ledger_of(home[0]) as ledger:
        key = bearer(add_key(ledger, "shop", list(KeyScope), now))
    server.wait_for(lambda: server.get("/docs.json")[0] == 401, 5)

    def asked(headers: dict[str, str]) -> tuple[int, str | None]:
        connection = server.connect()
        connection.request("GET", "/docs.json", headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers["retry-after"]

    found = [asked(key) for _ in range(12)]
    assert found[:3] == [(200, None)] * 3
    assert set(found) == {(200, None), (429, "1")}
    assert asked({"authorization": "Bearer nba_wrong"})[0] == 401
