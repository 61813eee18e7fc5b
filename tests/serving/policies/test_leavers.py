"""Customers who have left are not courted; actions for leavers are for them only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import ContactFacts
from serving.policies.contact_policy import ContactPolicy
from tests.bench import guarantees_leavers
from tests.bench.guarantees_home import serving_shop
from tests.bench.guarantees_leavers import COURTING, WIN_BACK

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
    reason = "the customer left on 2026-11-19; nothing is offered but what is for leavers"
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


@pytest.mark.server
def test_over_http_no_leaver_is_courted_until_an_order():
    with serving_shop(
        {"a_customer": None}, business=guarantees_leavers.business(), NBA_WORKERS="2"
    ) as (server, _):
        short = [one for one in guarantees_leavers.measure(server, 6) if not one.holds]
        assert short == []
        name = "leaver-x"
        guarantees_leavers.send(server, guarantees_leavers.event("x-1", name, "cancelled"))
        status, view = server.post("/v1/customer", {"customer_id": name})
        assert status == 200 and view["left"] is True, view
        assert view["left_at"] == view["timeline"][0]["at"]
        assert view["predictions"]["churn"] == 1.0
        body = {"customer_id": name, "channel": "app", "explain": True, "decision_id": "d-x"}
        status, decision = server.post("/v1/decide", body)
        date = f"{datetime.fromisoformat(view['left_at']):%Y-%m-%d}"
        [why] = decision["explanation"]["churn"]["strongest"]
        assert (why["text"], why["effect"]) == (f"the customer left on {date}", 1.0)
        assert {one["rule"] for one in decision["removed"]} == {"customer.left"}
        assert {one["action_id"] for one in decision["removed"]} == COURTING
        assert decision["actions"][0]["action_id"] == WIN_BACK
        assert server.post("/v1/replay", {"decision_id": "d-x"})[1]["identical"]
