"""The first worker counts harm; each worker stops to offer what is switched off."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from features.ledger.simulated_clock import SimulatedClock, set_clock
from serving.access.traffic_metrics import REMOVED, answer_metrics
from serving.guardrails.watch import GuardrailWatch
from serving.server import monitoring
from serving.server.settling.guarding import GuardrailTasks
from tests.serving.effects.made import audited_note, made_model, published
from tests.serving.guardrails.conftest import (  # noqa: F401
    COMPLAINTS,
    HOUR,
    GuardedBusiness,
    business,
    harmed_domain,
)
from tests.serving.guardrails.made import harmful_test, with_harm
from tests.serving.guardrails.test_stops import lift, stop
from training.effects.surrogate_audit import AuditRow


class Threads:
    """Runs what a pool of threads would run, at once."""

    async def run(self, task, *arguments):
        return task(*arguments)


def worker(shop, leads, clock=None):
    parts = SimpleNamespace(
        engine=shop.engine,
        guardrails=GuardrailWatch(shop.ledger, shop.domain),
        ledger=shop.ledger,
        clock=clock or (lambda: shop.now),
    )
    return GuardrailTasks(parts, Threads(), leads)


def stopped(shop):
    return {
        removed.action_id: removed.rule
        for removed in shop.decide("c9").removed
        if removed.rule.startswith("guardrails.")
    }


def test_a_worker_that_does_not_lead_follows_stops_and_liftings(business):  # noqa: F811
    shop = business()
    tasks = worker(shop, leads=False)
    stop(shop.ledger, "complaints", "discount", shop.now)
    asyncio.run(tasks.watch())
    assert stopped(shop) == {"discount": "guardrails.complaints"}
    gauge = monitoring.GUARDRAIL_STOPPED.labels(guardrail="complaints", action="discount")
    assert gauge._value.get() == 1
    lift(shop.ledger, "complaints", "discount", shop.passes(HOUR))
    asyncio.run(tasks.watch())
    assert stopped(shop) == {}


@pytest.mark.parametrize("leads", [True, False])
def test_only_the_worker_that_leads_counts(business, leads):  # noqa: F811
    shop = business()
    shop.decide("c1", actions=("discount", "call_back"))
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    asyncio.run(worker(shop, leads).watch())
    assert (shop.rows("guardrail_marks") == []) == leads


def test_the_evidence_is_measured(business):  # noqa: F811
    shop = business()
    test = harmful_test(30)
    shop.ledger.write_now(lambda c: with_harm(c, shop.rules.rules[0], {"discount": test}))
    asyncio.run(worker(shop, leads=True).measure())
    gauge = monitoring.GUARDRAIL_E_VALUE.labels(guardrail="complaints", action="discount")
    assert gauge._value.get() == pytest.approx(test.e_value)


def test_the_evidence_of_what_was_removed_is_no_longer_told(business, monkeypatch):  # noqa: F811
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)  # BentoML sets it
    shop = business({"gone": COMPLAINTS["complaints"], "kept": COMPLAINTS["complaints"]})
    tests = {"discount": harmful_test(3), "call_back": harmful_test(2)}
    for rule in shop.rules.rules:
        shop.ledger.write_now(lambda c, rule=rule: with_harm(c, rule, tests))
    tasks = worker(shop, leads=True)

    def told():
        asyncio.run(tasks.measure())
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(answer_metrics({"method": "GET"}, send))
        named = re.findall(r'nba_guardrail_e_value{action="(\w+)",guardrail="(\w+)"}', str(sent))
        return {(one[1], one[0]) for one in named if one[1] in ("gone", "kept")}

    every = {(name, action) for name in ("gone", "kept") for action in (*tests, "policy")}
    assert told() == every
    shop.use({"kept": COMPLAINTS["complaints"]})
    assert told() == {one for one in every if one[0] == "kept"}
    actions = {name: one for name, one in shop.base.actions.items() if name != "call_back"}
    shop.use({"kept": COMPLAINTS["complaints"]}, actions=actions)
    assert told() == {("kept", "discount"), ("kept", "policy")}


def test_the_audit_of_the_surrogate_is_told_where_effects_are_paid(business):  # noqa: F811
    shop = business()
    model, family = made_model(discount=0.0), "told once"
    note = audited_note(AuditRow(family, 90, 30, 0.0, 0.03, 0.01, 0.05))
    published(shop.ledger, replace(model, note=note), shop.now)
    tasks = worker(shop, leads=True)
    asyncio.run(tasks.measure())
    assert monitoring.EFFECT_DURATION_DAYS._value.get() == REMOVED  # by acceptance alone
    shop.use(COMPLAINTS, objective="added_value")
    asyncio.run(tasks.measure())
    assert monitoring.EFFECT_DURATION_DAYS._value.get() == 40.0
    assert monitoring.SURROGATE_DISTRUSTED.labels(family)._value.get() == 1
    assert monitoring.SURROGATE_DIFFERENCE.labels(family)._value.get() == 0.03


def test_tests_do_not_begin_at_a_simulated_time_that_may_still_be_set_back(ledger, toy_catalog):
    """Else they would leave out all that happens until the simulated time comes there."""
    shop = GuardedBusiness(ledger, toy_catalog, harmed_domain(), COMPLAINTS)
    clock = SimulatedClock(ledger).begin()
    tasks = worker(shop, leads=True, clock=clock)
    asyncio.run(tasks.count(pause_s=0.0))
    assert [one.since for one in shop.views()] == [None]
    back = clock() - timedelta(days=300)
    ledger.write_now(lambda c: set_clock(c, back, settle=False))
    asyncio.run(tasks.count(pause_s=0.0))
    assert [one.since for one in shop.views()] == [back]
