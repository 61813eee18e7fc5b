"""Tests how the customers' states change from day to day."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.simulation.play import no_action
from training.simulation.telephone.customer_state import churn_probability
from training.simulation.telephone.world import TelephoneWorld


def test_contacts_add_fatigue_and_it_decays():
    world = TelephoneWorld(200, 6, 20)
    for _ in range(6):
        arrivals = world.begin_day()
        world.act(np.where(arrivals.allowed[:, 1], 1, 0))
    shown = (world.shown > 0).sum(axis=1)
    fatigue = world.state.fatigue.copy()
    assert (fatigue[shown >= 2] > 0.5).mean() > 0.9 and (fatigue[shown == 0] == 0).all()
    for _ in range(14):
        world.act(no_action(world.begin_day()))
    assert (world.state.fatigue <= 0.11 * fatigue + 1e-12).all()


@pytest.mark.parametrize(("problem", "price", "held"), [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_problems_and_high_prices_raise_churn_and_a_discount_lowers_it(problem, price, held):
    def churn(*flags):
        rest = (np.array([float(flag)]) for flag in flags)
        return float(churn_probability(np.array([-6.0]), np.zeros(1), np.zeros(1), *rest)[0])

    usual = churn(0, 0, 0)
    assert usual == pytest.approx(1 / (1 + np.exp(6.0)))
    assert (churn(problem, price, held) > usual) == (held == 0)
    half = churn(problem / 2, price / 2, held / 2)
    assert half == pytest.approx((usual + churn(problem, price, held)) / 2)
