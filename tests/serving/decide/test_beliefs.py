"""Beliefs are kept with a decision, to the last bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from features.business.decided_actions import Beliefs, logged_chances, shown_beliefs
from serving.audit.repeated_decision import inputs_from_record, repeat_decision
from serving.decide.beliefs import read_beliefs
from serving.decide.choice import score
from tests.serving.fakes import (
    EXPECTED,
    PLUS,
    FakeModels,
    changed,
    decide,
    engine_of,
    rows,
    swap,
)


def test_a_candidate_is_read_as_it_was_believed_and_others_are_nan(engine, ledger, now):
    believed = dict(EXPECTED) | {"discount": 1 / 3}
    swap(engine, expected=believed)
    decision = decide(engine, now, exclude=["talk_plus"], slots=2)
    [row] = rows(ledger)
    record, compiled = json.loads(row.record), engine.setup.compiled
    found, effects, *others = read_beliefs(row.believed, record, compiled)
    assert (effects, *others) == (None, None, None)
    expected = [believed[name] if name != "talk_plus" else np.nan for name in compiled.actions]
    np.testing.assert_array_equal(found.acceptance, expected)
    np.testing.assert_array_equal(found.deviation, np.where(np.isnan(expected), np.nan, 0.0))
    shown = [one.action_id for one in decision.actions if one.action_id != "no_action"]
    assert shown_beliefs(row, record) == {
        name: (believed[name], [believed[name]]) for name in shown
    }
    chances = logged_chances(row, record, compiled.actions)
    assert chances[decision.actions[0].action_id] == decision.actions[0].probability


def test_an_action_whose_first_chance_is_0_is_kept_for_the_second_slot(engine, ledger, now):
    class Certain:
        """Gives everything to the best of those that are left."""

        def __init__(self, models):
            self.models = models

        def __getattr__(self, name):
            return getattr(self.models, name)

        def probabilities(self, expected_reward, deviation):
            chances = np.zeros(len(expected_reward))
            chances[np.nanargmax(expected_reward)] = 1.0
            return chances

    engine.setup = engine.setup.with_models(Certain(engine.setup.models))
    decision = decide(engine, now, slots=2)
    assert [one.action_id for one in decision.actions] == ["call_back", "discount"]
    [row] = rows(ledger)
    record, compiled = json.loads(row.record), engine.setup.compiled
    chances = logged_chances(row, record, compiled.actions)
    assert chances == {"call_back": 1.0, "discount": 0.0, "no_action": 0.0}
    believed = read_beliefs(row.believed, record, compiled)
    asked = inputs_from_record(engine.setup, row, record, json.loads(row.answer), explain=False)
    scored = score(engine.setup, asked, believed)
    # 0.2 x 5 - 0.5 of the discount; what the channel could not show is worth no price at all.
    assert dict(zip(compiled.actions, scored.priority, strict=True)) == {
        "call_back": pytest.approx(2.0),
        "discount": pytest.approx(0.5),
        "talk_plus": -np.inf,
    }


def prior_where(catalog, when, acceptance):
    """The catalogue with a conditional prior of the discount, of the weight 300."""
    actions = catalog.model_dump(by_alias=True)["actions"]
    where = [{"when": when, "acceptance": acceptance}]
    actions["discount"]["prior"] = {"acceptance": 0.2, "weight": 10, "where": where}
    return changed(catalog, actions=actions)


def test_a_conditional_prior_is_mixed_once_and_the_decision_is_repeated_by_it(
    toy_catalog, toy_domain, ledger, now
):
    catalog = prior_where(toy_catalog, "age_years > 40", 0.6)
    models = FakeModels(EXPECTED, outcomes=100.0)
    engine = engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, models)
    decision = decide(engine, now, explain=True, decision_id="one")
    told = {one.action_id: one.acceptance for one in decision.explanation.candidates}
    assert told["discount"] == pytest.approx((300 * 0.6 + 100 * 0.2) / 400)
    assert told["call_back"] == 0.3
    [row] = rows(ledger)
    later = engine_of(catalog, toy_domain, ledger, {}, FakeModels(EXPECTED, outcomes=9.0))
    record, answer = json.loads(row.record), json.loads(row.answer)
    again = repeat_decision(later.setup, row, record, answer, explain=False)
    assert again.decision.model_dump_json() == row.answer
    # By a catalogue with another prior the models of today are asked, and it is mixed with that.
    other = prior_where(toy_catalog, "age_years > 40", 0.4)
    now_by = engine_of(other, toy_domain, ledger, {}, FakeModels(EXPECTED, outcomes=300.0))
    found = repeat_decision(now_by.setup, row, record, answer, explain=True, then=catalog)
    told = {one.action_id: one.acceptance for one in found.decision.explanation.candidates}
    assert (told["discount"], told["call_back"]) == (pytest.approx(0.3), 0.3)


def test_where_no_condition_holds_the_learned_acceptance_stays(
    toy_catalog, toy_domain, ledger, now
):
    catalog = prior_where(toy_catalog, "age_years < 40", 0.6)
    engine = engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, FakeModels(EXPECTED))
    decision = decide(engine, now, explain=True)
    told = {one.action_id: one.acceptance for one in decision.explanation.candidates}
    assert told["discount"] == 0.2


def test_a_decision_of_an_earlier_release_is_read_from_its_record(ledger, engine, now):
    record = {
        "attribution_days": {"discount": 14.0, "talk_plus": 7.0},
        "experts": {"discount": [0.25, 0.5]},
        "candidates": ["discount", "no_action"],
        "acceptance": [0.3, 0.0],
        "probabilities": [0.75, 0.25],
    }

    class Row:
        believed = None

    assert logged_chances(Row, record, ()) == {"discount": 0.75, "no_action": 0.25}
    found = shown_beliefs(Row, record)
    assert found["discount"] == (0.3, [0.25, 0.5])
    assert np.isnan(found["talk_plus"][0]) and found["talk_plus"][1] == ()
    assert read_beliefs(None, record, engine.setup.compiled) is None


def test_beliefs_of_a_later_program_are_refused():
    empty = np.zeros(0)
    some = np.zeros(0, dtype=np.intp)
    packed = Beliefs(3, some, empty, empty, np.ones(1), some, np.zeros((0, 3))).to_bytes()
    assert Beliefs.from_bytes(packed).experts.shape == (0, 3)
    with pytest.raises(ValueError, match="format 04"):
        Beliefs.from_bytes(b"\x04" + packed[1:])
    with pytest.raises(ValueError, match=r"of which there were 16"):
        Beliefs.from_bytes(packed + b"\x00")
