"""Over HTTP: logged decisions come out the same again, and a catalogue edited meanwhile is taken
over whole, by all workers, or not at all.

A few hundred decisions here; `python -m tests.bench.replay --decisions 10000` makes many.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import pytest

from serving.policies.priority_text import ASSUMED
from tests.bench.replay import Business, Opened, both_workers, kinds, opened
from tests.commands import nba_in_process
from tests.conftest import Built
from tests.server import Server, running
from tests.serving.test_service import decide

pytestmark = pytest.mark.server
DECISIONS = 240
NUMBERS = count()
VALUE = "value: 8.0\n"  # of coupons_personal, as it is written by us


@pytest.fixture(scope="module")
def place(grocer: Built, tmp_path_factory) -> Opened:
    artifacts = grocer.env["NBA_MLFLOW_ARTIFACTS"]
    folder = tmp_path_factory.mktemp("replay")
    return opened(grocer.home, grocer.env["NBA_MLFLOW_URI"], artifacts, folder)


@pytest.fixture(scope="module")
def server(place: Opened) -> Iterator[Server]:
    with running(place.home, place.env) as started:
        yield started


def repeat(server: Server, decision_id: str, catalog: str = "now") -> dict[str, Any]:
    status, answer = server.post("/v1/replay", {"decision_id": decision_id, "catalog": catalog})
    assert status == 200, answer
    return answer


def edit(place: Opened, before: str, after: str) -> None:
    text = place.actions.read_text(encoding="utf-8")
    assert text.count(before) == 1
    place.actions.write_text(text.replace(before, after), encoding="utf-8")


def coupon(server: Server, **request: Any) -> dict[str, Any]:
    """A decision that shows the personal coupons."""
    for _ in range(50):
        name = f"coupon-{next(NUMBERS)}"
        inputs = {"customer_id": "h2222", "actions": ["coupons_personal"], "decision_id": name}
        answer = decide(server, **inputs, **request)
        if answer["actions"][0]["action_id"] == "coupons_personal":
            return answer
    raise AssertionError("the personal coupons are never shown")


def worth(server: Server) -> str:
    """The sentence that explains the priority of the personal coupons."""
    reasons: list[str] = coupon(server)["actions"][0]["reasons"]
    return reasons[0]


def test_decisions_of_all_kinds_are_repeated_to_the_byte(server, place):
    since = datetime.now(UTC)
    business = Business(server, place.env, np.random.default_rng(20261122))
    business.live(DECISIONS)
    of_kind = kinds(business.answers)
    both_churns = [f"churn {version}" for version in business.churn]
    assert len(both_churns) == 2
    for kind in (
        "policy arm",
        "random arm",
        "nobody arm",
        "3 slots",
        "explained",
        "deferred",
        "stranger",
        *both_churns,
    ):
        assert of_kind[kind] >= 4, of_kind
    assert of_kind["snapshots"] >= 2
    done = nba_in_process(["replay", "--since", since.isoformat()], place.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{DECISIONS} decisions replayed, {DECISIONS} identical." in done.stdout
    for one in business.answers[:5]:
        assert repeat(server, one["decision_id"])["identical"]


def test_an_edited_catalogue_is_decided_with_by_both_workers_and_named_by_replay(server, place):
    old = coupon(server, explain=True)
    assert repeat(server, old["decision_id"])["identical"]
    edit(place, VALUE, "value: 9.5\n")
    both_workers(server, lambda one: "x 9.50 USD" in worth(one))

    for one in server.of_each_worker(2):
        answer = repeat(one, old["decision_id"])
        assert not answer["identical"]
        [cause] = answer["causes"]
        assert cause.startswith("catalog: decided with ")
        assert "(actions.coupons_personal.value was 8.0, is 9.5)" in cause
        changed = {one["field"]: one for one in answer["differences"]}
        assert changed["actions.0.priority"]["then"] == old["actions"][0]["priority"]
        assert repeat(one, old["decision_id"], "then")["identical"]

        status, explained = one.post("/v1/explain", {"decision_id": old["decision_id"]})
        assert status == 200 and explained["as_logged"]
        assert explained["decision"] == old
        assert "x 8.00 USD" in explained["decision"]["actions"][0]["reasons"][0]
    edit(place, "value: 9.5\n", VALUE)
    both_workers(server, lambda one: "x 8.00 USD" in worth(one))
    assert repeat(server, old["decision_id"])["identical"]


def test_until_effects_are_known_contacts_cost_what_is_assumed_and_some_are_an_experiment(
    server, place
):
    before = place.actions.read_text(encoding="utf-8")
    at_first = "experiment_at_first: 0.5\ncontact_cost_at_first: 0.25\n"
    place.actions.write_text(at_first + before, encoding="utf-8")
    assumed = f"-0.25 USD: {ASSUMED}"
    both_workers(server, lambda one: assumed in coupon(one)["actions"][0]["reasons"])
    made = coupon(server, explain=True)
    chances = {one["action_id"]: one["probability"] for one in made["explanation"]["candidates"]}
    # Half of the decisions are an experiment, of which half show nothing and half this action.
    assert set(chances) == {"coupons_personal", "no_action"}
    assert min(chances.values()) >= 0.25
    assert repeat(server, made["decision_id"])["identical"]
    place.actions.write_text(before, encoding="utf-8")
    both_workers(server, lambda one: assumed not in coupon(one)["actions"][0]["reasons"])
    assert repeat(server, made["decision_id"], "then")["identical"]


def problems(server: Server) -> list[str]:
    _, ready = server.get("/readyz")
    return [one for one in ready["degraded"] if one.startswith("catalog:")]


def test_a_broken_edit_is_told_with_its_line_and_the_catalogue_before_stays(server, place):
    text = place.actions.read_text(encoding="utf-8")
    edit(place, VALUE, "value: eight\n")
    both_workers(server, lambda one: bool(problems(one)))
    line = text[: text.index(VALUE)].count("\n") + 1
    told = f"{place.actions}, line {line}: actions.coupons_personal.value is 'eight'. Expected "
    for one in server.of_each_worker(2):
        [problem] = problems(one)
        assert problem.startswith(f"catalog: {told}")
        assert problem.endswith("nothing was changed. The one before stays.")
        assert "x 8.00 USD" in worth(one)
    assert f"The catalogue was not taken over: {told}" in server.log.read_text()

    edit(place, "value: eight\n", VALUE)
    both_workers(server, lambda one: not problems(one))
    assert "x 8.00 USD" in worth(server)


def test_a_past_decision_is_explained_when_its_action_is_long_gone(server, place):
    old = coupon(server, explain=True)
    text = place.actions.read_text(encoding="utf-8")
    begin = text.index("  coupons_personal:")
    end = text.index("  coupons_pantry:")
    place.actions.write_text(text[:begin] + text[end:], encoding="utf-8")

    def is_gone(one: Server) -> bool:
        body = {"customer_id": "h7", "channel": "app", "actions": ["coupons_personal"]}
        return one.post("/v1/decide", body)[0] == 400

    both_workers(server, is_gone)
    [cause] = repeat(server, old["decision_id"])["causes"][:1]
    assert "actions.coupons_personal was" in cause
    _, explained = server.post("/v1/explain", {"decision_id": old["decision_id"]})
    assert explained["as_logged"] and explained["decision"] == old
    place.actions.write_text(text, encoding="utf-8")
    both_workers(server, lambda one: not is_gone(one))
