"""Tests the true effects of actions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.simulation.play import no_action
from training.simulation.telephone.actions import (
    NAMES,
    K,
)
from training.simulation.telephone.world import TelephoneWorld


@pytest.mark.slow
@pytest.mark.parametrize("action", ["more_data", "price_cut", "call_back", "how_to"])
def test_the_expected_value_is_the_mean_value_of_showing_the_action(action):
    """In one of two equal worlds, all customers who may be are shown the action on one day."""
    index, days, customers = NAMES.index(action), 50, 12_000
    value = np.zeros((2, customers))
    for arm in (0, 1):
        world = TelephoneWorld(customers, 5, days)
        for day in range(days):
            arrivals = world.begin_day()
            actions = no_action(arrivals)
            if day == 4:
                expected = world.expected()[:, index] * arrivals.allowed[:, index]
                customer = arrivals.customer
                actions = np.where(arrivals.allowed[:, index], index * arm, 0)
            world.act(actions)
            world.end_day()
            value[arm] += world.value_of_day()
    gain = (value[1] - value[0])[customer]
    error = gain.std() / np.sqrt(len(gain))
    # The mean path is not the mean over paths: a tenth of the value is allowed for that.
    assert gain.mean() == pytest.approx(expected.mean(), abs=3 * error + 0.1 * abs(expected.mean()))
    assert abs(expected.mean()) > 2 * error or action == "how_to"  # the test can fail


def test_no_action_has_value_0_and_each_action_is_best_for_some_customers():
    world = TelephoneWorld(3_000, 2, 10)
    best = np.zeros(K)
    for _ in range(10):
        arrivals = world.begin_day()
        expected = world.expected()
        assert (expected[:, 0] == 0).all()
        choice = np.where(arrivals.allowed, expected, -np.inf).argmax(axis=1)
        best += np.bincount(choice, minlength=K)
        world.act(no_action(arrivals))
        world.end_day()
    share = best / best.sum()
    assert share.min() > 0.003 and share.max() < 0.8


def test_a_promotion_lowers_satisfaction_during_an_unreported_problem():
    world = TelephoneWorld(3_000, 9, 5)
    arrivals = world.begin_day()
    silent = world.state.problem[arrivals.customer] & ~world.state.problem_open[arrivals.customer]
    before = world.state.satisfaction[arrivals.customer].copy()
    outcomes = world.act(np.where(arrivals.allowed[:, 1], 1, 0))
    change = world.state.satisfaction[arrivals.customer] - before
    shown = arrivals.allowed[:, 1] & ~outcomes.accepted
    assert silent.sum() > 20
    assert change[silent & shown] == pytest.approx(-0.5)
    assert (change[~silent & shown & ~world.state.problem[arrivals.customer]] > -0.1).all()
