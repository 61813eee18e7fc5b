"""A policy is played in a world: the value it earns, and the customers who leave."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.simulation.baselines import FixedPolicy, RandomPolicy
from training.simulation.business import MAX_DAYS
from training.simulation.businesses import BUSINESSES, TELEPHONE
from training.simulation.rollout import run_policy

EACH = pytest.mark.parametrize("business", BUSINESSES.values(), ids=lambda one: one.name)


@EACH
def test_the_value_of_days_and_of_customers_is_the_same_money(business):
    world = business.make_world(300, 4, 30)
    run = run_policy(business, RandomPolicy(), world, 4)
    assert run.value_eur.sum() == pytest.approx(run.value_of_customer_eur.sum())
    assert run.late_value_of_customer_eur.sum() == pytest.approx(run.value_eur[-10:].sum())
    assert (run.left == world.gone).all() and run.cap_violations == 0
    assert run.shown[1:].sum() == (world.shown > 0).sum() > 0


@EACH
def test_who_has_left_is_who_has_not_come_back(business):
    world = business.make_world(200, 4, 60)
    run = run_policy(business, RandomPolicy(), world, 4)
    assert run.lost.sum() == run.left.sum() > 0
    assert (run.lost < 0).any() == (business.name == "shop")  # nobody comes back to a contract


@EACH
def test_runs_of_one_seed_are_equal(business):
    runs = [
        run_policy(business, RandomPolicy(), business.make_world(100, 4, 12), 4) for _ in range(2)
    ]
    assert np.array_equal(runs[0].value_of_customer_eur, runs[1].value_of_customer_eur)
    other = run_policy(business, RandomPolicy(), business.make_world(100, 5, 12), 5)
    assert not np.array_equal(runs[0].value_of_customer_eur, other.value_of_customer_eur)


def test_an_action_that_is_not_allowed_is_refused():
    class Careless(FixedPolicy):
        def choose(self, arrivals, uniform):
            return np.full(len(arrivals.customer), TELEPHONE.names.index("family_line"))

    with pytest.raises(InvalidSetting, match="actions are not allowed. Expected actions that are"):
        run_policy(TELEPHONE, Careless(), TELEPHONE.make_world(200, 1, 3), 1)


@EACH
@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ((0, 1, 1), "customers is 0. Expected a whole number from 1 to"),
        ((5, 1, MAX_DAYS + 1), "days is 366. Expected a whole number from 1"),
    ],
)
def test_sizes_out_of_range_are_refused(business, size, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        business.make_world(*size)
