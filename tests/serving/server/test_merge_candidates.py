"""Merge candidates over HTTP: people list them, and confirm or refuse each once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from features.identity.candidates import MergeCandidate, note_candidates
from features.ledger.ledger import Ledger
from tests.conftest import NOW
from tests.server import Server
from tests.serving.server.test_customer import link, view
from tests.serving.server.test_events import event, send

pytestmark = pytest.mark.server
ROUTE = "/v1/merge_candidates"


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    return first_day_server


@pytest.fixture(scope="module")
def ledger(server: Server) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{server.log.parent / 'ledger.db'}")
    yield opened
    opened.close()


def noted(server, ledger, name, *numbers, via="cookie:kiosk"):
    """Candidates of customers with an event each: the first with each of the others."""
    send(server, *(event(f"{name}-{one}", f"{name}{one}") for one in numbers))
    first, *others = (f"{name}{one}" for one in numbers)
    for age, one in enumerate(others):
        found = [MergeCandidate.of(first, one, via, "device")]
        at = NOW - timedelta(minutes=age)
        ledger.write_now(lambda c, found=found, at=at: note_candidates(c, found, at))


def asked(server, **body):
    status, answer = server.post(ROUTE, body)
    assert status == 200, answer
    return answer


def of(name, answer):
    """The pairs of one test among the candidates: the server is shared."""
    return [
        (one["left"], one["right"]) for one in answer["candidates"] if one["left"].startswith(name)
    ]


def decide(server, left, right, decision, cause="they called"):
    return server.post(ROUTE, {"left": left, "right": right, "decision": decision, "cause": cause})


def timeline(server, customer_id):
    entries = view(server, customer_id=customer_id)["timeline"]
    return sorted(one["id"] for one in entries if one["kind"] == "event")


def test_open_candidates_are_listed_with_their_reason_page_after_page(server, ledger):
    noted(server, ledger, "mca", 1, 2, 3, 4)
    answer = asked(server)
    assert of("mca", answer) == [("mca1", "mca2"), ("mca1", "mca3"), ("mca1", "mca4")]
    [first] = [one for one in answer["candidates"] if one["right"] == "mca2"]
    assert first == {
        "left": "mca1",
        "right": "mca2",
        "via": "cookie:kiosk",
        "reason": "device",
        "status": "open",
        "customers": ["mca1", "mca2"],
        "found_at": "2026-11-22T10:00:00Z",
        "decided_at": None,
        "decided_cause": None,
    }
    found, after = [], None
    while True:
        page = asked(server, limit=1, after=after)
        assert len(page["candidates"]) <= 1
        found += of("mca", page)
        after = page["next"]
        if after is None:
            break
    assert found == of("mca", answer)


def test_a_confirmed_pair_is_one_customer_and_the_answer_is_repeated(server, ledger):
    noted(server, ledger, "mcb", 1, 2)
    status, answer = decide(server, "mcb2", "mcb1", "confirm", "showed a passport")
    assert status == 200, answer
    [one] = answer["candidates"]
    assert (one["status"], one["customers"]) == ("confirmed", ["mcb1"])
    assert one["decided_cause"] == "showed a passport" and one["decided_at"]
    assert decide(server, "mcb1", "mcb2", "confirm", "asked once more") == (200, answer)
    assert timeline(server, "mcb2") == ["mcb-1", "mcb-2"]
    [made] = view(server, customer_id="mcb1")["links"]
    assert (made["cause"], made["undone_at"]) == ("showed a passport", None)
    assert of("mcb", asked(server)) == []
    assert of("mcb", asked(server, status="confirmed")) == [("mcb1", "mcb2")]


def test_a_refused_pair_stays_two_customers_and_keeps_the_cause(server, ledger):
    noted(server, ledger, "mcc", 1, 2)
    status, answer = decide(server, "mcc1", "mcc2", "refuse", "brother and sister")
    assert (status, answer["candidates"][0]["status"]) == (200, "refused"), answer
    assert decide(server, "mcc1", "mcc2", "refuse") == (200, answer)
    assert timeline(server, "mcc1") == ["mcc-1"]
    [undone] = view(server, customer_id="mcc1")["links"]
    assert undone["undone_at"] and undone["undone_cause"] == "brother and sister"
    assert of("mcc", asked(server, status="refused")) == [("mcc1", "mcc2")]


@pytest.mark.parametrize(("first", "other"), [("confirm", "refuse"), ("refuse", "confirm")])
def test_another_decision_is_a_conflict_and_changes_nothing(server, ledger, first, other):
    name = f"mcd-{first}-"
    noted(server, ledger, name, 1, 2)
    pair = f"{name}1", f"{name}2"
    done = decide(server, *pair, first)
    status, answer = decide(server, *pair, other)
    assert status == 409 and "Expected the same decision again" in answer["error"]
    assert decide(server, *pair, first) == done
    assert len(timeline(server, pair[0])) == (2 if first == "confirm" else 1)


def test_a_pair_that_was_linked_otherwise_is_shown_as_merged(server, ledger):
    noted(server, ledger, "mce", 1, 2)
    link(server, "mce1", "mce2", "told an agent")
    assert of("mce", asked(server)) == []
    [one] = [c for c in asked(server, status="merged")["candidates"] if c["left"] == "mce1"]
    assert (one["status"], one["customers"]) == ("merged", ["mce1"])
    status, answer = decide(server, "mce1", "mce2", "refuse")
    assert (
        status == 409 and "'mce1', already" in answer["error"] and "/v1/unlink" in answer["error"]
    )


def test_an_unknown_pair_is_not_found(server):
    for decision in ("confirm", "refuse"):
        status, answer = decide(server, "mcf1", "mcf2", decision)
        assert (status, list(answer)) == (404, ["error"])
        assert "'mcf1' and 'mcf2' are no merge candidate" in answer["error"]
    assert view(server, customer_id="mcf1")["links"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"left": "a", "right": "b", "decision": "confirm"}, "a decision also needs cause"),
        ({"decision": "refuse", "cause": "x"}, "a decision also needs left, right"),
        (
            {"left": "a", "right": "b", "decision": "refuse", "cause": "x", "limit": 3},
            "a decision has no limit",
        ),
        ({"status": "all"}, "'open', 'merged', 'confirmed' or 'refused'"),
        ({"after": "yesterday"}, "after is 'yesterday'"),
    ],
)
def test_half_a_decision_and_a_wrong_filter_are_refused(server, body, said):
    status, answer = server.post(ROUTE, body)
    assert status == 400 and said in answer["error"], answer


def test_the_candidates_of_a_forgotten_customer_are_gone(server, ledger):
    noted(server, ledger, "mcg", 1, 2, 3)
    noted(server, ledger, "mch", 1, 2, via="email:mcg@x.it")
    link(server, "mcg1", "email:mcg@x.it", "told an agent")
    assert server.post("/v1/forget", {"customer_id": "mcg1"})[0] == 200
    answer = asked(server)
    assert of("mcg", answer) == of("mch", answer) == []
    assert decide(server, "mcg1", "mcg2", "confirm")[0] == 404


def logged_in(server, name, *customers):
    """Each customer logs in on one device, one after the other."""
    for number, one in enumerate(customers):
        at = (NOW + timedelta(minutes=number)).isoformat()
        device = [f"cookie:{name}"]
        send(server, event(f"{name}-in-{one}", one, identifiers=device, occurred_at=at))


def test_logins_on_a_shared_device_are_candidates_and_never_merge(server):
    logged_in(server, "mcj", "mcj1", "mcj2", "mcj3")
    answer = asked(server, limit=200)
    assert sorted(of("mcj", answer)) == [("mcj1", "mcj2"), ("mcj2", "mcj3")]
    found = [one for one in answer["candidates"] if one["left"].startswith("mcj")]
    assert {(one["via"], one["reason"]) for one in found} == {("cookie:mcj", "device")}
    assert decide(server, "mcj1", "mcj2", "confirm")[0] == 200
    assert decide(server, "mcj2", "mcj3", "refuse")[0] == 200
    send(server, event("mcj-again", "mcj3", identifiers=["cookie:mcj"]))
    assert timeline(server, "mcj1") == ["mcj-in-mcj1", "mcj-in-mcj2"]
    assert timeline(server, "mcj3") == ["mcj-again", "mcj-in-mcj3"]
    assert of("mcj", asked(server, limit=200)) == []


def test_candidates_of_others_stay_when_a_holder_of_their_device_is_forgotten(server):
    logged_in(server, "mck", "mck1", "mck2", "mck3")
    assert server.post("/v1/forget", {"customer_id": "mck1"})[0] == 200
    assert of("mck", asked(server, limit=200)) == [("mck2", "mck3")]


def test_open_candidates_are_counted_for_operators(server, ledger):
    noted(server, ledger, "mci", 1, 2)

    def shown():
        lines = server.get("/metrics")[1].splitlines()
        found = [one for one in lines if one.startswith("nba_merge_candidates_open ")]
        return found and float(found[0].split()[1])

    expected = len(asked(server, limit=200)["candidates"])
    assert expected >= 1
    server.wait_for(lambda: shown() == expected)
