"""Rules, fixed actions and the oracle choose among the allowed actions."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.baselines import (
    BASELINES,
    FixedPolicy,
    OraclePolicy,
    RandomPolicy,
    baseline,
    rules_policies,
)
from training.simulation.business import Arrivals
from training.simulation.businesses import BUSINESSES, TELEPHONE
from training.simulation.rollout import run_policy

K = len(TELEPHONE.names)


def arrivals_of(contexts, allowed):
    customer = np.arange(len(contexts))
    return Arrivals(customer, np.zeros_like(customer), contexts, allowed)


def test_the_first_rule_that_holds_and_is_allowed_decides():
    features, names = TELEPHONE.features, TELEPHONE.names
    contexts, allowed = np.zeros((3, len(features))), np.ones((3, K), dtype=bool)
    contexts[:, features.index("page_data")] = 1
    contexts[1:, features.index("problem_open")] = 1
    allowed[2, names.index("call_back")] = False
    chosen = rules_policies(TELEPHONE)[0].choose(arrivals_of(contexts, allowed), np.zeros(3))
    assert [names[index] for index in chosen] == ["more_data", "call_back", "more_data"]


def test_a_fixed_action_that_is_not_allowed_is_replaced_by_no_action():
    allowed = np.ones((2, K), dtype=bool)
    allowed[1, 3] = False
    chosen = FixedPolicy("always", 3).choose(arrivals_of(np.zeros((2, 1)), allowed), np.zeros(2))
    assert chosen.tolist() == [3, 0]


def test_chance_draws_each_allowed_action_alike():
    allowed = np.zeros((4_000, K), dtype=bool)
    allowed[:, [0, 2, 5]] = True
    uniform = (np.arange(4_000) + 0.5) / 4_000
    chosen = RandomPolicy().choose(arrivals_of(np.zeros((4_000, 1)), allowed), uniform)
    assert np.bincount(chosen, minlength=K).tolist() == [1333, 0, 1334, 0, 0, 1333, 0, 0]


@pytest.mark.parametrize("business", BUSINESSES.values(), ids=lambda one: one.name)
def test_the_oracle_chooses_the_allowed_action_of_highest_true_value(business):
    world = business.make_world(300, 2, 3)
    arrivals = world.begin_day()
    chosen = OraclePolicy(world=world).choose(arrivals, np.zeros(len(arrivals.customer)))
    truth = np.where(arrivals.allowed, world.expected(), -np.inf)
    assert (truth[np.arange(len(chosen)), chosen] == truth.max(axis=1)).all()


@pytest.mark.parametrize("business", BUSINESSES.values(), ids=lambda one: one.name)
def test_each_business_has_six_lists_of_rules_of_its_features_and_actions(business):
    assert len(business.rules) == 6
    for rules in business.rules.values():
        assert {rule.feature for rule in rules} <= set(business.features)
        assert {rule.action for rule in rules} <= set(business.names[1:])


def test_the_best_of_a_kind_is_the_one_that_earns_most_in_the_pilot_worlds(monkeypatch):
    monkeypatch.setattr("training.simulation.baselines.PILOT_WORLDS", 1)
    chosen = baseline("fixed", TELEPHONE, 200, 10)
    earned = {}
    for index in range(1, K):
        world = TELEPHONE.make_world(200, 1_000_003, 10)
        run = run_policy(TELEPHONE, FixedPolicy("", index), world, 1_000_003)
        earned[index] = run.value_of_customer_eur.mean()
    assert chosen.action == max(earned, key=earned.get)
    assert baseline("nobody", TELEPHONE, 1, 1).action == 0
    assert {baseline(name, TELEPHONE, 1, 1).name for name in BASELINES[:2]} == {"nobody", "random"}
