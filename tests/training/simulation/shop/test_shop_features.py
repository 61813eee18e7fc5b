"""Tests that the shop's features show a part of the truth."""

from __future__ import annotations

import numpy as np

from tests.training.simulation.play import uniform_action
from training.simulation.shop.actions import EMAIL, NAMES
from training.simulation.shop.shop_features import FEATURES
from training.simulation.shop.world import ShopWorld


def test_features_explain_a_part_of_the_true_values_but_not_all():
    world, rng = ShopWorld(5_000, 4, 20), np.random.default_rng(1)
    for _ in range(19):
        world.act(uniform_action(world.begin_day(), rng))
        world.end_day()
    arrivals = world.begin_day()
    contexts, expected = arrivals.contexts, world.expected()
    assert contexts.shape == (len(arrivals.customer), len(FEATURES))
    assert np.isfinite(contexts).all()
    lines = [name.startswith("line_") for name in FEATURES]
    assert (contexts[:, lines].sum(axis=1) == (arrivals.channel != EMAIL)).all()
    table = np.column_stack([np.ones(len(contexts)), contexts])
    for name in ("matching_items", "ten_percent", "size_advice"):
        truth = expected[:, NAMES.index(name)]
        rest = truth - table @ np.linalg.lstsq(table, truth, rcond=None)[0]
        assert 0.05 < 1 - np.var(rest) / np.var(truth) < 0.95, name
