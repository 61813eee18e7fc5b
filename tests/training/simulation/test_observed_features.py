"""Tests that the features show a part of the truth."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.simulation.play import uniform_action
from training.simulation.actions import (
    PROMOTIONS,
)
from training.simulation.observed_features import FEATURES, lost_eur
from training.simulation.world import World


def test_features_explain_a_part_of_the_true_values_but_not_all():
    world = World(8_000, 4, 12)
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


def test_a_customer_who_has_not_arrived_has_no_channel_and_no_page():
    world = World(50, 1, 3)
    world.begin_day()
    found = world.known(np.arange(50))
    assert found.shape == (50, len(FEATURES))
    on_arrival = [name.startswith(("page_", "channel_")) for name in FEATURES]
    assert (found[:, on_arrival] == 0).all()


def test_the_loss_is_the_margin_of_a_year():
    world = World(50, 1, 3)
    arrivals = world.begin_day()
    expected = world.traits.lost_eur[arrivals.customer]
    assert lost_eur(arrivals.contexts) == pytest.approx(expected)
