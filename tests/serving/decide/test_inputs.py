"""Inputs of a decision: the customer, consents and features, each read once and checked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from features.errors import InvalidRequest
from features.identity.links import link
from features.store.feast_store import CustomerFeatures
from serving.contract.decisions import DecideRequest
from serving.decide.customer_inputs import feature_row
from serving.decide.inputs import draw_seed, new_decision_id
from tests.serving.fakes import PLUS, FakeModels


def read(engine, now, **fields):
    request = DecideRequest.model_validate({"channel": "app"} | fields)
    keys = engine.inputs.check(request)
    return asyncio.run(engine.inputs.read(engine.setup, request, keys, now, "d1"))


def test_features_are_those_of_the_customer_at_the_time_of_the_decision(engine, now):
    inputs = read(engine, now, customer_id="c1")
    assert (inputs.customer_id, inputs.known, inputs.decided_at) == ("c1", True, now)
    expected = feature_row(engine.model_input, PLUS, now)
    np.testing.assert_array_equal(inputs.row, expected)
    assert inputs.row[engine.model_input.names.index("age_years")] == 41


def test_a_stranger_has_the_features_of_nobody(engine, now):
    inputs = read(engine, now, customer_id="stranger")
    assert not inputs.known
    np.testing.assert_array_equal(inputs.row, feature_row(engine.model_input, None, now))


def test_a_state_without_an_event_is_no_past_and_an_attribute_is_one(engine, now):
    empty = engine.model_input.fold.empty()
    found = {"moved": CustomerFeatures({}, empty), "c1": CustomerFeatures({"plan": "plus"}, empty)}
    engine.features.customers = found
    assert [read(engine, now, customer_id=name).known for name in found] == [False, True]


def test_what_the_models_say_of_a_customer_without_a_past_is_passed_on(engine, now, monkeypatch):
    said = {False: ["no_past: base rates"], True: []}
    monkeypatch.setattr(FakeModels, "without_past", lambda self, row, known: said[known])
    assert read(engine, now, customer_id="stranger").degraded == ["no_past: base rates"]
    assert read(engine, now, customer_id="c1").degraded == []
    engine.features.problem = "the store is gone"  # which says all
    assert read(engine, now, customer_id="c1").degraded == ["features: the store is gone"]


def test_keys_of_one_person_lead_to_one_customer(engine, ledger, now):
    pair, normalizer = ("c1", "email:a@b.it"), engine.normalizer
    ledger.write_now(lambda connection: link(connection, normalizer, pair, "login", now))
    inputs = read(engine, now, identifiers=["email:a@b.it"])
    assert inputs.customer_id == "c1"
    assert inputs.keys == ("email:a@b.it",)


def test_a_broken_store_and_missing_models_are_named(engine, now):
    engine.features.problem = "the store is gone"
    inputs = read(engine, now, customer_id="c1")
    assert inputs.degraded == ["features: the store is gone"]
    assert inputs.versions == {"bandit": "3.17"}


def test_a_channel_that_the_business_does_not_have_is_named_with_those_it_has(engine):
    request = DecideRequest(customer_id="c1", channel="fax")
    with pytest.raises(InvalidRequest, match="channel is 'fax'. Expected one of app"):
        engine.inputs.check(request)


def test_the_callers_id_is_kept_and_drawn_ids_differ(now):
    ours = DecideRequest(customer_id="c1", channel="app")
    theirs = DecideRequest(customer_id="c1", channel="app", decision_id="visit-1")
    assert new_decision_id(theirs, now) == "visit-1"
    assert new_decision_id(ours, now) != new_decision_id(ours, now)


def test_drawn_ids_rise_with_time(now):
    request = DecideRequest(customer_id="c1", channel="app")
    ids = [new_decision_id(request, now + timedelta(milliseconds=step)) for step in range(100)]
    assert ids == sorted(ids)
    assert {len(one) for one in ids} == {32}


def test_the_seed_of_a_draw_is_the_hmac_of_the_decision_id():
    """The second test case of RFC 4231."""
    assert draw_seed("Jefe", "what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
