"""Contacts and pacing states: read, compared, and taken from a record."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from features.ledger import tables
from serving.contract.decisions import DecideRequest
from serving.contract.events import OutcomeRequest
from serving.decide.choice import score
from serving.decide.limit_inputs import (
    contacts_of,
    limit_inputs_of,
    read_limit_inputs,
    still_valid,
)
from serving.decide.outcomes import record_outcome
from serving.decide.step_results import LimitInputs
from tests.features.live import add, person
from tests.serving.fakes import EXPECTED, PLUS, FakeModels, changed, decide, engine_of, rows

CAP = {"caps": [{"at_most": 9, "days": 7}]}
VOLUME = {"at_most": 100}


@pytest.fixture
def engine(toy_catalog, toy_domain, ledger):
    """One that counts contacts, and shows at most 100 discounts a day."""
    actions = toy_catalog.model_dump(by_alias=True)["actions"]
    actions["discount"] |= {"volume": VOLUME}
    parts = {"arms": {"random": 0, "nobody": 0}, "contact_policy": CAP, "actions": actions}
    models = FakeModels(EXPECTED, gamma=1e9)
    return engine_of(changed(toy_catalog, **parts), toy_domain, ledger, {"c1": PLUS}, models)


def reading(engine, ledger, now, customer_id="c1"):
    """Read and score a request, then read its limits."""
    request = DecideRequest(customer_id=customer_id, channel="app")
    keys = engine.inputs.check(request)
    inputs = asyncio.run(engine.inputs.read(engine.setup, request, keys, now, "new"))
    scored = score(engine.setup, inputs)
    read = ledger.read(
        lambda c: read_limit_inputs(
            c, engine.setup, customer_id, "app", now, scored.eligibility.out
        )
    )
    return inputs, scored, read


def test_the_limits_come_back_from_the_record(engine, ledger, now):
    decide(engine, now - timedelta(hours=1), decision_id="d0")
    read = ledger.read(lambda c: contacts_of(c, engine.setup, "c1", now))
    decide(engine, now, decision_id="d1")
    [kept] = [json.loads(row.record) for row in rows(ledger) if row.decision_id == "d1"]
    assert [(one.customer_id, one.action_id) for one in read] == [("c1", "call_back")]
    assert limit_inputs_of(kept, "c1") == LimitInputs(read, {})


def test_a_selection_is_valid_while_nothing_changes(engine, ledger, now):
    inputs, scored, read = reading(engine, ledger, now)
    again = reading(engine, ledger, now)[2]
    assert still_valid(engine.setup, inputs, scored, read, again)


def test_a_selection_is_not_valid_after_another_contact(engine, ledger, now):
    inputs, scored, read = reading(engine, ledger, now)
    decide(engine, now, decision_id="d1")
    again = reading(engine, ledger, now)[2]
    assert not still_valid(engine.setup, inputs, scored, read, again)


def test_a_selection_is_not_valid_after_a_contact_of_a_colleague(engine, ledger, now):
    per_account = {"caps": [{"at_most": 9, "days": 7, "per": "account"}]}
    catalog = changed(engine.setup.compiled.catalog, contact_policy=per_account)
    engine = engine_of(catalog, engine.domain, ledger, {}, engine.setup.models)
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "acme"))
    inputs, scored, read = reading(engine, ledger, now)
    assert still_valid(engine.setup, inputs, scored, read, reading(engine, ledger, now)[2])
    decide(engine, now, customer_id="c2")
    again = reading(engine, ledger, now)[2]
    assert not still_valid(engine.setup, inputs, scored, read, again)


def test_a_selection_is_not_valid_after_an_outcome_of_a_contact(engine, ledger, now):
    decide(engine, now, decision_id="d1")
    inputs, scored, read = reading(engine, ledger, now)
    [contact] = read.contacts
    told = LimitInputs([contact._replace(outcomes_at={"accepted": 1})], read.paces)
    assert not still_valid(engine.setup, inputs, scored, read, told)


def test_a_selection_is_not_valid_if_a_volume_has_been_used_up(engine, ledger, now):
    decide(engine, now, decision_id="d1", actions=["discount"])
    inputs, scored, read = reading(engine, ledger, now, "c2")
    (name,) = read.paces
    state = read.paces[name]
    nearly, used_up = ({name: {**state, "spent": spent}} for spent in (99.0, 100.0))
    assert still_valid(engine.setup, inputs, scored, read, replace(read, paces=nearly))
    assert not still_valid(engine.setup, inputs, scored, read, replace(read, paces=used_up))


@pytest.mark.parametrize("per", ["customer", "account"])
def test_a_cool_down_lasts_its_days_however_late_after_the_showing_it_begins(
    engine, ledger, now, per
):
    """Outcomes of a discount are credited for 14 days; this one comes after 16, for 3 days."""
    rest = {"cool_downs": [{"after": ["rejected"], "days": 3, "per": per}]}
    catalog = changed(engine.setup.compiled.catalog, contact_policy=rest)
    engine = engine_of(catalog, engine.domain, ledger, {"c1": PLUS}, engine.setup.models)
    add(ledger, tables.customers, person("c1", "acme"))

    def shown(days, name):
        at = now + timedelta(days=days)
        answer = decide(engine, at, actions=["discount"], decision_id=name)
        return [one.action_id for one in answer.actions]

    assert shown(0, "d0") == ["discount"]
    told_at = now + timedelta(days=16)
    told = OutcomeRequest(decision_id="d0", outcome="rejected", occurred_at=told_at)
    asyncio.run(record_outcome(told, ledger, catalog, told_at))
    assert shown(18.9, "d1") == ["no_action"]
    assert shown(19.1, "d2") == ["discount"]
