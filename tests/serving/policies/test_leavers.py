"""Customers who have left are not courted; actions for leavers are for them only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import ContactFacts
from serving.policies.contact_policy import ContactPolicy
from tests.bench import guarantees_leavers
from tests.bench.guarantees_home import event, send, serving_shop
from tests.bench.guarantees_leavers import COURTING, WIN_BACK
from tests.server import Server
from tests.serving.policies.test_arms_http import somebody

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
LEFT = NOW - timedelta(days=3)


@pytest.fixture(scope="module")
def compiled() -> CompiledCatalog:
    content = guarantees_leavers.business()
    domain = Domain.model_validate(content.domain)
    return CompiledCatalog(Catalog.model_validate(content.catalog), domain, ModelInput(domain))


def removed(compiled: CompiledCatalog, **facts):
    """By removed action: the rule, the reason and the value."""
    asked = {"customer_id": "c1", "channel": "app", "now": NOW, "local": NOW}
    found = ContactPolicy(compiled).evaluate(
        ContactFacts(**asked, contacts=[], consents={}, **facts)
    )
    out = [name for name, gone in zip(compiled.actions, found.out, strict=True) if gone]
    whys = {name: found.why(compiled.index[name]) for name in out}
    return {name: (why.rule, why.reason, why.value) for name, why in whys.items()}


def test_who_has_left_gets_no_promotion_and_no_retention_but_those_for_leavers(compiled):
    reason = "the customer left on 2026-11-19; promotion and retention wait until they are back"
    expected = ("customer.left", reason, "2026-11-19")
    assert removed(compiled, left_at=LEFT) == dict.fromkeys(COURTING, expected)


def test_who_has_not_left_gets_no_action_for_leavers(compiled):
    reason = "it is for customers who have left, and this one is not known to have left"
    assert removed(compiled) == {WIN_BACK: ("for", reason, "left")}


def test_an_open_problem_suspends_promotions_for_leavers_too(compiled):
    found = removed(compiled, left_at=LEFT, problems=1.0)
    assert {*found} == COURTING | {WIN_BACK}
    assert found[WIN_BACK][0] == "contact_policy.suspension"


def test_while_it_is_unknown_who_has_left_nobody_is_courted(compiled):
    found = removed(compiled, features_problem="the store is down")
    assert {*found} == COURTING | {WIN_BACK}
    assert found["care_call"] == (
        "customer.left.features_unknown",
        "it is unknown whether the customer has left, because the features could not be read; "
        "nothing is offered meanwhile",
        "the store is down",
    )


def test_where_no_event_says_who_left_only_a_logged_leaver_is_one(compiled):
    """So a decision is repeated as it was, though the domain has lost its churn event."""
    content = guarantees_leavers.business()
    plain = Domain.model_validate({**content.domain, "churn": None})
    actions = {name: one for name, one in content.catalog["actions"].items() if name != WIN_BACK}
    catalog = Catalog.model_validate({**content.catalog, "actions": actions})
    silent = CompiledCatalog(catalog, plain, ModelInput(plain))
    assert removed(silent) == {}
    assert "care_call" not in removed(silent, features_problem="the store is down")
    assert {*removed(silent, left_at=LEFT)} == COURTING


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    content = guarantees_leavers.business()
    with serving_shop({"a_customer": None}, business=content, NBA_WORKERS="2") as (started, _):
        yield started


@pytest.fixture
def leaver(server) -> str:
    """A customer who left an hour ago."""
    name = somebody("policy")
    tell(server, name, "cancelled", hours_ago=1)
    return name


def tell(server: Server, customer_id: str, kind: str, hours_ago: float = 0) -> None:
    properties = {"amount_eur": 5.0} if kind == "purchase" else {}
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    send(server, event(uuid4().hex, customer_id, kind, at, properties=properties))


def view(server: Server, customer_id: str) -> dict[str, Any]:
    status, answer = server.post("/v1/customer", {"customer_id": customer_id})
    assert status == 200, answer
    return answer


@pytest.mark.server
def test_over_http_no_leaver_is_courted_until_an_order(server):
    assert [one for one in guarantees_leavers.measure(server, 6) if not one.holds] == []


@pytest.mark.server
def test_over_http_a_customer_is_shown_as_left_with_the_date(server, leaver):
    seen = view(server, leaver)
    assert (seen["left"], seen["left_at"]) == (True, seen["timeline"][0]["at"])
    assert seen["predictions"]["churn"] == 1.0
    body = {"customer_id": leaver, "channel": "app", "explain": True, "decision_id": leaver}
    _, decision = server.post("/v1/decide", body)
    [why] = decision["explanation"]["churn"]["strongest"]
    date = f"{datetime.fromisoformat(seen['left_at']):%Y-%m-%d}"
    assert (why["text"], why["effect"]) == (f"the customer left on {date}", 1.0)
    assert {(one["action_id"], one["rule"]) for one in decision["removed"]} == {
        (name, "customer.left") for name in COURTING
    }
    # The catalogue's `no_action_at_least` keeps a chance for nothing.
    chances = {
        one["action_id"]: one["probability"] for one in decision["explanation"]["candidates"]
    }
    assert chances == {WIN_BACK: pytest.approx(0.97), "no_action": pytest.approx(0.03)}
    assert server.post("/v1/replay", {"decision_id": leaver})[1]["identical"]
    tell(server, leaver, "purchase")
    assert (view(server, leaver)["left"], view(server, leaver)["left_at"]) == (False, None)
    assert server.post("/v1/replay", {"decision_id": leaver})[1]["identical"]


@pytest.mark.server
def test_over_http_late_events_and_merges_decide_who_has_left(server, leaver):
    tell(server, leaver, "purchase", hours_ago=2)
    assert view(server, leaver)["left"]
    other = f"{leaver}-other"
    tell(server, other, "purchase", hours_ago=0.5)
    keys = {"keys": [leaver, other], "cause": "told an agent"}
    assert server.post("/v1/link", keys)[0] == 200
    assert not view(server, leaver)["left"]
    tell(server, other, "cancelled", hours_ago=0.25)
    assert view(server, leaver)["left"]
    assert server.post("/v1/unlink", keys)[0] == 200
    assert view(server, leaver)["left"] and view(server, other)["left"]


def deferred_offer(server: Server, *actions: str) -> tuple[str, str]:
    """One of these actions, and the decision that offers it to somebody who leaves then."""
    for _ in range(50):  # one in thirty offers nothing
        name = somebody("policy")
        tell(server, name, "visit")
        body = {"customer_id": name, "channel": "app", "activate": False, "decision_id": name}
        _, decision = server.post("/v1/decide", {**body, "actions": [*actions]})
        [action] = decision["actions"]
        if action["action_id"] in actions:
            tell(server, name, "cancelled")
            return action["action_id"], name
    raise AssertionError("nothing was offered in 50 decisions")


@pytest.mark.server
def test_over_http_who_leaves_before_the_showing_is_shown_nothing(server):
    action, name = deferred_offer(server, "care_call", "offer_1")
    _, activated = server.post("/v1/activate", {"decision_id": name})
    assert activated["activated"] == []
    assert [(one["action_id"], one["rule"]) for one in activated["removed"]] == [
        (action, "customer.left")
    ]
