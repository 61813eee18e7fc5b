"""Tests the priority of an action, in numbers and in words."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidDomain
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.catalog.decision_context import DecisionContext
from serving.policies.arbitration import context_weights, priorities, priorities_at, priority_text
from tests.serving.fakes import changed, decide, engine_of

ACTION = {
    "issue": "keep",
    "group": "promotion",
    "value": 8.0,
    "cost": 0.45,
    "prior": {"acceptance": 0.1},
    "attribution_days": 7,
    "treatments": {"app": {"title": "Ten percent off"}},
}


@pytest.fixture
def book(toy_domain, toy_catalog):
    """A compiled catalogue of one action, with other content at some keys."""

    def made(arbitration=None, **action):
        parts = {"actions": {"offer": ACTION | action}, "arbitration": arbitration or {}}
        return CompiledCatalog(changed(toy_catalog, **parts), toy_domain, ModelInput(toy_domain))

    return made


def worth(compiled, acceptance, weight=1.0):
    nobody = DecisionContext(np.full(len(compiled.context_reader.names.position), np.nan), {})
    return priorities(compiled, np.array([acceptance]), np.array([weight]), nobody)[0]


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


def test_the_sum_is_told_with_what_pulls_at_it(book):
    compiled = book()
    said = priority_text(compiled, 0, 0.12, 1.0, worth(compiled, 0.12), "eur")
    assert said == "12.0% chance of acceptance x 8.00 EUR - 0.45 EUR cost = 0.51 EUR"
    compiled = book(value=10, cost=1, lever=1.5)
    said = priority_text(compiled, 0, 0.5, 2.0, worth(compiled, 0.5, 2.0), "eur")
    assert said == (
        "50.0% chance of acceptance x weight 2 x 10.00 EUR x lever 1.5 - 1.00 EUR cost = 14.00 EUR"
    )


def test_a_condition_of_a_weight_is_checked_when_the_file_is_read(book):
    with pytest.raises((ValueError, InvalidDomain), match="context_weights.0.when"):
        book({"context_weights": [{"when": "stagee == 'use'", "weight": 2}]})
