"""One id, one content, over HTTP: the same again is harmless, another is refused; slow clocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from features.ledger import tables
from serving.decide.inputs import draw_seed
from tests.conftest import SECRET
from tests.server import Server, ledger_of
from tests.serving.server.test_events import event, send
from tests.serving.test_service import decide

pytestmark = pytest.mark.server
SLOW, DAY = timedelta(seconds=2), timedelta(days=1)


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    return first_day_server


def refusal(server: Server, path: str, body: dict[str, Any], expected: int = 409) -> str:
    """The sentence of a 409, or of another status."""
    status, answer = server.post(path, body)
    assert status == expected, answer
    return str(answer["error"])


def shown(server: Server, slots: int = 1) -> dict[str, Any]:
    """A decision that shows something in each slot."""
    for _ in range(50):
        who = {"customer_id": f"c{uuid4().hex}", "decision_id": f"d{uuid4().hex}"}
        answer = decide(server, **who, slots=slots)
        names = [one["action_id"] for one in answer["actions"]]
        if names[0] != "no_action" and len(names) == slots:
            return answer
    raise AssertionError("nothing was shown in 50 decisions")


def test_a_decision_id_is_for_one_request(server):
    who, name = f"{uuid4().hex}@example.org", f"d{uuid4().hex}"
    body = {"channel": "app", "decision_id": name, "identifiers": [f"email:{who}"]}
    first = decide(server, **body)
    again = {"slots": 1, "actions": None, "exclude": [], "context": {}, "activate": True}
    assert decide(server, **body, **again) == first
    assert decide(server, **body, explain=True) == first
    for field, other in {
        "channel": {"channel": "email"},
        "slots": {"slots": 3, "actions": ["fuel_points"]},
        "context.page": {"context": {"page": "help"}},
        "activate": {"activate": False},
    }.items():
        said = refusal(server, "/v1/decide", body | other)
        assert said.startswith(f"decision_id '{name}' was used with another {field}. Expected")
    other = {"identifiers": [f"email:{uuid4().hex}@example.org"]}
    said = refusal(server, "/v1/decide", body | other)
    assert "was used for another customer. Expected" in said and who not in said


def test_a_click_may_be_stamped_a_moment_before_the_decision(server):
    answer = shown(server)
    decided_at = datetime.fromisoformat(answer["decided_at"])
    stamps = [decided_at.replace(microsecond=0), decided_at - SLOW, decided_at - DAY]
    found = []
    for number, stamp in enumerate(stamps):
        told = {"decision_id": answer["decision_id"], "outcome": "clicked"}
        told |= {"outcome_id": f"{uuid4().hex}-{number}", "occurred_at": stamp.isoformat()}
        found.append([server.post("/v1/outcomes", told)[0] for _ in range(2)])
    assert found == [[200, 200], [200, 200], [400, 400]]
    columns = tables.outcomes.c
    mine = columns.decision_id == answer["decision_id"]
    with ledger_of(home_of(server)) as ledger:
        query = sa.select(columns.occurred_at).where(mine)
        times = ledger.read(lambda c: list(c.execute(query).scalars()))
    assert times == [decided_at, decided_at]  # they count as of the showing


def test_an_outcome_id_is_for_one_outcome(server):
    one, other = shown(server), shown(server)
    at = datetime.now(UTC)
    told = {"decision_id": one["decision_id"], "outcome": "accepted", "value": 17.25}
    told |= {"outcome_id": f"o{uuid4().hex}", "occurred_at": at.isoformat()}
    untimed = {name: value for name, value in told.items() if name != "occurred_at"}
    answers = [server.post("/v1/outcomes", body)[1]["status"] for body in (told, told, untimed)]
    assert answers == ["recorded", "duplicate", "duplicate"]
    later = {"occurred_at": (at + SLOW).isoformat()}
    for field, changed in {
        "value 17.25": {"value": 3},
        f"occurred_at {at.isoformat()}": later,
    }.items():
        assert f"is there with {field}. Expected" in refusal(server, "/v1/outcomes", told | changed)
    said = refusal(server, "/v1/outcomes", told | {"decision_id": other["decision_id"]})
    assert "is there with another decision_id." in said
    assert one["decision_id"] not in said and "17.25" not in said


def test_an_outcome_of_several_slots_names_its_action(server):
    answer = shown(server, slots=2)
    first, second = (one["action_id"] for one in answer["actions"])
    told = {"decision_id": answer["decision_id"], "outcome": "accepted"}
    said = refusal(server, "/v1/outcomes", told, expected=400)
    assert f"has shown 2 actions. Expected one of {first}, {second}. Send the action" in said
    recorded = [server.post("/v1/outcomes", told | {"action_id": second}) for _ in range(2)]
    assert [answer["status"] for _, answer in recorded] == ["recorded", "duplicate"]
    back = told | {"retracts": recorded[0][1]["outcome_id"]}
    assert server.post("/v1/outcomes", back)[0] == 200


def test_an_event_id_is_for_one_event_in_whatever_order_its_parts_are_sent(server):
    who, at = f"c{uuid4().hex}", datetime.now(UTC).isoformat()
    keys = [f"card:{uuid4().hex}", f"email:{uuid4().hex}@example.org"]
    bought = {"amount_usd": 20, "mission": "fresh"}
    sent = event(f"e{uuid4().hex}", who, type="basket", channel="shop", occurred_at=at)
    one = sent | {"identifiers": keys, "properties": bought}
    other = sent | {"identifiers": keys[::-1], "properties": dict([*bought.items()][::-1])}
    assert [send(server, each)["duplicates"] for each in (one, other)] == [0, 1]
    assert send(server, one)["duplicates"] == 1
    status, answer = server.post("/v1/events", {"events": [one | {"channel": "web"}]})
    rejected = answer["rejected"][0]
    assert (rejected["field"], "another content" in rejected["error"]) == ("event_id", True), status


def test_the_draw_is_seeded_by_a_secret_that_no_route_shows(server):
    answer = shown(server)
    name, who = answer["decision_id"], answer["customer_id"]
    with ledger_of(home_of(server)) as ledger:
        mine = tables.decisions.c.decision_id == name
        query = sa.select(tables.decisions.c.record).where(mine)
        record = json.loads(ledger.read(lambda c: c.execute(query).scalar_one()))
        secret = ledger.read(lambda c: tables.get_meta(c, tables.DRAW_SECRET))
    assert (secret, record["seed"]) == (SECRET, draw_seed(SECRET, name))
    told = [
        answer,
        server.post("/v1/explain", {"decision_id": name}),
        server.post("/v1/replay", {"decision_id": name}),
        server.post("/v1/customer", {"customer_id": who}),
        *(server.get(path) for path in ("/readyz", "/metrics", "/docs.json")),
    ]
    text = json.dumps(told, default=str)
    assert told[2][1]["identical"] is True
    assert SECRET not in text and record["seed"] not in text


def home_of(server: Server) -> Path:
    return server.log.parent
