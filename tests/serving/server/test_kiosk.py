"""Shared devices over HTTP: several customers log in on one, and stay several customers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from tests.server import Server
from tests.serving.server.test_customer import link, view
from tests.serving.server.test_events import event, send
from tests.serving.test_service import decide

pytestmark = pytest.mark.server
BEGIN = datetime.now(UTC) - timedelta(days=3)


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    return first_day_server


def named(*, people: int) -> tuple[str, list[str]]:
    """A new device, and new customers."""
    name = uuid4().hex[:8]
    return f"cookie:{name}", [f"c{name}-{number}" for number in range(people)]


def at_hour(hour: float) -> str:
    return (BEGIN + timedelta(hours=hour)).isoformat()


def login(who: str, device: str, hour: float) -> dict[str, Any]:
    return event(f"{who}-{hour}", who, occurred_at=at_hour(hour), identifiers=[device])


def page(device: str, hour: float) -> dict[str, Any]:
    """A page is viewed on the device by somebody who has not logged in."""
    name, identifiers = f"{device[-8:]}-{hour}", [device]
    return event(name, type="page_view", occurred_at=at_hour(hour), identifiers=identifiers)


def logins_of(people: list[str], device: str) -> list[dict[str, Any]]:
    """One customer after the other logs in, ten hours apart."""
    return [login(who, device, 10 * number) for number, who in enumerate(people)]


def hours(server: Server, **who: Any) -> list[float]:
    """The hours of the events in the timeline of a customer, the first one first."""
    entries = [one for one in view(server, **who)["timeline"] if one["kind"] == "event"]
    times = [datetime.fromisoformat(one["at"]) for one in entries]
    return sorted((at - BEGIN) / timedelta(hours=1) for at in times)


def owner(server: Server, key: str) -> str:
    return str(view(server, identifiers=[key])["customer_id"])


def test_a_device_that_two_customers_use_leaves_them_two_customers(server):
    device, (one, other) = named(people=2)
    for who, hour in ((one, 1), (other, 2)):
        send(server, login(who, device, hour))
    found = [view(server, customer_id=who) for who in (one, other)]
    assert [answer["customer_id"] for answer in found] == [one, other]
    assert [answer["identifiers"] for answer in found] == [[one, device], [other, device]]
    assert [len(answer["timeline"]) for answer in found] == [1, 1]
    assert owner(server, device) == other


@pytest.mark.parametrize("seed", range(4))
def test_logins_in_any_order_give_each_page_view_to_the_holder_of_that_hour(server, seed):
    device, people = named(people=5)
    sent = [*logins_of(people, device), *(page(device, 10 * number + 5) for number in range(-1, 5))]
    for place in np.random.default_rng(seed).permutation(len(sent)):
        send(server, sent[place])
    expected = [[-5.0, 0, 5], [10, 15], [20, 25], [30, 35], [40, 45]]
    assert [hours(server, customer_id=who) for who in people] == expected
    assert hours(server, identifiers=[device]) == expected[-1]
    assert decide(server, identifiers=[device])["customer_id"] == people[-1]


def test_a_late_login_takes_over_what_happened_until_the_next_one(server):
    device, (first, late, last) = named(people=3)
    pages = [page(device, hour) for hour in (5, 15, 25, 35)]
    send(server, login(first, device, 0), login(last, device, 30), *pages)
    assert hours(server, customer_id=first) == [0, 5, 15, 25]
    send(server, login(late, device, 10))
    assert hours(server, customer_id=first) == [0, 5]
    assert hours(server, customer_id=late) == [10, 15, 25]
    assert hours(server, customer_id=last) == [30, 35]


def test_forgetting_one_of_five_who_share_a_device_erases_one(server):
    device, people = named(people=5)
    sent = [*logins_of(people, device), *(page(device, 10 * number + 5) for number in range(5))]
    send(server, *sent)
    decide(server, identifiers=[device])
    gone, others = people[2], [*people[:2], *people[3:]]
    before = [view(server, customer_id=who) for who in others]
    status, answer = server.post("/v1/forget", {"customer_id": gone})
    assert status == 200, answer
    assert answer["erased"] == {"keys": 2, "events": 2, "decisions": 0, "outcomes": 0}
    assert [view(server, customer_id=who) for who in others] == before
    assert server.post("/v1/customer", {"customer_id": gone})[0] == 410
    assert decide(server, identifiers=[device])["customer_id"] == people[-1]
    # What comes late, of the hours of the customer who was forgotten, is refused.
    status, late = server.post("/v1/events", {"events": [page(device, 27)]})
    assert (status, late["accepted"]) == (400, 0) and "was forgotten" in late["error"]
    send(server, page(device, 37), login(others[0], device, 60))
    assert hours(server, customer_id=people[3]) == [30, 35, 37]
    assert owner(server, device) == others[0]


def test_an_explicit_customer_id_wins_over_an_identifier_of_somebody_else(server):
    device, (asked, other) = named(people=2)
    send(server, event(f"{asked}-own", asked), login(other, device, 1))
    send(server, event(f"{other}-mail", other, identifiers=[f"email:{other}@x.it"]))
    for key in (device, f"email:{other}@x.it"):
        who = {"customer_id": asked, "identifiers": [key]}
        made = decide(server, **who)
        assert (made["customer_id"], made["known"]) == (asked, True)
        assert view(server, **who)["customer_id"] == asked
        assert view(server, **who)["identifiers"] == [asked]
    assert len(view(server, customer_id=asked)["timeline"]) == 3
    assert [one["kind"] for one in view(server, customer_id=other)["timeline"]] == ["event"] * 2


@pytest.mark.parametrize("kind", ["card", "cookie"])
def test_a_link_that_was_undone_and_made_again_shows_all_three_happenings(server, kind):
    name = uuid4().hex[:8]
    who, key = f"c{name}", f"{kind}:{name}"
    send(server, event(f"{name}-1", who), event(f"{name}-2", identifiers=[key]))
    link(server, who, key, "told an agent")
    link(server, who, key, "a mistake", undo=True)
    assert len(view(server, customer_id=who)["timeline"]) == 1
    link(server, who, key, "no mistake")
    found = view(server, customer_id=who)
    assert len(found["timeline"]) == 2 and found["identifiers"] == [who, key]
    undone, holds = found["links"]
    assert {undone["left"], undone["right"]} == {holds["left"], holds["right"]} == {who, key}
    assert (undone["cause"], undone["undone_cause"]) == ("told an agent", "a mistake")
    assert undone["linked_at"] < undone["undone_at"] < holds["linked_at"]
    assert (holds["cause"], holds["undone_at"]) == ("no mistake", None)


def test_two_devices_cannot_be_linked_and_the_answer_names_both(server):
    (one, _), (other, _) = named(people=0), named(people=0)
    status, answer = server.post("/v1/link", {"keys": [one, other], "cause": "told an agent"})
    assert status == 400 and repr(one) in answer["error"] and repr(other) in answer["error"]
    assert owner(server, one) == one and owner(server, other) == other


def test_no_answer_shows_under_which_node_a_device_is_stored(server):
    device, (first, second) = named(people=2)
    send(server, login(first, device, 0), login(second, device, 10), page(device, 15))
    answers: list[Any] = []

    def ask(path: str, **body: Any) -> Any:
        answers.append(server.post(path, body)[1])
        return answers[-1]

    def view_all() -> None:
        for who in ({"identifiers": [device]}, {"customer_id": first}, {"customer_id": second}):
            found = ask("/v1/customer", **who, limit=200)
            assert found["customer_id"] in (first, second, device)

    made = ask("/v1/decide", identifiers=[device], channel="app", explain=True)
    assert made["customer_id"] == second
    for path in ("/v1/explain", "/v1/replay"):
        ask(path, decision_id=made["decision_id"])
    ask("/v1/activate", decision_id=made["decision_id"])
    again = {"channel": "app", "decision_id": made["decision_id"]}
    ask("/v1/decide", customer_id=first, **again)
    ask("/v1/decide", identifiers=[device], **again)
    for status in ("open", "merged"):
        ask("/v1/merge_candidates", status=status, limit=200)
    view_all()
    for who in (second, second, first):  # the second time there is nothing to undo
        done = ask("/v1/unlink", keys=[who, device], cause="told an agent")
        view_all()
        assert {*done.get("customers", ())} <= {first, second, device}
    assert owner(server, device) == device
    done = ask("/v1/link", keys=[second, device], cause="told an agent")
    assert done["customers"] == [second]
    view_all()
    ask("/v1/forget", customer_id=second)
    assert "was forgotten" in ask("/v1/customer", identifiers=[device])["error"]
    assert f"{device} " not in json.dumps(answers)
