"""Decisions by what showing an action adds: they are told, kept, repeated, and keep `no_action`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from features.business.decided_actions import Beliefs
from features.business.experiment.objective import Objective
from serving.audit.repeated_decision import repeat_decision
from serving.decide.beliefs import mixed_beliefs
from serving.policies.arms import arm_of
from serving.policies.priority_text import ASSUMED, NOT_LEARNED
from tests.serving.fakes import (
    EXPECTED,
    NO_ARMS,
    PLUS,
    FakeModels,
    changed,
    decide,
    engine_of,
    record,
    rows,
    swap,
)
from training.effects.effect_prediction import EffectPrediction

# Of call_back, discount and talk_plus. On the app call_back and discount have a treatment.
EFFECTS = EffectPrediction(
    purchases=np.array([0.5, -0.25, 1.0]),
    purchases_deviation=np.array([0.1, 0.2, 0.3]),
    leaving=np.array([0.01, -0.02, 0.0]),
    leaving_deviation=np.array([0.001, 0.002, 0.003]),
)
LEFT_WITH = {"attribute": "age_years", "times": 2, "otherwise": 5}


@pytest.fixture
def domain(toy_domain):
    """A customer of 41 years takes 82 EUR along."""
    objective = Objective.model_validate({"remaining_value": LEFT_WITH})
    return toy_domain.model_copy(update={"objective": objective})


@pytest.fixture
def catalog(toy_catalog):
    return changed(toy_catalog, arms=NO_ARMS, objective="added_value")


@pytest.fixture
def engine(domain, catalog, ledger):
    versions = {"bandit": "3.17", "effects": "4"}
    models = FakeModels(EXPECTED, gamma=1e9, effects=EFFECTS, versions=versions)
    return engine_of(catalog, domain, ledger, {"c1": PLUS}, models)


def shown(engine, now, **fields):
    """The first decision whose draw is not the least share of `no_action`."""
    for number in range(9):
        decision = decide(engine, now, decision_id=f"d{number}", **fields)
        if decision.actions[0].action_id != "no_action":
            return decision
    raise AssertionError("no_action nine times")


def test_the_answer_has_the_added_value_and_each_term(engine, now):
    decision = shown(engine, now, explain=True)
    [best] = decision.actions
    # discount: 0.2 x 5 - 0.25 + 82 x 0.02 = 2.39; call_back: 0.3 x 10 + 0.5 - 82 x 0.01 = 2.68
    assert (best.action_id, best.added_value) == ("discount", pytest.approx(2.39))
    assert best.priority == pytest.approx(1.89)
    assert best.reasons[:4] == [
        "20.0% chance of acceptance x 5.00 EUR = 1.00 EUR",
        "-0.25 EUR: other purchases that it replaces",
        "+1.64 EUR: makes leaving less likely by 2.0 percentage points, of a remaining value of "
        "82.00 EUR",
        "2.39 EUR added value - 0.50 EUR cost = 1.89 EUR",
    ]
    told = {one.action_id: one for one in decision.explanation.candidates}
    assert told["call_back"].added_value == pytest.approx(2.68)
    assert told["call_back"].priority == pytest.approx(1.68)
    assert (told["call_back"].purchases, told["call_back"].leaving) == (0.5, 0.01)
    assert (told["call_back"].remaining_value, told["no_action"].added_value) == (82.0, 0.0)
    assert decision.models["effects"] == "4"


def test_at_a_lower_rank_each_term_is_smaller(engine, now):
    swap(engine, seen=(1.0, 0.5))
    second = shown(engine, now, slots=2).actions[1]
    assert (second.action_id, second.added_value) == ("call_back", pytest.approx(1.34))
    assert second.priority == pytest.approx(0.34)
    assert second.reasons[2].startswith("-0.41 EUR: makes leaving likelier by 0.5 percentage ")
    assert second.reasons[4] == "Seen by 50.0% at rank 2, of whom 30.0% accept."


def test_no_action_keeps_its_share_which_is_logged(engine, ledger, now):
    decision = decide(engine, now, explain=True)
    chances = {one.action_id: one.probability for one in decision.explanation.candidates}
    assert chances["no_action"] == pytest.approx(0.03)
    assert sum(chances.values()) == pytest.approx(1.0)
    [row] = rows(ledger)
    assert Beliefs.from_bytes(row.believed).probability[-1] == chances["no_action"]


def test_what_is_assumed_fades_is_told_and_is_kept_with_the_decision(domain, catalog, ledger, now):
    """Of 10,000 decisions and 30,000 assumed ones, 3.75 of 5.00 and -0.60 of -0.80 are left."""
    actions = catalog.model_dump(by_alias=True)["actions"]
    where = [{"when": "age_years > 40", "acceptance": 0.2, "weight": 1e-6, "adds": 5.0}]
    actions["discount"]["prior"] = {"acceptance": 0.2, "where": where}
    believes = changed(catalog, contact_cost_at_first=0.8, actions=actions)
    models = FakeModels(EXPECTED, gamma=1e9, effects=EFFECTS, effects_counted=10_000.0)
    engine = engine_of(believes, domain, ledger, {"c1": PLUS}, models)
    decision = shown(engine, now, explain=True, slots=2)
    told = {one.action_id: one for one in decision.explanation.candidates}
    assert told["discount"].assumed == pytest.approx(3.75)
    assert told["call_back"].assumed == pytest.approx(-0.6)
    # 3 + 0.5 - 82 x 0.01 - 0.6 - 1
    assert told["call_back"].priority == pytest.approx(1.08)
    reasons = {one.action_id: one.reasons for one in decision.actions}["call_back"]
    assert reasons[1].startswith("+0.50 EUR: other purchases")
    assert reasons[3:5] == [
        f"-0.60 EUR: {ASSUMED}",
        "2.08 EUR added value - 1.00 EUR cost = 1.08 EUR",
    ]
    row = rows(ledger)[-1]
    assert len(Beliefs.from_bytes(row.believed).effects) == 5
    # Neither the effect model of then is asked nor how much it had learned.
    later = engine_of(believes, domain, ledger, {}, FakeModels(EXPECTED, gamma=1e9, versions={}))
    assert repeated(later, row) == row.answer
    mixed = mixed_beliefs(row, believes, believes, models)
    assert mixed.assumed[:2] == pytest.approx([-0.6, 3.75])


@pytest.mark.parametrize("effects", [None, EFFECTS], ids=["unknown", "known"])
def test_until_effects_are_known_a_share_is_an_experiment_and_a_contact_costs_what_is_assumed(
    domain, catalog, ledger, now, effects
):
    careful = changed(catalog, experiment_at_first=0.4, contact_cost_at_first=0.75)
    models = FakeModels(EXPECTED, gamma=1e9, effects=effects)
    engine = engine_of(careful, domain, ledger, {"c1": PLUS}, models)
    decision = shown(engine, now, explain=True, slots=2)
    chances = {one.action_id: one.probability for one in decision.explanation.candidates}
    told = {one.action_id: one for one in decision.explanation.candidates}
    if effects is None:
        # call_back: 3 - 0.75 - 1 = 1.25; discount: 1 - 0.75 - 0.5
        assert chances == pytest.approx({"call_back": 0.7, "discount": 0.1, "no_action": 0.2})
        assert (told["call_back"].priority, told["call_back"].assumed) == (1.25, -0.75)
        assert told["call_back"].purchases is told["call_back"].leaving is None
        first = {one.action_id: one.reasons for one in decision.actions}["call_back"]
        assert first[1:3] == [
            f"-0.75 EUR: {ASSUMED}",
            "2.25 EUR added value - 1.00 EUR cost = 1.25 EUR",
        ]
    else:
        assert chances["no_action"] == pytest.approx(0.03)
        assert (told["call_back"].purchases, told["call_back"].assumed) == (0.5, -0.75)
    row = rows(ledger)[-1]
    assert repeated(engine, row) == row.answer
    nothing = decide(engine, now, decision_id="nothing", exclude=["call_back", "discount"])
    assert nothing.actions[0].probability == 1.0


@pytest.mark.parametrize(
    ("arm", "chances"),
    [
        ("random", {"call_back": 1 / 3, "discount": 1 / 3, "no_action": 1 / 3}),
        ("nobody", {"call_back": 0.75, "no_action": 0.25}),
    ],
)
def test_each_arm_keeps_the_share_but_random_which_draws_evenly(
    domain, catalog, ledger, now, arm, chances
):
    arms, service = {"random": 0.4, "nobody": 0.4}, {"service": {"kind": "service"}}
    other = changed(catalog, arms=arms, groups=service, no_action_share=0.25)
    models = FakeModels(EXPECTED, gamma=1e9, effects=EFFECTS)
    engine = engine_of(other, domain, ledger, {}, models)
    who = next(f"c{n}" for n in range(99) if arm_of(f"c{n}", other.arms) == arm)
    decision = decide(engine, now, customer_id=who, explain=True)
    told = {one.action_id: one.probability for one in decision.explanation.candidates}
    assert decision.arm == arm
    assert told == pytest.approx(chances, abs=1e-6)


def test_no_action_says_what_it_saves(engine, now):
    leaving = np.array([0.1, 0.2, 0.2])
    swap(engine, effects=EFFECTS._replace(leaving=leaving))
    [nothing] = decide(engine, now).actions
    assert (nothing.action_id, nothing.added_value) == ("no_action", 0.0)
    # call_back: 3 + 0.5 - 8.2 - 1 = -5.7; discount: 1 - 0.25 - 16.4 - 0.5
    assert nothing.reasons == [
        "Nothing is shown, which saves 5.70 EUR: the best allowed action would cost more than it "
        "adds."
    ]


def test_without_an_effect_model_nothing_is_added_and_beliefs_stay_short(engine, ledger, now):
    swap(engine, effects=None, versions={"bandit": "3.17"})
    decision = shown(engine, now, channel="phone")
    [best] = decision.actions
    assert (best.added_value, best.priority) == (pytest.approx(3.0), pytest.approx(2.0))
    assert best.reasons[1] == NOT_LEARNED
    assert decision.models == {"bandit": "3.17", "effects": None}
    assert Beliefs.from_bytes(rows(ledger)[-1].believed).effects is None


def test_acceptance_as_the_objective_asks_for_no_effect(engine, domain, catalog, ledger, now):
    plain = changed(catalog, objective="acceptance", no_action_share=None)
    other = engine_of(plain, domain, ledger, {"c1": PLUS}, engine.setup.models)
    [best] = decide(other, now).actions
    assert best.probability > 0.999
    assert "added_value" not in best.model_dump(mode="json")
    assert "remaining_value" not in record(ledger)
    assert json.loads(rows(ledger)[0].answer)["models"] == {"bandit": "3.17"}


def repeated(engine, row):
    """The answer of a decision that is made again with the catalogue of then."""
    answer = json.loads(row.answer)
    again = repeat_decision(engine.setup, row, json.loads(row.record), answer, explain=False)
    return again.decision.model_dump_json()


def test_a_decision_is_repeated_by_the_effects_that_were_believed(
    engine, catalog, toy_domain, ledger, now
):
    for number in range(8):
        fields = {"slots": 1 + number % 3, "explain": number % 2 == 0}
        decide(engine, now, channel=("app", "phone")[number % 2], **fields)
    # Neither the effect model of then is asked nor what the domain file says now.
    others = FakeModels(EXPECTED, gamma=1e9, versions={})
    later = engine_of(catalog, toy_domain, ledger, {}, others)
    assert [repeated(later, row) for row in rows(ledger)] == [row.answer for row in rows(ledger)]


def test_another_catalogue_takes_what_was_believed_and_asks_for_the_rest(
    engine, catalog, ledger, now
):
    decide(engine, now)
    actions = catalog.model_dump(by_alias=True)["actions"]
    actions |= {"rebate": actions["discount"]}
    other, [row] = changed(catalog, actions=actions), rows(ledger)
    later = EffectPrediction(*np.full((4, 4), 7.0))
    models = FakeModels(dict.fromkeys(actions, 0.4), effects=later)
    predicted, effects, _, assumed = mixed_beliefs(row, catalog, other, models)
    assert np.isnan(assumed).tolist() == [False, False, True, True]
    assert mixed_beliefs(row, catalog, changed(other, assumption_weight=9.0), models)[3] is None
    assert predicted.acceptance.tolist() == [0.3, 0.2, 0.4, 0.4]
    assert effects.purchases.tolist() == [0.5, -0.25, 7.0, 7.0]
    assert effects.leaving_deviation.tolist() == [0.001, 0.002, 7.0, 7.0]
    without = FakeModels(dict.fromkeys(actions, 0.4))
    assert mixed_beliefs(row, catalog, other, without).effects.leaving.tolist() == [
        *(0.01, -0.02, 0.0, 0.0)
    ]
    plain = changed(other, objective="acceptance")
    assert mixed_beliefs(row, catalog, plain, models).effects is None
