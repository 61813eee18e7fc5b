"""Plays two equal shops that differ in the action of one day, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from training.simulation.shop.world import ShopWorld


def both_branches(action, at, days, customers, seed):
    """Show an action to all who may be shown it on one day of one of two equal worlds.

    Returns the customers, their expected values, and for each branch and day the margin less cost,
    shape (2, days, n), and who is still alive, of the same shape.
    """
    margin = np.zeros((2, days, customers))
    alive = np.zeros((2, days, customers), bool)
    for branch in (0, 1):
        world = ShopWorld(customers, seed, days)
        for day in range(days):
            arrivals = world.begin_day()
            actions = np.zeros(len(arrivals.customer), np.int64)
            if day == at:
                free = arrivals.allowed[:, action]
                customer, expected = arrivals.customer[free], world.expected()[free, action]
                actions = np.where(free, action * branch, 0)
            world.act(actions)
            left = world.end_day()
            back = world._back
            change = left.astype(float) - back
            margin[branch, day] = world.value_of_day() + change * world.lost_eur
            alive[branch, day] = world.state.alive
    lost = world.lost_eur[customer]
    return customer, expected, margin[:, :, customer], alive[:, :, customer], lost
