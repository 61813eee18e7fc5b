"""Tests how the state of the shop's customers changes from day to day."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.shop.shopper_state import (
    IRRITATION_KEPT,
    advance_shop_day,
    initial_shop_state,
)
from training.simulation.shop.shoppers import draw_shoppers


def quiet(n=50, days=10):
    """Customers at rest, and uniform numbers at which nothing begins or ends."""
    traits = draw_shoppers(n, np.random.default_rng(2))
    state = initial_shop_state(traits, days, np.random.default_rng(3))
    state.goodwill[:] = traits.goodwill
    return traits, state, np.ones((2, n))


def test_at_rest_only_the_wish_to_buy_grows():
    traits, state, nothing = quiet()
    before = state.hunger.copy()
    advance_shop_day(state, traits, 1, nothing)
    assert state.hunger == pytest.approx(before + 0.1 * (1 - before))
    assert state.goodwill == pytest.approx(traits.goodwill)


def test_irritation_fades_slowest_on_email():
    traits, state, nothing = quiet()
    state.irritation[:] = 1
    advance_shop_day(state, traits, 1, nothing)
    assert state.irritation[0] == pytest.approx(IRRITATION_KEPT)
    assert state.irritation[0].argmax() == 2


def test_regret_comes_on_its_day_and_is_forgotten_slowly():
    traits, state, nothing = quiet()
    state.shocks[:, 3] = 1.5
    lost = []
    for day in range(1, 6):
        advance_shop_day(state, traits, day, nothing)
        lost.append((traits.goodwill - state.goodwill)[0])
    assert lost == pytest.approx([0, 0, 1.5, 1.5 * 0.97, 1.5 * 0.97**2])


def test_effects_run_out_and_problems_end_with_their_complaints():
    traits, state, nothing = quiet()
    state.running_days[:, 1], state.strength[:, 1] = 2, 0.3
    state.problem[:] = True
    advance_shop_day(state, traits, 1, np.zeros((2, 50)) + [[1.0], [0.0]])
    assert state.complained.all() and (state.running[:, 1] == 0.3).all()
    advance_shop_day(state, traits, 2, np.zeros((2, 50)))
    assert not state.problem.any() and not state.complained.any()
    assert (state.running == 0).all()
