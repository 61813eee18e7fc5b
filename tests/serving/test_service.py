"""The promises of the API, over HTTP, against a started server with real data and models."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.decided_actions import logged_chances
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import load_settings
from tests import planted
from tests.commands import nba_in_process
from tests.conftest import Built, copied
from tests.server import Server, free_port, ledger_of, metrics_of, running
from training.pipeline.registry import CHAMPION, Registry

pytestmark = pytest.mark.server
MB = 2**20


@pytest.fixture(scope="module")
def home(grocer: Built, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    return copied(grocer, tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def server(home: tuple[Path, dict[str, str]]) -> Iterator[Server]:
    with running(*home) as started:
        yield started


@pytest.fixture
def written(home: tuple[Path, dict[str, str]]) -> Iterator[Ledger]:
    with ledger_of(home[0]) as opened:
        yield opened


def decide(server: Server, **request: Any) -> dict[str, Any]:
    status, answer = server.post("/v1/decide", {"channel": "app", **request})
    assert status == 200, answer
    return answer


def rows(ledger: Ledger, query: sa.Select[Any]) -> list[Any]:
    return ledger.read(lambda connection: list(connection.execute(query).all()))


def _chances(written: Ledger, row: Any) -> dict[str, float]:
    """The chance of each candidate of a decision."""
    record, catalogs = json.loads(row.record), tables.catalogs.c
    query = sa.select(catalogs.content).where(catalogs.fingerprint == record["catalog"])
    [found] = rows(written, query)
    return logged_chances(row, record, [*Catalog.model_validate_json(found.content).actions])


def test_a_real_household_gets_an_action_with_its_reasons_and_its_chance(server):
    answer = decide(server, customer_id="h1")
    [action] = answer["actions"]
    assert answer["known"] and not answer["degraded"]
    assert 0 < action["probability"] <= 1 and action["reasons"]
    assert 0 <= answer["predictions"]["churn"] <= 1
    assert sum(answer["predictions"]["intent"].values()) == pytest.approx(1)
    assert answer["models"]["churn"] and answer["models"]["intent"] and answer["models"]["bandit"]


def test_a_loyalty_card_finds_its_household(server):
    answer = decide(server, identifiers=["card:1"])
    assert (answer["customer_id"], answer["known"]) == ("h1", True)


def test_a_customer_nobody_knows_gets_a_decision_that_says_so(server):
    answer = decide(server, customer_id="nobody-at-all")
    assert answer["known"] is False and answer["actions"]


def test_the_same_decision_id_gives_the_same_answer_and_one_row(server, written):
    first = decide(server, customer_id="h2", decision_id="asked-twice")
    assert decide(server, customer_id="h2", decision_id="asked-twice") == first
    query = sa.select(tables.decisions).where(tables.decisions.c.decision_id == "asked-twice")
    assert len(rows(written, query)) == 1


def test_one_decision_id_for_two_customers_is_a_conflict(server):
    decide(server, customer_id="h3", decision_id="mine")
    status, answer = server.post(
        "/v1/decide", {"customer_id": "h4", "channel": "app", "decision_id": "mine"}
    )
    assert status == 409 and "Send a new decision_id" in answer["error"]


def test_slots_are_filled_without_repeats(server):
    answer = decide(server, customer_id="h5", slots=3, decision_id="three")
    names = [action["action_id"] for action in answer["actions"]]
    assert len(set(names)) == len(names)
    assert [action["rank"] for action in answer["actions"]] == list(range(1, len(names) + 1))


def test_explain_lists_what_was_removed_and_by_which_rule(server):
    answer = decide(server, customer_id="h6", explain=True, exclude=["fuel_points"])
    rules = {removed["action_id"]: removed["rule"] for removed in answer["removed"]}
    gone = {"fuel_points": "request.exclude", "make_it_right": "applicability"}
    assert gone.items() <= rules.items()


def test_chosen_actions_are_as_frequent_as_their_logged_probabilities(server, written):
    """4,000 decisions; the tolerance is 4 standard errors of the sum of independent draws."""

    def ask(part: int) -> list[str]:
        own = Server(server.process, server.port, 0.0, server.log)
        ids = [f"freq-{part}-{number}" for number in range(1000)]
        for number, decision_id in enumerate(ids):
            customer = f"h{(part * 1000 + number) % 2469 + 1}"
            decide(own, customer_id=customer, decision_id=decision_id)
        return ids

    with ThreadPoolExecutor(4) as pool:
        asked = {name for names in pool.map(ask, range(4)) for name in names}
    columns = tables.decisions.c
    read = (columns.decision_id, columns.action_id, columns.probability, columns.record)
    query = sa.select(*read, columns.believed)
    found = [row for row in rows(written, query) if row.decision_id in asked]
    assert len(found) == 4_000

    excess: dict[str, float] = {}
    variance: dict[str, float] = {}
    for row in found:
        chances = {name: chance for name, chance in _chances(written, row).items() if chance > 0}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-12)
        assert row.probability == chances[row.action_id]
        for action, chance in chances.items():
            excess[action] = excess.get(action, 0) + (action == row.action_id) - chance
            variance[action] = variance.get(action, 0) + chance * (1 - chance)
    assert len(excess) == 8
    for action, amount in excess.items():
        assert abs(amount) <= 4 * np.sqrt(variance[action]), action


def test_rewarded_outcomes_raise_an_actions_probability_without_a_restart(server, written):
    """A simulated segment: strangers on the web who accept the fresh box and nothing else."""

    def chance_of_the_box(decision_id: str) -> float:
        decide(server, customer_id="one-of-them", channel="web", decision_id=decision_id)
        query = sa.select(tables.decisions.c.record, tables.decisions.c.believed)
        [row] = rows(written, query.where(tables.decisions.c.decision_id == decision_id))
        return _chances(written, row)["fresh_box"]

    before, version = chance_of_the_box("before"), served_bandit(server)
    for number in range(300):
        answer = decide(server, customer_id=f"segment-{number}", channel="web")
        action = answer["actions"][0]["action_id"]
        if action != "no_action":
            outcome = "accepted" if action == "fresh_box" else "rejected"
            body = {"decision_id": answer["decision_id"], "outcome": outcome}
            assert server.post("/v1/outcomes", body)[0] == 200
    server.wait_for(lambda: served_bandit(server) != version)
    # The snapshots go on for a moment; the last one has all of them.
    server.wait_for(lambda: not rows(written, sa.select(1).where(~tables.outcomes.c.learned)))
    server.wait_for(lambda: chance_of_the_box(f"after-{uuid4()}") > 2 * before)


def served_bandit(server: Server) -> str:
    return server.get("/readyz")[1]["models"]["bandit"]


def test_an_outcome_sent_twice_is_counted_once_and_can_be_taken_back(server, written):
    answer = decide(server, customer_id="h7")
    body = {"decision_id": answer["decision_id"], "outcome": "accepted"}
    _, first = server.post("/v1/outcomes", body)
    _, again = server.post("/v1/outcomes", body)
    assert (first["status"], again["status"]) == ("recorded", "duplicate")
    back = {**body, "retracts": first["outcome_id"]}
    assert server.post("/v1/outcomes", back)[1]["status"] == "recorded"
    columns = tables.outcomes.c
    query = sa.select(tables.outcomes).where(columns.decision_id == answer["decision_id"])
    assert len(rows(written, query)) == 2


WRONG = [
    ("/v1/decide", {"channel": "app"}, 400, "customer_id and identifiers are both missing"),
    ("/v1/decide", {"customer_id": "h1"}, 400, "channel is missing. Send it."),
    ("/v1/decide", {"customer_id": "h1", "channel": "tv"}, 400, "channel is 'tv'. Expected one of"),
    ("/v1/decide", {"customer_id": 5, "channel": "app"}, 400, "customer_id: input should be"),
    ("/v1/decide", {"customer_id": "", "channel": "app"}, 400, "customer_id: "),
    ("/v1/decide", {"customer_id": "nba built", "channel": "app"}, 400, "customer_id: "),
    ("/v1/decide", {"customer_id": "h\u0000", "channel": "app"}, 400, "customer_id: "),
    ("/v1/decide", {"customer_id": "h1", "channel": "app", "slots": 0}, 400, "slots: "),
    ("/v1/decide", {"customer_id": "h1", "channel": "app", "foo": 1}, 400, "foo is not a field"),
    ("/v1/decide", {"identifiers": ["x"], "channel": "app"}, 400, "identifiers has 'x'. Expected"),
    ("/v1/decide", {"customer_id": "h1", "channel": "app", "actions": ["a"]}, 400, "actions has"),
    (
        "/v1/decide",
        {"customer_id": "h1", "channel": "app", "context": {"a": "x" * MB}},
        400,
        "context: is 1,048,584 bytes long; send at most",
    ),
    ("/v1/decide", b"{nope", 400, "The body is not JSON"),
    ("/v1/decide", b"[1, 2]", 400, "The request: input should be an object"),
    ("/v1/decide", b"\xff\xfe", 400, "The body is not JSON"),
    ("/v1/decide", b'{"customer_id": "h1", "context": "' + b"x" * (5 * MB), 413, "larger than"),
    ("/v1/outcomes", {"decision_id": "no", "outcome": "accepted"}, 404, "is not in the ledger"),
    ("/v1/outcomes", {"decision_id": "no", "outcome": "loved"}, 400, "outcome is 'loved'"),
    (
        "/v1/outcomes",
        {"decision_id": "no", "outcome": "accepted", "occurred_at": "2026-11-22T10:00:00"},
        400,
        "occurred_at: input should have timezone info",
    ),
    (
        "/v1/outcomes",
        {"decision_id": "no", "outcome": "accepted", "occurred_at": "0001-01-01T00:00:00+14:00"},
        400,
        "occurred_at: a time between the years",
    ),
    (
        "/v1/outcomes",
        b'{"decision_id": "no", "outcome": "accepted", "value": NaN}',
        400,
        "value: input should be a finite number",
    ),
]


@pytest.mark.parametrize(("path", "body", "status", "sentence"), WRONG)
def test_bad_input_is_named_and_the_server_goes_on(server, path, body, status, sentence):
    got, answer = server.post(path, body)
    assert (got, list(answer)) == (status, ["error"])
    assert sentence in answer["error"]
    assert decide(server, customer_id="h1")["actions"]


def test_the_wrong_method_gets_a_sentence(server):
    status, answer = server.get("/v1/decide")
    assert status == 405 and answer["error"]


def test_health_and_metrics_are_there(server):
    decide(server, customer_id="h1")
    assert server.get("/livez")[0] == 200
    status, ready = server.get("/readyz")
    assert (status, ready["status"], ready["degraded"]) == (200, "ready", [])
    assert "nba_decisions_total{" in server.get("/metrics")[1]


def test_what_is_sent_is_the_very_text_that_was_logged(server, written):
    connection, asked = server.connect(), '{"customer_id": "h1", "channel": "app"}'
    connection.request("POST", "/v1/decide", asked, {"content-type": "application/json"})
    answer = connection.getresponse()
    sent = answer.read().decode()
    assert answer.getheader("content-type") == "application/json"
    columns = tables.decisions.c
    query = sa.select(columns.answer).where(columns.decision_id == json.loads(sent)["decision_id"])
    assert written.read(lambda c: c.execute(query).scalar_one()) == sent


def test_every_route_stands_in_the_openapi_document(server):
    paths = server.get("/docs.json")[1]["paths"]
    assert {"/v1/decide", "/v1/outcomes", "/livez", "/readyz", "/metrics"} <= set(paths)


def test_a_worker_stays_under_500_mb(server):
    (worker,) = server.workers()
    assert worker.memory_info().rss < 500 * MB


def test_promotion_and_rollback_drop_no_request(server, home):
    """Another version, the same trees again, is promoted and rolled back while requests go on."""
    _, env = home
    first = Registry(load_settings(env)).version("churn", CHAMPION).version
    made = mlflow.MlflowClient().copy_model_version(f"models:/churn/{first}", "churn")
    second = str(made.version)
    failures: list[Any] = []
    stop = threading.Event()

    def keep_asking() -> None:
        own = Server(server.process, server.port, 0.0, server.log)
        while not stop.is_set():
            status, answer = own.post("/v1/decide", {"customer_id": "h1", "channel": "app"})
            if status != 200 or answer["predictions"]["churn"] is None:
                failures.append(answer)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for command, version in (
            (["promote", "churn", "--version", second], second),
            (["rollback", "churn"], first),
        ):
            assert nba_in_process(command, env).returncode == 0
            server.wait_for(
                lambda version=version: server.get("/readyz")[1]["models"]["churn"] == version
            )
    finally:
        stop.set()
        asking.join()
    assert not failures


def told_to_stop_while_it_answers(server: Server, file: Path) -> list[int]:
    """Stop a server whose requests wait for its ledger; return the statuses of their answers."""
    answers: list[int] = []

    def ask(one: HTTPConnection) -> None:
        with suppress(OSError, HTTPException):  # it was closed before the request was read
            body = json.dumps({"decision_id": "none", "outcome": "accepted"})
            one.request("POST", "/v1/outcomes", body, {"content-type": "application/json"})
            answers.append(one.getresponse().status)

    connections = [server.connect() for _ in range(10)]
    idle = server.connect()
    idle.request("GET", "/livez")
    idle.getresponse().read()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=ask, args=(one,)) for one in connections]
        for thread in threads:
            thread.start()
        server.wait_for(lambda: all(one.sock is not None for one in connections))
        assert server.get("/livez")[0] == 200
        server.process.terminate()
        assert idle.sock.recv(1) == b""  # the worker has begun to stop
        other.execute("ROLLBACK")
    for thread in threads:
        thread.join()
    server.process.wait(20)
    return answers


def without_mlflow(server: Server, home: Path, masked: str) -> None:
    """The answers, the log and the ledger say that MLflow is down, and hold no password."""
    answer = decide(server, customer_id="h1")
    assert answer["known"] and answer["actions"]
    assert any(masked in text for text in answer["degraded"])
    assert any(masked in text for text in server.get("/readyz")[1]["degraded"])
    status, refused = server.post("/v1/explain", {"decision_id": "before-the-outage"})
    assert status == 409 and masked in refused["error"]
    status, compared = server.post("/v1/replay", {"decision_id": "before-the-outage"})
    assert status == 200 and masked in compared["causes"][0]
    answers = f"{answer}{refused}{compared}{server.get('/readyz')}{metrics_of(server)}"
    assert planted.leaks("an answer", answers + server.log.read_text()) == []
    kept = b"".join(file.read_bytes() for file in home.glob("ledger.db*"))
    assert planted.PASSWORD_IN_URL.encode() not in kept
    # Records and answers are stored compressed.
    stored = sa.select(tables.decisions.c.record, tables.decisions.c.answer)
    with ledger_of(home) as own:
        texts = "".join(f"{row.record}{row.answer}" for row in rows(own, stored))
    assert masked in texts and planted.PASSWORD_IN_URL not in texts
    assert f"may open {home} (mode 0755)" in server.log.read_text()


def test_with_mlflow_down_the_server_starts_says_so_without_its_password_and_stops_while_it_answers(
    grocer, server, written, tmp_path
):
    home, env = copied(grocer, tmp_path)
    before = decide(server, customer_id="h7", decision_id="before-the-outage")
    assert before["models"]["bandit"]
    [logged] = rows(written, sa.select(tables.decisions).filter_by(decision_id="before-the-outage"))
    with ledger_of(home) as own:
        own.write_now(lambda c: c.execute(tables.decisions.insert(), dict(logged._mapping)))
    home.chmod(0o755)
    place = f"127.0.0.1:{free_port()}"
    address = f"http://user:{planted.PASSWORD_IN_URL}@{place}"
    with running(home, {**env, "NBA_MLFLOW_URI": address, "NBA_LEARNER": "false"}) as started:
        without_mlflow(started, home, f"MLflow at http://user:***@{place} does not answer")
        file = home / "ledger.db"
        answers = told_to_stop_while_it_answers(started, file)
        assert answers and {*answers} <= {404, 503}, started.log.read_text()
        # SQLite deletes this file when the last connection is closed.
        assert not file.with_name("ledger.db-wal").exists()


def emptied(online_store: Path) -> None:
    with closing(sqlite3.connect(online_store)) as store:
        for table in ("customer_journey", "customer_profile"):
            store.execute(f"DELETE FROM next_best_action_{table}")
        store.commit()


def test_with_an_empty_online_store_the_server_starts_and_says_so(grocer, tmp_path):
    home, env = copied(grocer, tmp_path)
    emptied(home / "feast" / "online.db")
    with running(home, {**env, "NBA_LEARNER": "false"}) as server:
        says_that_features_are_missing(server)


def says_that_features_are_missing(server: Server) -> None:
    answer = decide(server, customer_id="h1")
    assert answer["known"] is False and answer["actions"]
    assert any("features: the online store" in text for text in answer["degraded"])
    assert all("run 'nba build'" in text for text in answer["degraded"])
    assert server.get("/readyz")[1]["degraded"] == answer["degraded"]


def test_kill_9_loses_no_acknowledged_decision_and_no_outcome(grocer, tmp_path):
    home, env = copied(grocer, tmp_path)
    acknowledged: list[str] = []
    for round_number in range(2):
        with running(home, env) as server:

            def keep_asking(part: int, server: Server = server, n: int = round_number) -> None:
                own = Server(server.process, server.port, 0.0, server.log)
                for number in range(5000):
                    try:
                        name = f"kill-{n}-{part}-{number}"
                        answer = decide(own, customer_id="h1", decision_id=name)
                        body = {"decision_id": name, "outcome": "clicked"}
                        assert own.post("/v1/outcomes", body)[0] == 200
                        acknowledged.append(answer["decision_id"])
                    except (OSError, HTTPException, AssertionError):
                        return

            threads = [threading.Thread(target=keep_asking, args=(part,)) for part in range(4)]
            for thread in threads:
                thread.start()
            enough = 150 * (round_number + 1)
            server.wait_for(lambda enough=enough: len(acknowledged) >= enough)
            for worker in server.workers():
                worker.send_signal(signal.SIGKILL)
            server.process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    for table in (tables.decisions, tables.outcomes):
        there = {row[0] for row in rows(ledger, sa.select(table.c.decision_id))}
        assert set(acknowledged) <= there
    ledger.close()
