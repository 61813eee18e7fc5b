"""Tests the priority of an action, in numbers and in words."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidDomain
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.catalog.decision_context import DecisionContext
from serving.policies.arbitration import (
    added_values,
    assumed_values,
    caused_values,
    context_weights,
    priorities,
    priorities_at,
    priority_deviations,
    with_conditional_priors,
)
from tests.serving.fakes import changed, decide, engine_of
from tests.serving.policies.conftest import ACTION
from training.bandit.stacking import Prediction
from training.effects.effect_prediction import EffectPrediction


def nobody(compiled):
    """The context of a decision of which nothing is known."""
    return DecisionContext(np.full(len(compiled.context_reader.names.position), np.nan), {})


def worth(compiled, acceptance, weight=1.0, added=None):
    numbers = np.array([acceptance]), np.array([weight])
    return priorities(compiled, *numbers, nobody(compiled), added)[0]


def test_matches_the_worked_example_in_the_docstring(book):
    assert worth(book(), 0.12) == pytest.approx(0.51)


@pytest.mark.parametrize(
    ("acceptance", "action", "weight", "expected"),
    [
        (0.5, {"value": 10, "cost": 1}, 1.0, 4.0),
        (0.5, {"value": 10, "cost": 1}, 2.0, 9.0),
        (0.5, {"value": 10, "cost": 1, "lever": 1.5}, 1.0, 6.5),
        (0.5, {"value": 10, "cost": 1, "lever": 1.5}, 2.0, 14.0),
        (0.0, {"value": 10, "cost": 1}, 1.0, -1.0),
    ],
)
def test_weight_and_lever_multiply_the_value_and_never_the_cost(
    book, acceptance, action, weight, expected
):
    assert worth(book(**action), acceptance, weight) == pytest.approx(expected)


def test_a_formula_of_the_catalogue_replaces_ours(book):
    compiled = book({"formula": "acceptance * value * lever - 2 * cost"})
    assert worth(compiled, 0.5) == pytest.approx(0.5 * 8 - 2 * 0.45)


def test_where_a_formula_has_no_value_the_action_is_worth_only_its_cost(book):
    compiled = book({"formula": "acceptance * value * churn - cost"})
    assert worth(compiled, 0.5) == pytest.approx(-0.45)  # churn is unknown


def test_a_formula_that_names_what_is_not_there_is_refused_by_its_key(book):
    with pytest.raises(ValueError, match=r"arbitration\.formula: .*acceptence"):
        book({"formula": "acceptence * value"})


def test_context_weights_multiply_where_their_condition_holds(book):
    weights = [
        {"when": "channel == 'app'", "weight": 2, "groups": ["promotion"]},
        {"when": "churn > 0.5", "weight": 3},
        {"when": "known", "weight": 5, "issues": ["keep"]},
    ]
    compiled = book({"context_weights": weights})
    holds = np.array([True, False, True])
    assert context_weights(compiled, holds) == pytest.approx([10.0])


def test_context_weights_by_stage_and_intent_reach_the_answer(toy_domain, toy_catalog, ledger, now):
    weight = {"when": "stage == null and churn > 0.2", "weight": 1.5, "actions": ["call_back"]}
    catalog = changed(
        toy_catalog, arbitration={"context_weights": [weight]}, arms={"random": 0, "nobody": 0}
    )
    engine = engine_of(catalog, toy_domain, ledger, {})
    [chosen] = decide(engine, now, actions=("call_back",), decision_id="d1").actions
    if chosen.action_id == "no_action":
        [chosen] = decide(engine, now, actions=("call_back",), decision_id="d7").actions
    assert chosen.priority == pytest.approx(0.2 * 1.5 * 10 - 1)
    assert "x weight 1.5" in chosen.reasons[0]


def test_at_a_lower_rank_an_action_earns_less_and_costs_the_same():
    priority, deviation = np.array([0.51, -0.45, 2.0]), np.array([0.2, 0.1, 0.0])
    found = priorities_at(priority, deviation, np.array([0.45, 0.45, 0.0]), 0.5)
    assert found[0] == pytest.approx([0.03, -0.45, 1.0])
    assert found[1] == pytest.approx([0.1, 0.05, 0.0])


def of_one(purchases=0.2, purchases_deviation=0.0, leaving=0.009, leaving_deviation=0.0):
    """The effects of one action."""
    numbers = (purchases, purchases_deviation, leaving, leaving_deviation)
    return EffectPrediction(*np.array(numbers)[:, None])


def test_the_added_value_is_that_of_the_docstring(book):
    compiled, accepted, nothing = book(value=36), np.array([0.04]), np.zeros(1)
    # 0.04 x 36.00 + 0.20 - 89.00 x 0.009
    caused = caused_values(of_one(), nothing, 89.0)
    assert added_values(compiled, accepted, caused) == pytest.approx([0.839])
    assert caused_values(of_one(), np.array([-1.5]), 89.0) == pytest.approx(caused - 1.5)
    unknown = caused_values(None, np.array([-0.44]), 89.0)
    assert added_values(compiled, accepted, unknown) == pytest.approx([1.0])


def test_an_acceptance_may_cost_margin(book):
    compiled, accepted = book(value=-8), np.array([0.25])
    assert added_values(compiled, accepted, np.zeros(1)) == pytest.approx([-2.0])
    sure = Prediction(accepted, np.array([0.1]), np.array([[0.25]]))
    deviation = priority_deviations(compiled, sure, np.ones(1), nobody(compiled))
    assert deviation == pytest.approx([0.8])


def test_weight_and_lever_multiply_the_added_value_and_never_the_cost(book):
    compiled = book(value=36, lever=1.5)
    assert worth(compiled, 0.04, 2.0, np.array([0.839])) == pytest.approx(0.839 * 3 - 0.45)


def test_the_deviation_is_that_of_independent_terms(book):
    compiled, one = book(value=10, lever=2), np.array([1.5])
    effects = of_one(purchases_deviation=1.2, leaving_deviation=0.02)

    def spread(effects, compiled=compiled):
        accepted = Prediction(np.array([0.4]), np.array([0.09]), np.array([[0.4]]))
        caused = caused_values(effects, np.array([-2.0]), 40.0)
        lost = None if effects is None else 40.0 * effects.leaving_deviation
        return priority_deviations(compiled, accepted, one, nobody(compiled), caused, lost)

    # weight 1.5 x lever 2 x the root of (10 x 0.09)^2 + (40 x 0.02)^2 = 0.81 + 0.64: no action is
    # tried for what is sold in the weeks after.
    assert spread(effects) == pytest.approx([3 * 1.45**0.5])
    assert spread(None) == pytest.approx([3 * 0.9])
    # A formula that is linear has the same; one that looks at acceptance only has its part.
    formula = "added_value * context_weight * lever - cost"
    same = book({"formula": formula}, value=10, lever=2)
    assert spread(effects, same) == pytest.approx([3 * 1.45**0.5])
    formula = "acceptance * value - cost"
    assert spread(effects, book({"formula": formula}, value=10)) == pytest.approx([0.9])


def test_the_deviation_is_multiplied_by_the_catalogues_exploration_scale(toy_domain, toy_catalog):
    content = changed(
        toy_catalog, actions={"offer": ACTION | {"value": 10}}, exploration_scale=0.25
    )
    compiled, one = CompiledCatalog(content, toy_domain, ModelInput(toy_domain)), np.ones(1)
    accepted = Prediction(np.array([0.4]), np.array([0.09]), np.array([[0.4]]))
    found = priority_deviations(compiled, accepted, one, nobody(compiled))
    assert found == pytest.approx([10 * 0.09 / 4])


WHERE = [
    {"when": "known", "acceptance": 0.18, "weight": 300},
    {"when": "not known", "acceptance": 0.5, "weight": 1},
    {"when": "known", "acceptance": 0.9, "weight": 1},
]


@pytest.mark.parametrize(
    ("holds", "counted", "expected"),
    [
        ([True, False], 0.0, 0.18),
        ([True, False], 100.0, 0.145),  # (300 x 0.18 + 100 x 0.04) / 400
        ([False, True], 99.0, 0.0446),  # (0.5 + 99 x 0.04) / 100
        ([False, False], 0.0, 0.04),
    ],
)
def test_the_first_prior_whose_condition_holds_is_mixed_by_its_weight(
    book, holds, counted, expected
):
    compiled = book(prior={"acceptance": 0.05, "where": WHERE})
    assert compiled.texts == ("known", "not known")
    learned = Prediction(np.array([0.04]), np.array([0.02]), np.array([[0.04]]))
    asked = compiled, np.array(holds), learned, np.array([counted])
    found = with_conditional_priors(*asked)
    assert found.acceptance == pytest.approx([expected])
    assert found.expert_predictions is learned.expert_predictions
    if counted == 100:  # (0.02 / 4)^2 + (3 / 4)^2 x 0.18 x 0.82 / 300
        assert found.deviation**2 == pytest.approx([0.000025 + 0.00027675])
    # What was believed when a decision was made holds its prior already.
    assert with_conditional_priors(*asked, np.array([False])).acceptance == 0.04
    assert learned.acceptance == 0.04


@pytest.mark.parametrize(
    ("holds", "counted", "expected"),
    [
        ([True, False], 0.0, 5.0),
        ([True, False], 10_000.0, 3.75),  # 5 x 30,000 / 40,000
        ([False, True], 90_000.0, -0.5),  # that prior says nothing of it: the cost of a contact
        ([False, False], 30_000.0, -1.0),
    ],
)
def test_what_is_assumed_fades_as_decisions_tell_the_effects(
    toy_domain, toy_catalog, holds, counted, expected
):
    where = [WHERE[0] | {"adds": 5.0}, WHERE[1]]
    action = ACTION | {"prior": {"acceptance": 0.05, "where": where}}

    def assumed(**keys):
        content = changed(toy_catalog, actions={"offer": action}, **keys)
        compiled = CompiledCatalog(content, toy_domain, ModelInput(toy_domain))
        return assumed_values(compiled, np.array(holds), counted)

    careful = {"objective": "added_value", "contact_cost_at_first": 2.0}
    assert assumed(**careful) == pytest.approx([expected])
    sooner = assumed(**careful, assumption_weight=30.0)
    assert sooner == pytest.approx([expected * (30_000 + counted) / 1_000 / (30 + counted)])
    assert assumed(objective="acceptance", contact_cost_at_first=2.0).tolist() == [0.0]


@pytest.mark.parametrize(
    ("holds", "expected"), [([True, False], 5.0), ([False, True], -1.5), ([False, False], -1.5)]
)
def test_what_an_action_adds_may_be_said_for_everybody(toy_domain, toy_catalog, holds, expected):
    where = [WHERE[0] | {"adds": 5.0}, WHERE[1]]
    action = ACTION | {"prior": {"acceptance": 0.05, "adds": -1.5, "where": where}}
    for objective, times in (("added_value", 1.0), ("acceptance", 0.0)):
        keys = {"objective": objective, "contact_cost_at_first": 2.0}
        content = changed(toy_catalog, actions={"offer": action}, **keys)
        compiled = CompiledCatalog(content, toy_domain, ModelInput(toy_domain))
        found = assumed_values(compiled, np.array(holds), 0.0)
        assert found == pytest.approx([expected * times])


def test_a_formula_may_name_the_added_value(book):
    compiled = book({"formula": "added_value - 2 * cost"}, value=36)
    assert worth(compiled, 0.04, 1.0, np.array([0.839])) == pytest.approx(0.839 - 0.9)
    assert worth(compiled, 0.04) == pytest.approx(1.44 - 0.9)  # no effect is known


def test_a_condition_of_a_weight_is_checked_when_the_file_is_read(book):
    with pytest.raises((ValueError, InvalidDomain), match="context_weights.0.when"):
        book({"context_weights": [{"when": "stagee == 'use'", "weight": 2}]})
