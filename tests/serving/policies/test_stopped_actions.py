"""An action that a guardrail has switched off is in no decision, and each decision says why."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from serving.audit.archive import keep_catalog
from serving.audit.replay import Replay
from serving.decide.activation import activate
from serving.policies.stopped_actions import Stop, stops_from_json, stops_to_json
from tests.serving.fakes import FakeArchive, decide, engine_of, models_of, rows

AT = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
STOPS = {"discount": Stop("complaints", AT), "gone": Stop("refunds", AT)}


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger, now):
    keep_catalog(ledger, toy_catalog, now)
    return engine_of(toy_catalog, toy_domain, ledger, {}, models_of(toy_catalog, "1"))


@pytest.fixture
def stopped(engine):
    engine.setup = engine.setup.with_stops(STOPS)
    return engine


def test_stops_are_read_as_they_were_written():
    assert stops_from_json(json.loads(json.dumps(stops_to_json(STOPS)))) == STOPS


def test_a_stopped_action_is_drawn_by_nobody_and_named(stopped, now):
    for number in range(40):
        decision = decide(stopped, now, customer_id=f"c{number}", explain=True)
        assert decision.actions[0].action_id != "discount"
        [removed] = [one for one in decision.removed if one.action_id == "discount"]
        assert removed.rule == "guardrails.complaints"
        assert removed.reason == (
            "the guardrail complaints switched it off at 2026-03-01T08:30:00+00:00, "
            "until somebody lifts it"
        )


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({}, "guardrails.complaints"),
        ({"exclude": ("discount",)}, "request.exclude"),
        ({"actions": ("call_back",)}, "request.actions"),
    ],
)
def test_what_the_caller_does_not_want_is_named_first(stopped, now, asked, rule):
    decision = decide(stopped, now, explain=True, **asked)
    assert {one.action_id: one.rule for one in decision.removed}["discount"] == rule


def test_the_record_holds_the_stops_and_replay_needs_no_more(stopped, toy_domain, ledger, now):
    catalog = stopped.setup.compiled.catalog
    for number in range(10):
        decide(stopped, now, customer_id=f"c{number}", explain=number % 2 == 0)
    stopped.setup = stopped.setup.with_stops({})
    decide(stopped, now, customer_id="free")
    kept = [json.loads(row.record) for row in rows(ledger)]
    assert [one.get("stops") for one in kept] == [stops_to_json_as_read()] * 10 + [None]
    assert all(one["removed"]["discount"] == "guardrails.complaints" for one in kept[:10])
    replay = Replay(ledger, FakeArchive(toy_domain, ledger), catalog)
    answers = [replay.replay(row.decision_id, with_catalog="then") for row in rows(ledger)]
    assert [one.identical for one in answers] == [True] * 11


def stops_to_json_as_read():
    return json.loads(json.dumps(stops_to_json(STOPS)))


def test_an_action_that_was_stopped_meanwhile_is_not_activated(engine, now):
    deferred = decide(engine, now, decision_id="d1", activate=False, actions=("discount",))
    for number in range(2, 40):
        if deferred.actions[0].action_id == "discount":
            break
        name = f"d{number}"
        deferred = decide(engine, now, decision_id=name, activate=False, actions=("discount",))
    engine.setup = engine.setup.with_stops(STOPS)
    answer = asyncio.run(activate(engine, deferred.decision_id, now))
    assert (answer.activated, [one.rule for one in answer.removed]) == (
        [],
        ["guardrails.complaints"],
    )


def test_the_setup_is_the_same_object_while_nothing_changes(engine):
    assert engine.setup.with_stops({}) is engine.setup
    other = engine.setup.with_stops(STOPS)
    assert other.stops == STOPS and other.models is engine.setup.models
    assert other.with_stops({}).stops == {} and engine.setup.stops == {}
