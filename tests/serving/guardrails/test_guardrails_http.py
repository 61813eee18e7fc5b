"""Over HTTP: what harms is switched off on each worker within seconds, and offered again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import yaml

from tests.conftest import FAST, Built
from tests.server import Server, two_workers

pytestmark = pytest.mark.server
ACTIONS = ("blue", "green", "red")
CATALOG = {
    "outcomes": {"accepted": {"acceptance": 1}},
    "arms": {"random": 0.5, "nobody": 0.1},
    "guardrails": {"complaints": {"counts": "complaint_opened", "within_days": 1, "level": 0.05}},
    "actions": {
        name: {
            "issue": "grow",
            "group": "offers",
            "value": 5.0,
            "cost": 0.1,
            "prior": {"acceptance": 0.3, "weight": 10},
            "attribution_days": 7,
            "treatments": {"app": {"title": name}},
        }
        for name in ACTIONS
    },
}
STOP = {"guardrail": "complaints", "action_id": "red"}
NUMBERS = count()


@pytest.fixture(scope="module")
def server(shop: Built, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guardrails")
    shutil.copytree(shop.home, folder / "home")
    actions = folder / "actions.yaml"
    actions.write_text(yaml.safe_dump(CATALOG, sort_keys=False), encoding="utf-8")
    env = {**shop.env, **FAST, "NBA_HOME": str(folder / "home"), "NBA_ACTIONS": str(actions)}
    with two_workers(folder / "home", env) as started:
        yield started


def asked(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = server.post(path, body)
    assert status == 200, answer
    return answer


def decided(server: Server) -> dict[str, Any]:
    body = {"customer_id": f"g{next(NUMBERS)}", "channel": "app", "explain": True}
    return asked(server, "/v1/decide", body)


def complain(server: Server, customer_id: str) -> None:
    number, at = next(NUMBERS), datetime.now(UTC) + timedelta(milliseconds=1)
    event = {"event_id": f"complaint-{number}", "type": "complaint_opened", "channel": "app"}
    sent = {**event, "customer_id": customer_id, "occurred_at": at.isoformat(), "properties": {}}
    assert asked(server, "/v1/events", {"events": [sent]})["accepted"] == 1


def removed_as(server: Server, name: str) -> str | None:
    for one in decided(server)["removed"]:
        if one["action_id"] == name and not one["rule"].startswith("arms."):
            return one["rule"]
    return None


def test_what_harms_is_switched_off_on_both_workers_until_it_is_lifted(server):
    server.wait_for(lambda: asked(server, "/v1/guardrails", {})["guardrails"][0]["since"])
    assert "guardrails" not in server.get("/readyz")[1]
    for _ in range(150):
        answer = decided(server)
        if answer["actions"][0]["action_id"] == "red":
            complain(server, answer["customer_id"])
        if asked(server, "/v1/guardrails", {})["stops"]:
            break
    found = server.wait_for(lambda: asked(server, "/v1/guardrails", {})["stops"])
    assert [(one["guardrail"], one["action_id"]) for one in found] == [("complaints", "red")]
    assert found[0]["test"]["after"] == found[0]["test"]["harmed"] >= 5
    workers = server.of_each_worker(2)
    for worker in workers:
        worker.wait_for(lambda worker=worker: removed_as(worker, "red") == "guardrails.complaints")
        for _ in range(20):
            assert decided(worker)["actions"][0]["action_id"] != "red"
        [told] = worker.get("/readyz")[1]["guardrails"]
        assert told.startswith("guardrails: complaints has switched off red since ")
        assert told in asked(worker, "/v1/lift", {})["remarks"]
    metric = 'nba_guardrail_stopped{action="red",guardrail="complaints"} 1.0'
    server.wait_for(lambda: metric in server.get("/metrics")[1])
    assert "The guardrail complaints has switched off red" in server.log.read_text()
    decision_id = decided(server)["decision_id"]
    assert asked(server, "/v1/replay", {"decision_id": decision_id})["identical"]
    lifted = asked(server, "/v1/guardrails/lift", {**STOP, "cause": "Its words are others now."})
    assert lifted["stop"]["lifted_by"] == "Its words are others now."
    for worker in workers:
        worker.wait_for(lambda worker=worker: removed_as(worker, "red") is None)
        assert "guardrails" not in worker.get("/readyz")[1]
    assert asked(server, "/v1/replay", {"decision_id": decision_id})["identical"]
    assert server.post("/v1/guardrails/lift", {**STOP, "cause": "Again."})[0] == 400
    [kept] = asked(server, "/v1/guardrails", {"stops": "all"})["stops"]
    assert kept["lifted_at"]
