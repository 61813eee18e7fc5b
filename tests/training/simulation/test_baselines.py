"""Rules, fixed actions and the oracle choose among the allowed actions."""

from __future__ import annotations

import numpy as np

from training.simulation.actions import CALL_BACK, NAMES, K
from training.simulation.baselines import RULES, FixedPolicy, OraclePolicy
from training.simulation.observed_features import FEATURES
from training.simulation.world import World


def test_the_first_rule_that_holds_and_is_allowed_decides():
    contexts, allowed = np.zeros((3, len(FEATURES))), np.ones((3, K), dtype=bool)
    contexts[:, FEATURES.index("page_data")] = 1
    contexts[1:, FEATURES.index("problem_open")] = 1
    allowed[2, CALL_BACK] = False
    probabilities = RULES[0].predict(contexts, allowed)
    chosen = [NAMES[index] for index in probabilities.argmax(axis=1)]
    assert chosen == ["more_data", "call_back", "more_data"]
    assert (probabilities.sum(axis=1) == 1).all()


def test_a_fixed_action_that_is_not_allowed_is_replaced_by_no_action():
    allowed = np.ones((2, K), dtype=bool)
    allowed[1, 3] = False
    probabilities = FixedPolicy("always", "streaming").predict(
        np.zeros((2, len(FEATURES))), allowed
    )
    assert probabilities.argmax(axis=1).tolist() == [3, 0]


def test_the_oracle_chooses_the_allowed_action_of_highest_true_value():
    world = World(300, 2, 3)
    arrivals = world.begin_day()
    chosen = OraclePolicy(world=world).predict(arrivals.contexts, arrivals.allowed).argmax(axis=1)
    truth = np.where(arrivals.allowed, world.expected(), -np.inf)
    assert (truth[np.arange(len(chosen)), chosen] == truth.max(axis=1)).all()
