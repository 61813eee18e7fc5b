"""Tests what contacts and orders do to the state of the shop's customers."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.business import Arrivals
from training.simulation.due_events import DueEvents
from training.simulation.shop.actions import APOLOGY, EMAIL, FLASH_SALE, TEN_PERCENT, K
from training.simulation.shop.days import click, order_today, stop_mailing
from training.simulation.shop.shopper_state import initial_shop_state
from training.simulation.shop.shoppers import draw_shoppers
from training.simulation.shop.world import MARGIN_SHARES

N = 6


def start():
    traits = draw_shoppers(N, np.random.default_rng(2))
    state = initial_shop_state(traits, 60, np.random.default_rng(3))
    whole = np.arange(N)
    arrivals = Arrivals(whole, np.full(N, EMAIL), np.zeros((N, 1)), np.ones((N, K), bool))
    return traits, state, arrivals


def test_a_click_makes_an_effect_stronger_and_a_flash_sale_brings_regret():
    traits, state, arrivals = start()
    actions = np.array([0, FLASH_SALE, FLASH_SALE, TEN_PERCENT, APOLOGY, APOLOGY])
    state.problem[4:] = state.complained[4:] = True
    goodwill = state.goodwill.copy()
    clicked = np.array([False, True, False, True, True, False])
    click(state, traits, arrivals, actions, clicked, 2, np.full((2, N), 0.5))
    assert state.strength[[1, 2, 3], actions[1:4]].tolist() == [1, 0.3, 1]
    assert state.running_days[1, FLASH_SALE] == 7
    assert (np.flatnonzero(state.shocks[1]).tolist(), state.shocks[1].sum()) == ([2 + 7 + 17], 1.5)
    assert state.shocks[2].sum() == pytest.approx(1.5 * 0.3) and state.shocks[3:].sum() == 0
    assert state.problem.tolist() == [False] * 5 + [True]
    assert state.goodwill[4] == goodwill[4] + 1 and state.goodwill[5] == goodwill[5]
    assert state.irritation[0].sum() == 0 and (state.irritation[1:, EMAIL] > 0).all()
    assert state.mails.tolist() == [0, 1, 1, 1, 1, 1] and state.clicks.sum() == 3


def test_an_effect_that_runs_is_not_weakened_by_showing_it_again():
    traits, state, arrivals = start()
    state.strength[:, TEN_PERCENT], state.running_days[:, TEN_PERCENT] = 1, 9
    actions = np.full(N, TEN_PERCENT)
    click(state, traits, arrivals, actions, np.zeros(N, bool), 2, np.full((2, N), 0.1))
    assert (state.running[:, TEN_PERCENT] == 1).all()
    assert (state.running_days[:, TEN_PERCENT] == 9).all()


def test_irritated_customers_withdraw_their_consent_sooner():
    _, state, arrivals = start()
    state.irritation[:3, EMAIL] = 4
    stopped = stop_mailing(state, arrivals, np.ones(N, np.int64), np.full(N, 0.01))
    assert stopped.tolist() == [0, 1, 2] and state.unsubscribed.tolist() == [True] * 3 + [False] * 3
    assert not len(stop_mailing(state, arrivals, np.zeros(N, np.int64), np.zeros(N)))


def test_an_order_pays_less_with_a_discount_and_may_come_back():
    traits, state, _ = start()
    state.strength[0, TEN_PERCENT], state.running_days[0, TEN_PERCENT] = 1, 5
    goodwill, due = state.goodwill.copy(), DueEvents(N, MARGIN_SHARES)
    uniform = np.tile([[0.0], [0.0], [0.5], [0.5], [1.0], [0.0]], 2)
    order_today(state, traits, np.arange(2), np.zeros(2, int), uniform, np.zeros(2), 7, due)
    orders = [event.properties for event in due.events(7, ("app", "web", "email"))]
    listed = traits.amount_eur[:2] * np.exp(-0.125)
    assert orders[0]["amount_eur"] == pytest.approx(0.9 * listed[0], abs=0.01)
    assert orders[0]["discount_eur"] == pytest.approx(0.1 * listed[0], abs=0.01)
    assert orders[1] == {"amount_eur": round(listed[1], 2), "discount_eur": 0}
    back = due.events(7 + 9, ("app", "web", "email"))
    assert back[1].properties["amount_eur"] == pytest.approx(0.65 * listed[1], abs=0.01)
    assert (goodwill - state.goodwill)[:2] == pytest.approx([0.3, 0.3])
    assert state.waiting[:2] == pytest.approx([0.25, 0]) and not state.problem.any()
    assert state.last_order[:2].tolist() == [7, 7] and state.discounted[:2].tolist() == [1, 0]
