"""Tests the actions of the shop."""

from __future__ import annotations

import numpy as np

from training.simulation.shop.actions import (
    ACTIONS,
    CAPS,
    FLASH_SALE,
    IRRITATION,
    NAMES,
    PROMOTIONS,
)


def test_every_action_but_no_action_irritates_and_costs():
    assert IRRITATION[0] == 0 and (IRRITATION[1:] > 0).all()
    assert all(action.cost_eur > 0 for action in ACTIONS[1:]) and ACTIONS[0].cost_eur == 0


def test_caps_name_actions_of_the_shop():
    assert all(set(cap.actions) <= set(NAMES[1:]) for cap in CAPS)


def test_the_poison_is_the_action_that_is_clicked_most_among_promotions():
    clicks = np.array([action.click_logit for action in ACTIONS])
    assert clicks[PROMOTIONS].argmax() == np.flatnonzero(PROMOTIONS).tolist().index(FLASH_SALE)
