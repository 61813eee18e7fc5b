"""Tests the methods behind the routes: each route has one, and each answers from the parts."""

from __future__ import annotations

import asyncio
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from features.errors import DecisionUnknown
from features.settings import load_settings
from serving.contract.customers import ForgetRequest, LinkRequest
from serving.contract.decisions import ActivateRequest, DecideRequest, ExplainRequest, ReplayRequest
from serving.contract.events import EventsRequest, OutcomeRequest
from serving.contract.lift import LiftRequest
from serving.server.components import Components
from serving.server.openapi import routes
from serving.server.worker import Worker
from serving.service import NextBestAction
from tests.conftest import Built


@pytest.fixture
def worker(shop: Built, tmp_path: Path) -> Iterator[Worker]:
    """A worker of the shop with a home of its own."""
    shutil.copytree(shop.home, tmp_path / "home")
    components = Components(load_settings({**shop.env, "NBA_HOME": str(tmp_path / "home")}))
    yield Worker(components)
    components.close()


def test_each_route_has_a_method_that_takes_the_same_request():
    for route in routes(NextBestAction):
        method = inspect.unwrap(getattr(Worker, route.name))
        assert get_type_hints(method)["request"] is route.request


def test_a_decision_is_logged_replayed_and_given_an_outcome(worker):
    async def story() -> None:
        decision = await worker.decide(
            DecideRequest(customer_id="c1", channel="app", decision_id="d1")
        )
        assert decision.actions[0].action_id in ("hello", "no_action")
        explained = await worker.explain(ExplainRequest(decision_id="d1"))
        assert explained.decision.decision_id == "d1"
        assert (await worker.replay(ReplayRequest(decision_id="d1"))).identical
        told = await worker.outcomes(OutcomeRequest(decision_id="d1", outcome="accepted"))
        assert told.status == "recorded"
        lift = await worker.lift(LiftRequest())
        assert lift.credited.policy.decisions <= 1

    asyncio.run(story())


def test_a_decision_that_nobody_made_cannot_be_activated(worker):
    with pytest.raises(DecisionUnknown):
        asyncio.run(worker.activate(ActivateRequest(decision_id="none")))


def test_linked_identifiers_have_one_customer_until_the_link_is_undone(worker):
    pair = LinkRequest(keys=("c1", "card:1"), cause="told an agent")
    linked = asyncio.run(worker.link(pair))
    assert linked.changed and len(linked.customers) == 1
    parted = asyncio.run(worker.unlink(pair))
    assert parted.changed and len(parted.customers) == 2


def test_a_forgotten_customer_is_not_shown_any_more(worker):
    event: dict[str, Any] = {
        "event_id": "e1",
        "type": "visit",
        "occurred_at": "2026-11-20T10:00:00Z",
        "channel": "app",
        "customer_id": "c9",
    }
    result = asyncio.run(worker.events(EventsRequest(events=[event])))
    assert result.accepted == 1
    answer = asyncio.run(worker.forget(ForgetRequest(customer_id="c9")))
    assert answer.status == "forgotten" and answer.erased["events"] == 1
