"""The worlds of `make bench-added-value` pay what their domain counts, and goals are checked."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from serving.simulation.served_business import BEGIN, served_business
from serving.simulation.served_policy import ServedPolicy
from tests.bench.added_value import Course, failures, share_of_best
from tests.bench.added_value_worlds import KINDS, KindsWorld, business_of
from training.simulation.rollout import run_policy

CUSTOMERS, DAYS = 60, 4


def test_an_offer_is_worth_what_it_adds_less_its_cost_and_who_leaves():
    """Persuadables: 0.2 x 5 - 0.5; sleeping dogs: -0.15 x 5 - 0.5 - 0.02 x 20."""
    world = KindsWorld(300, 1, 1, KINDS)
    arrivals = world.begin_day()
    worth = np.array([-0.5, 0.5, -1.65])[world.kind[arrivals.customer]]
    np.testing.assert_allclose(world.expected()[:, 1], worth)
    assert len(worth) > 100 and (world.expected()[:, 0] == 0).all()


def test_rates_are_those_of_the_kinds():
    """50,000 visits of each kind: the standard error is 0.002 at most."""
    world = KindsWorld(300_000, 1, 1, KINDS)
    arrivals = world.begin_day()
    kind, actions = world.kind[arrivals.customer], arrivals.customer % 2
    world.act(actions)
    left = world.end_day()[arrivals.customer]
    bought = world._bought[arrivals.customer]
    for number in range(3):
        for action, chance in enumerate((KINDS.alone, KINDS.contacted)):
            some = (kind == number) & (actions == action)
            assert bought[some].mean() == pytest.approx(chance[number], abs=0.01)
            leaves = 0.001 + action * KINDS.leaves[number]
            assert left[some].mean() == pytest.approx(leaves, abs=0.003)


def test_the_ledger_counts_the_value_of_the_world():
    business, world = business_of(KINDS), KindsWorld(CUSTOMERS, 2, DAYS, KINDS)
    with served_business(business, world, 2) as served:
        policy = ServedPolicy("served", served, world)
        run = run_policy(business, policy, world, 2)
        lift = served.lift(BEGIN + timedelta(days=DAYS))
    told = {one.arm: one for one in lift.arms}["policy"]
    assert told.customers == policy.met.sum() > 40
    value = run.value_of_customer_eur[policy.met].mean()
    assert told.value == pytest.approx(value, abs=1e-6)
    assert run.shown[1] > 0 and world.gone.any()


def _course(value, contacted=0.0):
    return Course(np.array([0.0, 1.0, value]), np.array([[0.9], [0.9], [contacted]]), 0.1)


def test_goals_that_are_missed_are_told():
    good, bad = ({"best": _course(2.0), "served": _course(value, 0.06)} for value in (1.9, 1.8))
    assert share_of_best(good, late=False) == pytest.approx(2.9 / 3)
    assert share_of_best(good, late=True) == pytest.approx(1.9 / 2)
    assert failures([good], [{"served": _course(0.0, 0.05)}]) == []
    assert len(failures([good, bad], [bad])) == 2
