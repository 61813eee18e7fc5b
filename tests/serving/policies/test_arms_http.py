"""The arms over HTTP, on a server with the grocer's catalogue: 2 % random, 2 % nobody."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from features.business.catalog_rules import Arms
from serving.policies.arms import arm_of
from tests.server import Server, metrics_of

pytestmark = pytest.mark.server
ARMS = ("policy", "random", "nobody")


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    return first_day_server


def somebody(arm: str) -> str:
    """A new customer id in an arm."""
    prefix = uuid4().hex
    return next(f"a{prefix}-{n}" for n in count() if arm_of(f"a{prefix}-{n}", Arms()) == arm)


def ask(server: Server, path: str, **body: Any) -> Any:
    status, answer = server.post(path, body)
    assert status == 200, answer
    return answer


def decide(server: Server, who: str, **fields: Any) -> Any:
    return ask(server, "/v1/decide", customer_id=who, channel="app", **fields)


@pytest.mark.parametrize("arm", ARMS)
def test_decisions_in_each_arm_are_repeated_and_explained_in_it(server, arm):
    for fields in ({}, {"slots": 3}, {"explain": True}, {"activate": False}):
        answer = decide(server, somebody(arm), **fields)
        assert answer["arm"] == arm
        name = {"decision_id": answer["decision_id"]}
        assert ask(server, "/v1/replay", **name)["identical"]
        again = ask(server, "/v1/explain", **name)
        assert again["as_logged"] and again["decision"]["arm"] == arm
    assert f'arm="{arm}"' in metrics_of(server)


def test_random_gives_each_allowed_action_the_same_chance_and_no_price(server):
    answer = decide(server, somebody("random"), explain=True)
    found = answer["explanation"]["candidates"]
    removed = {one["action_id"] for one in answer["removed"]}
    assert len(found) > 3 and not removed & {one["action_id"] for one in found}
    assert {one["probability"] for one in found} == {1 / len(found)}
    assert {one["shadow_price"] for one in found} <= {0, None}
    assert not any("volume" in one["rule"] or "budget" in one["rule"] for one in answer["removed"])


def test_nobody_gets_service_or_nothing_and_is_told_why(server):
    service = {"ask_feedback", "make_it_right"}
    for _ in range(5):
        answer = decide(server, somebody("nobody"), explain=True, slots=5)
        shown = {one["action_id"] for one in answer["actions"]}
        assert shown <= service | {"no_action"}
        removed = {one["action_id"]: one for one in answer["removed"]}
        assert removed["coupons_personal"]["rule"] == "arms.nobody"
        said = "the customer is in the arm that nobody contacts, except for service"
        assert removed["coupons_personal"]["reason"] == said
        assert not any(removed.get(name, {}).get("rule") == "arms.nobody" for name in service)


def test_who_is_linked_gets_the_arm_of_the_id_that_stays(server):
    for kept, gone in (("nobody", "policy"), ("policy", "nobody"), ("random", "nobody")):
        first, second = somebody(kept), somebody(gone)
        assert [decide(server, who)["arm"] for who in (first, second)] == [kept, gone]
        ask(server, "/v1/link", keys=[first, second], cause="one person")
        answers = [decide(server, who) for who in (first, second)]
        [stays] = {one["customer_id"] for one in answers}
        assert {one["arm"] for one in answers} == {arm_of(stays, Arms())}
