"""The value of a world in which everybody is in one arm."""

from __future__ import annotations

import numpy as np

from serving.cli.simulation.truth import values_alone
from training.simulation.baselines import FixedPolicy, RandomPolicy
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import run_policy

CUSTOMERS, DAYS, SEED = 200, 15, 4


def test_the_random_arm_is_the_random_policy_of_the_world():
    world = TELEPHONE.make_world(CUSTOMERS, SEED, DAYS)
    expected = run_policy(TELEPHONE, RandomPolicy(), world, SEED)
    found = values_alone(TELEPHONE, CUSTOMERS, DAYS, SEED, "random")
    np.testing.assert_allclose(found.sum(axis=1), expected.value_of_customer_eur)
    np.testing.assert_allclose(found.sum(axis=0), expected.value_eur)


def test_nobody_is_contacted_but_for_service():
    service = values_alone(TELEPHONE, CUSTOMERS, DAYS, SEED, "nobody")
    world = TELEPHONE.make_world(CUSTOMERS, SEED, DAYS)
    alone = run_policy(TELEPHONE, FixedPolicy("none"), world, SEED)
    assert alone.value_eur.sum() != service.sum()  # a problem is solved where one is open
    costs = {action.cost_eur for action in TELEPHONE.actions if action.kind == "service"} | {0.0}
    assert {round(-float(one), 2) for one in np.unique(service[:, 0]) if one > -3} <= costs
