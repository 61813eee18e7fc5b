"""A whole decision with fakes around it and a real ledger under it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.customers.identity import link
from features.errors import DecisionConflict, InvalidRequest
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.feast_store import CustomerFeatures
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.engine import Engine
from tests.serving.fakes import FakeModels, changed, decide, engine_of
from training.bandit.exploration import draw

EXPECTED = {"call_back": 0.3, "discount": 0.2, "talk_plus": 0.1}
PLUS = CustomerFeatures({"plan": "plus", "age_years": "41"}, None)


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger) -> Engine:
    # Nobody in the control group: these tests are about the policy.
    catalog = changed(toy_catalog, control_group={"share": 0})
    return engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, FakeModels(EXPECTED))


def swap(engine: Engine, **changes: object) -> None:
    """Other models, while it runs."""
    engine.setup = engine.setup.with_models(replace(engine.setup.models, **changes))


def rows(ledger: Ledger) -> list[sa.Row]:
    return ledger.read(lambda c: c.execute(sa.select(tables.decisions)).all())


def record(ledger: Ledger) -> dict:
    [row] = rows(ledger)
    return json.loads(row.record)


def features(ledger: Ledger) -> list[float]:
    [row] = rows(ledger)
    return np.frombuffer(row.features).tolist()


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


@pytest.mark.parametrize("other", [{"customer_id": "c2"}, {"channel": "phone"}])
def test_an_id_used_for_somebody_or_somewhere_else_is_a_conflict(engine, ledger, now, other):
    decide(engine, now, decision_id="d1")
    with pytest.raises(DecisionConflict, match="'d1' was used for customer 'c1' on 'app'"):
        decide(engine, now, decision_id="d1", **other)
    assert len(rows(ledger)) == 1


def test_an_id_of_an_imported_decision_is_a_conflict(engine, ledger, now):
    imported = {
        "decision_id": "old",
        "subject": "c1",
        "customer_id": "c1",
        "decided_at": now,
        "channel": "app",
        "action_id": "discount",
        "served": False,
        "window_ends_at": now,
    }
    ledger.write_now(lambda c: c.execute(tables.decisions.insert(), imported))
    with pytest.raises(DecisionConflict, match="'old' was used"):
        decide(engine, now, decision_id="old")


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
    spelling = engine.spelling
    ledger.write_now(lambda c: link(c, spelling, ("c1", "card:1"), "told", now))
    decision = decide(engine, now, customer_id=None, identifiers=("cookie:9", "card:1"))
    assert (decision.customer_id, decision.known) == ("c1", True)


def test_the_record_holds_exact_probabilities_over_all_candidates(engine, ledger, now):
    decision = decide(engine, now, decision_id="d1")
    kept = record(ledger)
    assert kept["candidates"] == ["call_back", "discount", "no_action"]
    assert sum(kept["probabilities"]) == pytest.approx(1, abs=1e-12)
    assert min(kept["probabilities"]) > 0
    # 0.3 x 10 - 1, 0.2 x 5 - 0.5, and nothing for nothing; gamma 0.1 among three.
    assert kept["priority"] == pytest.approx([2.0, 0.5, 0.0])
    assert kept["probabilities"][1:] == pytest.approx([1 / 3.15, 1 / 3.2])
    first = decision.actions[0]
    assert first.probability == kept["probabilities"][kept["candidates"].index(first.action_id)]


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


def test_an_answer_shows_the_treatment_of_the_channel_and_says_why(engine, now):
    swap(engine, gamma=1e9)
    [app] = decide(engine, now, channel="app").actions
    [phone] = decide(engine, now, channel="phone").actions
    assert (app.action_id, app.treatment) == ("call_back", {"title": "Shall we call?"})
    assert (phone.action_id, phone.treatment) == ("call_back", {"title": "We call you back"})
    assert (app.acceptance, app.priority) == (0.3, pytest.approx(2.0))
    assert app.reasons == [
        "30.0% chance of acceptance x 10.00 EUR - 1.00 EUR cost = 2.00 EUR",
        "Promises most of the allowed actions.",
    ]


def test_where_nothing_is_left_nothing_is_shown_for_certain(engine, ledger, now):
    [nothing] = decide(engine, now, actions=(), slots=3).actions
    assert (nothing.action_id, nothing.probability, nothing.treatment) == ("no_action", 1.0, {})
    assert rows(ledger)[0].window_ends_at == now  # nothing to wait for


def test_explain_lists_what_was_removed_with_the_rules(engine, ledger, now):
    removed = decide(engine, now, explain=True, exclude=("discount",)).removed
    rules = {"discount": "request.exclude", "talk_plus": "treatments"}
    assert {r.action_id: r.rule for r in removed} == rules


def test_without_explain_the_removed_are_in_the_record_only(engine, ledger, now):
    assert decide(engine, now, exclude=("discount",)).removed is None
    assert record(ledger)["removed"] == {"discount": "request.exclude"}


def test_sentences_about_what_is_degraded_are_passed_through(engine, now):
    swap(engine, degraded=("churn: no champion",))
    engine.features.degraded = ("features: the store is gone",)
    assert decide(engine, now).degraded == ["churn: no champion", "features: the store is gone"]


def test_predictions_and_versions_are_those_of_the_models(engine, now):
    decision = decide(engine, now)
    assert (decision.predictions.churn, decision.predictions.intent) == (0.25, None)
    assert decision.models == {"bandit": "3.17"}


@pytest.mark.parametrize(
    ("only", "days"), [(("call_back",), 7), (("discount",), 14), (("call_back", "discount"), 14)]
)
def test_the_window_is_the_longest_of_what_was_shown(engine, ledger, now, only, days):
    swap(engine, gamma=1e9)
    assert len(decide(engine, now, actions=only, slots=2).actions) == len(only)
    assert rows(ledger)[0].window_ends_at == now + timedelta(days=days)


def test_the_record_names_what_a_replay_needs(engine, ledger, now):
    decide(engine, now, decision_id="d1", slots=2, placement="home")
    kept = record(ledger)
    assert kept["request"] == {
        "customer_id": "c1",
        "channel": "app",
        "placement": "home",
        "slots": 2,
        "decision_id": "d1",
    }
    assert kept["catalog"] == engine.setup.compiled.catalog.fingerprint
    assert kept["features_layout"] == engine.model_input.fingerprint
    assert len(features(ledger)) == len(engine.model_input.names)
