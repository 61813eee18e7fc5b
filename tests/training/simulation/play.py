"""Plays a world with simple choices, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from training.simulation.telephone.world import TelephoneWorld


def no_action(arrivals):
    return np.zeros(len(arrivals.customer), dtype=np.int64)


def uniform_action(arrivals, rng):
    """One of the allowed actions of each arrival, at random."""
    draw = rng.random(arrivals.allowed.shape)
    draw[~arrivals.allowed] = -1
    return draw.argmax(axis=1)


def play(seed, days, choose=no_action, customers=300):
    """A world after some days of these choices."""
    world = TelephoneWorld(customers, seed, days)
    for _ in range(days):
        world.act(choose(world.begin_day()))
        world.end_day()
    return world
