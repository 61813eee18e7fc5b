"""The value of a world in which everybody is in one arm."""

from __future__ import annotations

import numpy as np

from serving.cli.simulation.truth import values_alone
from serving.simulation.played import SERVICE_ONLY, Game
from training.simulation.baselines import FixedPolicy, RandomPolicy
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import run_policy

CUSTOMERS, DAYS, SEED = 100, 8, 4


def test_the_random_arm_is_the_random_policy_of_the_world():
    world = TELEPHONE.make_world(CUSTOMERS, SEED, DAYS)
    expected = run_policy(TELEPHONE, RandomPolicy(), world, SEED)
    found = values_alone(TELEPHONE, CUSTOMERS, DAYS, SEED, "random")
    np.testing.assert_allclose(found.sum(axis=1), expected.value_of_customer_eur)
    np.testing.assert_allclose(found.sum(axis=0), expected.value_eur)


def test_nobody_is_contacted_but_for_service_as_the_service_decides():
    found = values_alone(TELEPHONE, CUSTOMERS, DAYS, SEED, "nobody")
    game = Game(TELEPHONE.name, SERVICE_ONLY, CUSTOMERS, DAYS, SEED).played()
    np.testing.assert_allclose(found.sum(axis=1), game.run.value_of_customer_eur)
    service = {number for number, one in enumerate(TELEPHONE.actions) if one.kind == "service"}
    assert {*np.flatnonzero(game.run.shown)} <= service | {0}
    world = TELEPHONE.make_world(CUSTOMERS, SEED, DAYS)
    alone = run_policy(TELEPHONE, FixedPolicy("none"), world, SEED)
    assert alone.value_eur.sum() != found.sum()  # a problem is solved where one is open
