"""Events over HTTP: taken one by one, once, durable, and in the next decision of any worker."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY
from tests.server import Server, ledger_of
from tests.serving.test_service import decide, rows

pytestmark = pytest.mark.server
NAMES = ModelInput(load_domain(GROCERY)).names
ROUNDS, CUSTOMERS = 1000, 50
MANY = 501


@pytest.fixture(scope="module")
def home(busy_home: tuple[Path, dict[str, str]]) -> tuple[Path, dict[str, str]]:
    return busy_home


@pytest.fixture(scope="module")
def server(busy_server: Server) -> Server:
    return busy_server


@pytest.fixture
def written(home: tuple[Path, dict[str, str]]) -> Iterator[Ledger]:
    with ledger_of(home[0]) as opened:
        yield opened


def event(event_id: str, customer_id: str | None = None, **more: Any) -> dict[str, Any]:
    """A visit just now, unless said otherwise."""
    who = {} if customer_id is None else {"customer_id": customer_id}
    at = datetime.now(UTC).isoformat()
    return {
        "event_id": event_id,
        "type": "visit",
        "occurred_at": at,
        "channel": "app",
        **who,
        **more,
    }


def basket(event_id: str, customer_id: str, **properties: Any) -> dict[str, Any]:
    bought = {"amount_usd": 20, "mission": "fresh", **properties}
    return event(event_id, customer_id, type="basket", channel="shop", properties=bought)


def send(server: Server, *events: Any) -> dict[str, Any]:
    status, answer = server.post("/v1/events", {"events": list(events)})
    assert status == 200, answer
    return answer


def read_by(ledger: Ledger, decision_id: str) -> dict[str, float]:
    """The features that a decision read, by name."""
    return read_by_all(ledger, decision_id)[decision_id]


def read_by_all(ledger: Ledger, prefix: str) -> dict[str, dict[str, float]]:
    columns = tables.decisions.c
    query = sa.select(columns.decision_id, columns.features)
    query = query.where(columns.decision_id.startswith(prefix, autoescape=True))
    return {
        row.decision_id: dict(zip(NAMES, np.frombuffer(row.features).tolist(), strict=True))
        for row in rows(ledger, query)
    }


def kept(ledger: Ledger, prefix: str) -> list[str]:
    """Ids of the events in the ledger that begin with a prefix."""
    column = tables.events.c.event_id
    query = sa.select(column).where(column.startswith(prefix, autoescape=True)).order_by(column)
    return [row[0] for row in rows(ledger, query)]


def test_an_event_taken_by_one_worker_is_in_the_next_decision_of_the_other(server, written):
    """1,000 times out of 1,000, each worker writing half of the time."""
    pair = server.of_each_worker(2)
    places = [one.place() for one in pair]
    assert places[0][0] != places[1][0]
    for number in range(ROUNDS):
        customer, name = f"next-{number % CUSTOMERS}", f"next-{number:04}"
        writer, reader = pair[number % 2], pair[(number + 1) % 2]
        assert send(writer, event(name, customer))["accepted"] == 1
        assert decide(reader, customer_id=customer, decision_id=name)["known"]
    assert [one.place() for one in pair] == places, "a connection moved to another worker"
    read = read_by_all(written, "next-")
    assert len(read) == ROUNDS
    seen = [read[f"next-{number:04}"] for number in range(ROUNDS)]
    sent = [number // CUSTOMERS + 1 for number in range(ROUNDS)]
    assert [features["events_n"] for features in seen] == sent
    # All within one session, so that counts up too.
    assert [features["session_events"] for features in seen] == sent


# What is wrong with an otherwise good event, the field that is named, and words of the reason.
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "teleport"}, "type", "type is 'teleport'. Expected one of visit, page_view"),
    ({"type": None}, "type", "type is None: input should be a valid string"),
    ({"channel": "tv"}, "channel", "channel is 'tv'. Expected one of app, call_centre"),
    ({"event_id": "two words"}, "event_id", "event_id is 'two words'"),
    ({"event_id": ""}, "event_id", "event_id is ''"),
    ({"event_id": "x" * 201}, "event_id", "at most 200 characters"),
    ({"occurred_at": "2026-01-05T10:00:00"}, "occurred_at", "timezone"),
    ({"occurred_at": "yesterday"}, "occurred_at", "occurred_at is 'yesterday'"),
    ({"occurred_at": "2199-01-01T00:00:00Z"}, "occurred_at", "between the years"),
    ({"occurred_at": "1969-12-31T23:59:59Z"}, "occurred_at", "between the years"),
    ({"occurred_at": "2150-01-01T00:00:00Z"}, "occurred_at", "Expected a time that has passed"),
    ({"customer_id": None}, "customer_id", "Expected a customer_id, or at least one of identif"),
    ({"identifiers": ["nobody"]}, "identifiers", "identifiers has 'nobody'"),
    ({"identifiers": ["passport:5"]}, "identifiers", "one of the namespaces card, email"),
    ({"identifiers": ["card:1"] * 21}, "identifiers", "at most 20 items"),
    ({"mood": "good"}, "mood", "mood is not a field of an event. Leave it out."),
    ({"properties": {"colour": "red"}}, "properties.colour", "Expected one of: none"),
    ({"properties": 5}, "properties", "properties is 5: input should be a valid dictionary"),
    ({"type": "basket", "properties": {"mission": "fresh"}}, "properties.amount_usd", "is None"),
    (
        {"type": "basket", "properties": {"mission": "fresh", "amount_usd": -1}},
        "properties.amount_usd",
        "properties.amount_usd is -1.0. Expected at least 0",
    ),
    (
        {"type": "basket", "properties": {"mission": "fresh", "amount_usd": "20"}},
        "properties.amount_usd",
        "properties.amount_usd is '20'. Expected a finite number",
    ),
    (
        {"type": "basket", "properties": {"mission": "party", "amount_usd": 20}},
        "properties.mission",
        "properties.mission is 'party'. Expected one of fuel, stock_up",
    ),
    ({"type": "nps", "properties": {"score": 11}}, "properties.score", "Expected at most 10"),
    ({"type": "nps", "properties": {"score": 6.5}}, "properties.score", "a whole number from 0 to"),
]


def test_good_events_are_taken_and_each_bad_one_is_named_with_its_field_and_the_reason(
    server, written
):
    """Good and bad in turns; the last bad ones are no events at all."""
    sent: list[Any] = []
    for number, (wrong, _, _) in enumerate(BAD):
        sent += [event(f"good-{number:02}", "mixed"), event(f"bad-{number:02}", "mixed") | wrong]
    missing = event("bad-98", "mixed")
    del missing["occurred_at"]
    sent += [missing, 5, None, ["visit"]]
    answer = send(server, *sent)
    goods = [f"good-{number:02}" for number in range(len(BAD))]
    assert (answer["accepted"], answer["duplicates"], answer["error"]) == (len(BAD), 0, None)
    told = [(one["index"], one["field"]) for one in answer["rejected"]]
    expected = [(2 * number + 1, field) for number, (_, field, _) in enumerate(BAD)]
    end = 2 * len(BAD)
    others = [(end + 1, "the event"), (end + 2, "the event"), (end + 3, "the event")]
    assert told == [*expected, (end, "occurred_at"), *others]
    for (_, _, words), rejected in zip(BAD, answer["rejected"], strict=False):
        assert words in rejected["error"]
    assert answer["rejected"][len(BAD)]["error"] == "occurred_at is missing. Send it."
    assert kept(written, "good-") == goods and kept(written, "bad-") == []
    decide(server, customer_id="mixed", decision_id="after-the-mixed")
    assert read_by(written, "after-the-mixed")["events_n"] == len(BAD)


def test_where_no_event_can_be_taken_the_answer_is_a_400_that_says_why(server):
    status, answer = server.post("/v1/events", {"events": [event("no", "x", channel="tv"), 5]})
    assert status == 400
    assert answer["error"] == answer["rejected"][0]["error"]
    assert answer["error"].startswith("channel is 'tv'.")
    assert [one["index"] for one in answer["rejected"]] == [0, 1]
    assert send(server, event("and-on", "x"))["accepted"] == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"events": [event(f"many-{i}", "x") for i in range(MANY)]}, "events: list should have at"),
        ({"events": []}, "events: list should have at least 1 item"),
        ({}, "events is missing"),
        ({"events": {"event_id": "a"}}, "events: input should be a valid array"),
        (b'{"events": [', "The body is not JSON"),
    ],
)
def test_a_call_that_is_no_list_of_1_to_500_events_is_refused_whole(server, written, body, words):
    status, answer = server.post("/v1/events", body)
    assert (status, list(answer)) == (400, ["error"])
    assert words in answer["error"]
    assert kept(written, "many-") == []
    assert send(server, event(f"on-{words}".replace(" ", "-"), "x"))["accepted"] == 1


def test_500_events_are_taken_in_one_call(server):
    assert send(server, *(event(f"500-{i:03}", f"of-500-{i % 7}") for i in range(500))) == {
        "accepted": 500,
        "duplicates": 0,
        "rejected": [],
        "error": None,
    }


def test_an_event_sent_twice_in_a_call_or_again_later_is_counted_once(server, written):
    one = basket("twice", "again", amount_usd=5)
    assert send(server, one, one) | {"rejected": 0} == {
        "accepted": 1,
        "duplicates": 1,
        "rejected": 0,
        "error": None,
    }
    # 5 and 5.0 are one amount, as they are for most who write JSON.
    again = one | {"properties": one["properties"] | {"amount_usd": 5.0}}
    assert send(server, again)["duplicates"] == 1
    decide(server, customer_id="again", decision_id="after-twice")
    features = read_by(written, "after-twice")
    assert (features["events_n"], features["spend_total_usd"]) == (1, 5)


def test_an_event_id_that_comes_with_another_content_is_rejected(server, written):
    one = basket("reused", "reuse", amount_usd=5)
    other = one | {"properties": one["properties"] | {"amount_usd": 6}}
    answer = send(server, one, other)
    assert (answer["accepted"], answer["rejected"][0]["field"]) == (1, "event_id")
    assert "Send a new event_id" in answer["rejected"][0]["error"]
    status, answer = server.post("/v1/events", {"events": [other]})
    assert (status, answer["rejected"][0]["index"]) == (400, 0)
    decide(server, customer_id="reuse", decision_id="after-reuse")
    assert read_by(written, "after-reuse")["spend_total_usd"] == 5


def test_the_same_events_sent_by_eight_at_once_to_two_workers_are_taken_once(server, written):
    at = datetime.now(UTC) - timedelta(hours=1)
    events = [
        event(f"race-{i:03}", f"racer-{i % 5}", occurred_at=(at + timedelta(seconds=i)).isoformat())
        for i in range(200)
    ]
    pair = server.of_each_worker(2)
    places = {one.place()[0] for one in pair}
    assert len(places) == 2

    def send_all(number: int) -> tuple[int, int, int]:
        """All of them, in an order and in calls of one's own."""
        rng = np.random.default_rng(number)
        own, accepted, duplicates = server.again(), 0, 0
        order = [events[i] for i in rng.permutation(len(events))]
        while order:
            size = int(rng.integers(1, 40))
            answer = send(own, *order[:size])
            assert answer["rejected"] == []
            accepted += answer["accepted"]
            duplicates += answer["duplicates"]
            order = order[size:]
        return own.place()[0], accepted, duplicates

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(send_all, range(8)))
    assert {worker for worker, _, _ in told} == places, "one worker had all connections"
    assert sum(accepted for _, accepted, _ in told) == 200
    assert sum(duplicates for _, _, duplicates in told) == 7 * 200
    assert len(kept(written, "race-")) == 200
    for number in range(5):
        decide(server, customer_id=f"racer-{number}", decision_id=f"after-race-{number}")
    assert {row["events_n"] for row in read_by_all(written, "after-race-").values()} == {40}


