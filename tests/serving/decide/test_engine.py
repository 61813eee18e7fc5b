"""A whole decision with fakes around it and a real ledger under it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import numpy as np
import pytest

from features.customers.identity import link
from features.errors import InvalidRequest
from serving.contract.decisions import DecideRequest, Decision
from tests.serving.fakes import (
    EXPECTED,
    decide,
    features,
    rows,
    swap,
)
from training.bandit.exploration import draw


def test_the_decision_is_in_the_ledger_when_decide_returns(engine, ledger, now):
    decision = decide(engine, now, decision_id="d1")
    [row] = rows(ledger)
    assert (row.decision_id, row.customer_id, row.channel) == ("d1", "c1", "app")
    assert (row.decided_at, row.served) == (now, True)
    assert row.action_id == decision.actions[0].action_id
    assert row.probability == decision.actions[0].probability
    assert Decision.model_validate_json(row.answer) == decision


def test_the_same_decision_id_twice_gives_the_same_answer_and_one_row(engine, ledger, now):
    once = decide(engine, now, decision_id="d1")
    swap(engine, expected=dict.fromkeys(EXPECTED, 0.9))
    again = decide(engine, now + timedelta(hours=1), decision_id="d1")
    assert again == once
    assert len(rows(ledger)) == 1


def test_many_askers_of_one_id_at_once_get_one_answer(engine, ledger, now):
    inputs = DecideRequest(customer_id="c1", channel="app", decision_id="d1")

    async def all_at_once() -> list[Decision]:
        return await asyncio.gather(*(engine.decide(inputs, now) for _ in range(20)))

    answers = asyncio.run(all_at_once())
    assert all(answer == answers[0] for answer in answers)
    assert len(rows(ledger)) == 1


def test_decisions_without_an_id_get_one_each(engine, ledger, now):
    ids = {decide(engine, now).decision_id for _ in range(3)}
    assert ids == {row.decision_id for row in rows(ledger)}
    assert len(ids) == 3


def test_a_channel_that_does_not_exist_is_named_with_those_that_do(engine, ledger, now):
    with pytest.raises(InvalidRequest, match="channel is 'fax'. Expected one of app, phone"):
        decide(engine, now, channel="fax")
    assert rows(ledger) == []


def test_a_customer_we_know_is_answered_from_what_we_know(engine, ledger, now):
    assert decide(engine, now).known
    assert features(ledger)[-2:] == [1.0, 41.0]  # plan is the second value, plus


def test_a_stranger_is_answered_and_told_apart(engine, ledger, now):
    decision = decide(engine, now, customer_id="nobody")
    assert not decision.known
    assert decision.actions
    assert np.isnan(features(ledger)[-2:]).all()


def test_identifiers_lead_to_their_customer(engine, ledger, now):
    normalizer = engine.normalizer
    ledger.write_now(lambda c: link(c, normalizer, ("c1", "card:1"), "told", now))
    decision = decide(engine, now, customer_id=None, identifiers=("cookie:9", "card:1"))
    assert (decision.customer_id, decision.known) == ("c1", True)


def test_the_action_is_the_one_that_the_id_draws(engine, ledger, now):
    for number in range(20):
        decide(engine, now, decision_id=f"d{number}")
    for row in rows(ledger):
        kept = json.loads(row.record)
        drawn = draw(np.array(kept["probabilities"]), row.decision_id)
        assert row.action_id == kept["candidates"][drawn]
    assert len({row.action_id for row in rows(ledger)}) > 1  # the test can fail


def test_each_action_is_chosen_as_often_as_its_probability_says(engine, ledger, now):
    n = 400

    async def many() -> list[Decision]:
        inputs = [
            DecideRequest(customer_id="c1", channel="app", decision_id=f"d{i}") for i in range(n)
        ]
        return await asyncio.gather(*(engine.decide(one, now) for one in inputs))

    chosen = [decision.actions[0].action_id for decision in asyncio.run(many())]
    for action, chance in (("discount", 1 / 3.15), ("no_action", 1 / 3.2)):
        # 4 standard errors of a share of n draws.
        tolerance = 4 * np.sqrt(chance * (1 - chance) / n)
        assert chosen.count(action) / n == pytest.approx(chance, abs=tolerance)


def test_three_slots_are_filled_with_different_actions_best_rank_first(engine, now):
    longest = 0
    for number in range(30):
        actions = decide(engine, now, decision_id=f"d{number}", slots=3).actions
        names = [action.action_id for action in actions]
        assert len(set(names)) == len(names)
        assert [action.rank for action in actions] == list(range(1, len(actions) + 1))
        assert all(0 < action.probability <= 1 for action in actions)
        assert "no_action" not in names[1:]
        assert names[0] != "no_action" or len(names) == 1
        longest = max(longest, len(names))
    assert longest == 2  # all that the app can show


def test_the_second_slot_is_drawn_from_what_is_left(engine, now):
    swap(engine, gamma=1e9)  # as good as always the best
    first, second = decide(engine, now, decision_id="d1", slots=2).actions
    assert (first.action_id, second.action_id) == ("call_back", "discount")
    assert second.probability == pytest.approx(1)
    assert second.reasons[1] == "Promises most of the allowed actions."


def test_sentences_about_what_is_degraded_are_passed_through(engine, now):
    swap(engine, degraded=("churn: no champion",))
    engine.features.degraded = ("features: the store is gone",)
    assert decide(engine, now).degraded == ["churn: no champion", "features: the store is gone"]


def test_predictions_and_versions_are_those_of_the_models(engine, now):
    decision = decide(engine, now)
    assert (decision.predictions.churn, decision.predictions.intent) == (0.25, None)
    assert decision.models == {"bandit": "3.17"}
