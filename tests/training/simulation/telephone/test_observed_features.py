"""Tests that the features show a part of the truth."""

from __future__ import annotations

import numpy as np

from tests.training.simulation.play import uniform_action
from training.simulation.telephone.actions import (
    PROMOTIONS,
)
from training.simulation.telephone.observed_features import FEATURES
from training.simulation.telephone.world import TelephoneWorld


def test_features_explain_a_part_of_the_true_values_but_not_all():
    world = TelephoneWorld(8_000, 4, 12)
    for _ in range(12):
        arrivals = world.begin_day()
        if world.day < 11:
            world.act(uniform_action(arrivals, np.random.default_rng(world.day)))
            world.end_day()
    expected = world.expected()
    table = np.column_stack([np.ones(len(arrivals.customer)), arrivals.contexts])
    for index in np.flatnonzero(PROMOTIONS):
        predicted = table @ np.linalg.lstsq(table, expected[:, index], rcond=None)[0]
        explained = 1 - np.var(expected[:, index] - predicted) / np.var(expected[:, index])
        assert 0.2 < explained < 0.95
    assert arrivals.contexts.shape == (len(arrivals.customer), len(FEATURES))
    assert np.isfinite(arrivals.contexts).all()