def test_a_late_event_takes_its_place_in_the_past(server, written):
    now = datetime.now(UTC)
    at = {days: (now - timedelta(days=days)).isoformat() for days in (1, 3, 8)}
    for days in (8, 1, 3):  # the second one is late
        send(server, event(f"late-{days}", "latecomer", occurred_at=at[days]))
    decide(server, customer_id="latecomer", decision_id="after-late")
    features = read_by(written, "after-late")
    assert features["events_n"] == 3 and features["sessions_n"] == 3
    assert features["known_days"] == pytest.approx(8, abs=0.01)
    assert features["silence_days"] == pytest.approx(1, abs=0.01)
    assert features["visit_gap_days"] == pytest.approx(2, abs=1e-6)


def test_what_was_done_under_a_cookie_is_known_once_an_event_names_both(server, written):
    cookie, spelled, other = "cookie:c-17", "email:Ann@Example.com", "email:ann@example.com"
    send(server, event("by-cookie-1", identifiers=[cookie]))
    send(server, event("by-cookie-2", identifiers=[cookie]))
    stranger = decide(server, identifiers=[cookie], decision_id="id-stranger")
    assert stranger["customer_id"] == cookie
    send(server, event("by-mail", identifiers=[spelled]))
    send(server, event("by-both", "ann", identifiers=[cookie, spelled]))
    for number, who in enumerate(
        [{"customer_id": "ann"}, {"identifiers": [cookie]}, {"identifiers": [other]}]
    ):
        answer = decide(server, **who, decision_id=f"id-known-{number}")
        assert (answer["customer_id"], answer["known"]) == ("ann", True)
    read = read_by_all(written, "id-")
    assert read["id-stranger"]["events_n"] == 2
    assert [read[f"id-known-{number}"]["events_n"] for number in range(3)] == [4, 4, 4]


def test_a_session_that_goes_on_is_seen_and_an_old_one_is_not(server, written):
    now = datetime.now(UTC)
    for name, minutes in (("old", 50), ("new", 12), ("newer", 2)):
        at = (now - timedelta(minutes=minutes)).isoformat()
        send(server, event(f"session-{name}", "visitor", occurred_at=at))
    decide(server, customer_id="visitor", decision_id="in-session")
    features = read_by(written, "in-session")
    assert (features["session_events"], features["sessions_n"]) == (2, 2)
    assert features["session_minutes"] == pytest.approx(12, abs=0.5)


def test_two_workers_log_one_decision_for_one_id(server, written):
    def ask(number: int) -> Any:
        return decide(server.again(), customer_id="h1", decision_id=f"both-{number // 8}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(400)))
    assert all(answers[number] == answers[number // 8 * 8] for number in range(400))
    columns = tables.decisions.c
    query = sa.select(columns.decision_id).where(columns.decision_id.like("both-%"))
    assert len(rows(written, query)) == 50
