"""The whole service with its ledger on PostgreSQL, which crashes in the middle of it all."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from features.business.domain import load_domain
from features.identity.candidates import MergeCandidate, note_candidates
from features.ingest.load_tables import load_folder
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY, actions_beside
from serving.catalog.compiled_catalog import load_catalog
from tests.commands import nba_in_process
from tests.conftest import FAST
from tests.postgres import Postgres
from tests.server import Server, running
from tests.serving.server.test_events import basket, event, read_by, send
from tests.serving.test_service import decide, rows

pytestmark = pytest.mark.server
CUSTOMERS, DAYS = 30, 60
DOWN_S = 1.0
SECRET = "somebody-whom-we-will-forget"


@dataclass(frozen=True)
class Place:
    """A server of two workers, its home, and the database under it."""

    server: Server
    postgres: Postgres
    url: str
    env: dict[str, str]


@pytest.fixture(scope="module")
def place(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("postgres")
    url = postgres.database()
    env = {
        **FAST,
        "NBA_HOME": str(folder / "home"),
        "NBA_LEDGER_URL": url,
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
    }
    _load_tables(folder / "tables", url)
    done = nba_in_process(["build"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    with running(folder / "home", {**env, "NBA_WORKERS": "2"}) as server:
        server.wait_for(lambda: len(server.workers()) == 2)
        yield Place(server, postgres, url, env)


def _load_tables(folder: Path, url: str) -> None:
    """Customers with a basket every other day, half of whom were sent coupons."""
    folder.mkdir()
    who = [f"h{number}" for number in range(CUSTOMERS)]
    cards = [f"card:{number + 100}" for number in range(CUSTOMERS)]
    pd.DataFrame({"customer_id": who, "identifiers": cards}).to_csv(
        folder / "customers.csv", index=False
    )
    now = datetime.now(UTC)
    baskets = [
        {
            "event_id": f"{one}-{day}",
            "customer_id": one,
            "type": "basket",
            "channel": "shop",
            "occurred_at": (now - timedelta(days=day)).isoformat(),
            "amount_usd": 9.5,
            "mission": "fresh",
        }
        for one in who
        for day in range(1, DAYS, 2)
    ]
    pd.DataFrame(baskets).to_csv(folder / "events.csv", index=False)
    at = (now - timedelta(days=30)).isoformat()
    sent = [
        {
            "decision_id": f"sent-{one}",
            "customer_id": one,
            "decided_at": at,
            "channel": "email",
            "action_id": "coupons_personal",
            "probability": None,
        }
        for one in who[::2]
    ]
    pd.DataFrame(sent).to_csv(folder / "decisions.csv", index=False)
    said = [{"decision_id": f"sent-{who[0]}", "outcome": "accepted", "occurred_at": at}]
    pd.DataFrame(said).to_csv(folder / "outcomes.csv", index=False)
    domain = load_domain(GROCERY)
    catalog = load_catalog(actions_beside(GROCERY), domain)
    ledger = Ledger(url)
    assert all(one.passed for one in load_folder(folder, ledger, domain, catalog, now))
    ledger.close()


@pytest.fixture
def written(place: Place) -> Iterator[Ledger]:
    opened = Ledger(place.url)
    yield opened
    opened.close()


def view(server: Server, customer_id: str, **more: Any) -> dict[str, Any]:
    status, answer = server.post("/v1/customer", {"customer_id": customer_id, **more})
    assert status == 200, answer
    return answer


def test_what_was_loaded_and_built_is_known_and_told(place):
    assert decide(place.server, customer_id="h0")["known"]
    assert not decide(place.server, customer_id="nobody")["known"]
    story = view(place.server, "h0", limit=200)
    kinds = [one["kind"] for one in story["timeline"]]
    assert kinds.count("event") == DAYS // 2
    assert kinds.count("outcome") == 1
    assert [one["at"] for one in story["timeline"]] == sorted(
        (one["at"] for one in story["timeline"]), reverse=True
    )
    assert story["identifiers"] == ["h0", "card:100"]
    paged, before = [], None
    while before or not paged:
        page = view(place.server, "h0", limit=7, before=before)
        paged, before = paged + page["timeline"], page["next"]
    assert paged == story["timeline"]


def test_an_event_taken_by_one_worker_is_in_the_next_decision_of_the_other(place):
    pair = place.server.of_each_worker(2)
    for number in range(40):
        writer, reader = pair[number % 2], pair[(number + 1) % 2]
        name = f"pg-next-{number}"
        assert send(writer, event(name, name))["accepted"] == 1
        assert decide(reader, customer_id=name, decision_id=name)["known"]


def test_a_change_of_attributes_is_in_the_next_decision_of_the_other_worker(place, written):
    pair = place.server.of_each_worker(2)
    ages = load_domain(GROCERY).attributes["age"].values
    for number in range(20):
        writer, reader = pair[number % 2], pair[(number + 1) % 2]
        body = {"customer_id": "h7", "attributes": {"age": ages[number % len(ages)]}}
        status, answer = writer.post("/v1/attributes", body)
        assert status == 200 and answer["changed"] == ["age"], answer
        decide(reader, customer_id="h7", decision_id=f"pg-age-{number}")
        assert read_by(written, f"pg-age-{number}")["age"] == number % len(ages)
    assert len(view(place.server, "h7")["attribute_history"]) == 20


def test_many_askers_of_one_id_on_both_workers_get_one_decision(place, written):
    pair = place.server.of_each_worker(2)

    def ask(number: int) -> Any:
        one = pair[number % 2].again()
        return decide(one, customer_id="h1", decision_id="asked-by-many")["actions"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(32)))
    assert all(answer == answers[0] for answer in answers)
    columns = tables.decisions.c
    query = sa.select(columns.decision_id).where(columns.decision_id == "asked-by-many")
    assert len(rows(written, query)) == 1


def learned(server: Server, written: Ledger, decision_id: str) -> None:
    """An outcome is counted by the learner, and the workers serve what it made of it."""
    answer = decide(server, customer_id="h2", decision_id=decision_id)
    [action] = answer["actions"]
    said = {"decision_id": decision_id, "outcome": "accepted"}
    assert server.post("/v1/outcomes", said)[1]["status"] == "recorded"
    assert server.again().post("/v1/outcomes", said)[1]["status"] == "duplicate"
    if action["action_id"] == "no_action":  # teaches nothing, so it is marked and left alone
        query = sa.select(tables.outcomes.c.learned)
        query = query.where(tables.outcomes.c.decision_id == decision_id)
        server.wait_for(lambda: rows(written, query) == [(True,)], 60)
        return
    columns = tables.credits.c
    query = sa.select(columns.decision_id).where(columns.decision_id == decision_id)
    query = query.where(columns["count"] == 1)  # a silence counts less
    server.wait_for(lambda: len(rows(written, query)) == 1, 60)
    newest = sa.select(sa.func.max(tables.snapshots.c.sequence))
    [(sequence,)] = rows(written, newest)
    server.wait_for(lambda: served(server) >= sequence)


def served(server: Server) -> int:
    """The number of the snapshot that a worker serves."""
    _, _, number = str(server.get("/readyz")[1]["models"]["bandit"]).rpartition(".")
    return int(number) if number.isdigit() else 0


def test_an_outcome_is_learned_once_and_served(place, written):
    for number in range(3):
        learned(place.server, written, f"learned-{number}")


def test_two_are_linked_and_parted_and_a_text_that_cannot_be_kept_is_refused(place):
    server = place.server
    send(server, event("pg-parted", identifiers=["cookie:pg-7"]))
    keys = ["h3", "cookie:pg-7"]
    for cause, named in (("with\x00NUL", "cause"), ("half a \ud800 character", "not JSON")):
        status, answer = server.post("/v1/link", {"keys": keys, "cause": cause})
        assert status == 400 and named in answer["error"], answer
    assert server.post("/v1/link", {"keys": keys, "cause": "them"})[1]["customers"] == ["h3"]
    assert len(view(server, "h3", limit=200)["timeline"]) == DAYS // 2 + 1
    parted = server.post("/v1/unlink", {"keys": keys, "cause": "not them"})[1]["customers"]
    assert parted == ["h3", "cookie:pg-7"]


def test_who_is_forgotten_leaves_no_byte_in_the_tables_and_is_refused(place):
    server = place.server
    email = f"email:{SECRET}@example.org"
    send(server, basket(f"{SECRET}-1", SECRET), event(f"{SECRET}-2", SECRET, identifiers=[email]))
    answer = decide(server, customer_id=SECRET, decision_id=f"{SECRET}-3")
    said = {"decision_id": answer["decision_id"], "outcome": "clicked"}
    assert server.post("/v1/outcomes", said)[0] == 200
    assert "events" in place.postgres.files_with(place.url, SECRET)
    status, answer = server.post("/v1/forget", {"customer_id": SECRET})
    assert (status, answer["status"]) == (200, "forgotten"), answer
    assert answer["erased"] == {"keys": 2, "events": 2, "decisions": 1, "outcomes": 1}
    asked = {"erasure_id": answer["erasure_id"]}
    server.wait_for(lambda: server.post("/v1/forget", asked)[1]["files"] == "done")
    # PostgreSQL keeps deleted bytes in free space until somebody rewrites the tables.
    assert "nba compact" in answer["remark"]
    assert nba_in_process(["compact"], place.env).returncode == 0
    assert place.postgres.files_with(place.url, SECRET) == set()
    about = {"identifiers": [email], "channel": "app"}
    assert server.post("/v1/decide", about)[0] == 410


def test_candidates_are_decided_and_merged_customers_erased_when_confirmed(place, written):
    server = place.server
    names = [f"pg-one-{number}" for number in range(3)]
    send(server, *(event(f"e-{name}", name) for name in names))
    found = [MergeCandidate.of(names[0], one, "cookie:pg-kiosk", "device") for one in names[1:]]
    written.write_now(lambda c: note_candidates(c, found, datetime.now(UTC)))
    route, after, pairs = "/v1/merge_candidates", None, []
    for _ in found:
        answer = server.post(route, {"limit": 1, "after": after})[1]
        pairs += [(one["left"], one["right"]) for one in answer["candidates"]]
        after = answer["next"]
    assert after is None and pairs == [(names[0], one) for one in names[1:]]
    for right, decision in zip(names[1:], ("confirm", "refuse"), strict=True):
        body = {"left": names[0], "right": right, "decision": decision, "cause": "a call"}
        done = server.post(route, body)
        assert done[0] == 200 and server.again().post(route, body) == done
    about = {"customer_id": names[1]}
    status, answer = server.post("/v1/forget", about)
    assert (status, answer["would_erase"]) == (409, names[:2]), answer
    status, answer = server.post("/v1/forget", about | {"confirm": answer["would_erase"]})
    assert (status, answer["erased"]["events"]) == (200, 2), answer
    assert server.post(route, {"status": "refused"})[1]["candidates"] == []


@dataclass
class Caller:
    """A thread that sends events and asks for decisions, and goes on when it is turned away."""

    server: Server
    name: str
    stopped: threading.Event
    events: list[str] = field(default_factory=list)  # acknowledged
    decisions: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    refused: list[tuple[int, Any]] = field(default_factory=list)

    def run(self) -> None:
        number = 0
        while not self.stopped.is_set():
            number += 1
            name = f"{self.name}-{number}"
            who = f"crash-{number % 7}"
            sent = {"events": [event(name, who)]}
            asked = {"customer_id": who, "channel": "app", "decision_id": name}
            said = {"decision_id": name, "outcome": "clicked"}
            if self.ask("/v1/events", sent):
                self.events.append(name)
            if self.ask("/v1/decide", asked):
                self.decisions.append(name)
                if self.ask("/v1/outcomes", said):
                    self.outcomes.append(name)

    def ask(self, path: str, body: object) -> bool:
        try:
            status, answer = self.server.post(path, body)
        except (OSError, HTTPException) as error:
            status, answer = 0, repr(error)
        if status != 200:
            self.refused.append((status, answer))
            time.sleep(0.02)
        return status == 200

    @property
    def answered(self) -> int:
        return len(self.outcomes)


def test_when_postgresql_crashes_and_comes_back_nothing_acknowledged_is_lost(place, written):
    server, stopped = place.server, threading.Event()
    workers = {one.pid for one in server.workers()}
    pair = server.of_each_worker(2)
    callers = [Caller(pair[i % 2].again(), f"caller-{i}", stopped) for i in range(4)]
    threads = [threading.Thread(target=caller.run) for caller in callers]
    for thread in threads:
        thread.start()
    server.wait_for(lambda: all(caller.answered >= 5 for caller in callers), 60)
    place.postgres.stop(signal.SIGQUIT)
    # Both what was under way and what comes while it is down.
    server.wait_for(lambda: all(len(caller.refused) >= 5 for caller in callers), 60)
    place.postgres.start()
    before = [caller.answered for caller in callers]
    server.wait_for(
        lambda: all(c.answered >= n + 5 for c, n in zip(callers, before, strict=True)), 60
    )
    stopped.set()
    for thread in threads:
        thread.join(30)
    for status, answer in (one for caller in callers for one in caller.refused):
        assert status == 503, answer
        assert answer["error"].startswith("The ledger cannot be used (")
        assert "Try the same again when the database is back." in answer["error"]
    assert {one.pid for one in server.workers()} == workers, "a worker was started anew"
    for what, column in (
        ("events", tables.events.c.event_id),
        ("decisions", tables.decisions.c.decision_id),
        ("outcomes", tables.outcomes.c.decision_id),
    ):
        found = [row[0] for row in rows(written, sa.select(column).where(column.like("caller-%")))]
        acknowledged = {name for caller in callers for name in getattr(caller, what)}
        assert len(found) == len(set(found))
        assert acknowledged <= set(found)
    server.wait_for(lambda: server.get("/readyz")[0] == 200)
    learned(server, written, "learned-after-the-crash")


def test_what_was_kept_before_and_after_the_crash_is_shown(place, written):
    server = place.server
    send(server, event("caller-last", "crash-0"))
    counted = sa.select(sa.func.count()).where(tables.events.c.customer_id == "crash-0")
    [(count,)] = rows(written, counted)
    assert len(view(server, "crash-0", limit=200)["timeline"]) > 0
    assert decide(server, customer_id="crash-0", decision_id="caller-shown")["known"]
    assert read_by(written, "caller-shown")["events_n"] == count
