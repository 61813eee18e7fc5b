"""Tests the true chances of the shop."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.shop.actions import FLASH_DAYS, FLASH_SALE, MEAN_DAYS, NAMES, K
from training.simulation.shop.shopper_state import (
    GOODWILL_RECOVERY,
    PROBLEM_END,
    PROBLEM_GOODWILL,
    REGRET,
    REGRET_AFTER_DAYS,
)
from training.simulation.shop.true_effects import (
    USUAL_LAPSE,
    effect_durations,
    effect_lasts,
    lapse_probability,
    largest_discount,
    margin_of_order,
    order_harm,
    problem_harm,
    regret_by_day,
    return_factor,
)


@pytest.mark.parametrize("action", range(1, K), ids=lambda index: NAMES[index])
def test_durations_are_drawn_as_the_truth_says(action):
    uniform = (np.arange(20_000) + 0.5) / 20_000
    drawn = effect_durations(uniform, np.full(20_000, action))
    assert drawn.min() >= 1 and drawn.mean() == pytest.approx(MEAN_DAYS[action], rel=0.02)
    for after in range(12):
        assert effect_lasts(after)[action] == pytest.approx((drawn > after).mean(), abs=0.002)
    if action == FLASH_SALE:
        assert (drawn.min(), drawn.max()) == FLASH_DAYS


def test_regret_comes_after_the_pleasure():
    lost = regret_by_day()
    assert lost.sum() == pytest.approx(REGRET)
    first = FLASH_DAYS[0] + REGRET_AFTER_DAYS[0]
    assert (lost[:first] == 0).all() and lost[first] > 0 and lost[-1] > 0
    rng = np.random.default_rng(1)
    days = rng.integers(FLASH_DAYS[0], FLASH_DAYS[1] + 1, 40_000)
    days += rng.integers(REGRET_AFTER_DAYS[0], REGRET_AFTER_DAYS[1] + 1, 40_000)
    assert np.bincount(days) * REGRET / 40_000 == pytest.approx(lost, abs=0.006)


def test_the_harm_of_a_problem_is_that_of_simulated_problems():
    rng, days, n = np.random.default_rng(1), 40, 40_000
    goodwill, is_open, alive = np.zeros(n), np.ones(n, bool), np.ones(n, bool)
    found = []
    for _ in range(days):
        found.append(np.exp(-goodwill[alive]).mean() - 1)
        alive &= rng.random(n) >= np.minimum(USUAL_LAPSE * np.exp(-goodwill), 1)
        goodwill *= 1 - GOODWILL_RECOVERY
        goodwill -= PROBLEM_GOODWILL * is_open
        is_open &= rng.random(n) >= PROBLEM_END
    assert problem_harm(days) == pytest.approx(np.array(found), rel=0.06, abs=0.02)
    assert order_harm(days)[0][-1] == pytest.approx(0.12 * problem_harm(days).sum())


def test_the_margin_of_an_order_is_the_mean_over_its_returns():
    """Of 100 euro less 10: 20 stay, less what is paid back and the cost of the return."""
    one = np.ones(1)
    assert margin_of_order(100 * one, 0.1 * one, 0 * one) == pytest.approx(20)
    back = margin_of_order(100 * one, 0.1 * one, one)
    assert back == pytest.approx(20 - 0.3 * 0.65 * 90 - 3.5)


def test_effects_count_by_their_strength_and_discounts_only_where_clicked():
    running = np.zeros((3, K))
    running[0, NAMES.index("ten_percent")] = 1
    running[1, NAMES.index("ten_percent")] = 0.3
    running[2, NAMES.index("size_advice")] = 0.5
    assert largest_discount(running).tolist() == [0.10, 0, 0]
    assert return_factor(running) == pytest.approx([1, 1, 1 - 0.5 * 0.55])


def test_customers_lapse_by_lost_goodwill_and_by_irritation():
    usual = lapse_probability(np.array([-6.0]), np.zeros(1), np.zeros(1))[0]
    assert usual == pytest.approx(np.exp(-6))
    assert lapse_probability(np.array([-6.0]), np.array([-1.0]), np.zeros(1))[0] > 2 * usual
    assert lapse_probability(np.array([-6.0]), np.zeros(1), np.ones(1))[0] > 1.1 * usual
    assert lapse_probability(np.array([3.0]), np.zeros(1), np.zeros(1))[0] == 0.25
