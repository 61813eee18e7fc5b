"""The value of customers in a world in which everybody is in one arm of the experiment."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from serving.simulation.served_business import served_business
from serving.simulation.served_policy import ServedPolicy
from training.arrays import Floats
from training.simulation.baselines import RandomPolicy
from training.simulation.business import SimulatedBusiness


def values_alone(
    business: SimulatedBusiness, customers: int, days: int, seed: int, arm: str
) -> Floats:
    """Play a world in which everybody is in one arm, and return the value by customer and day.

    In ``nobody`` the served classes decide, in this process, so that only actions of service are
    shown, by the service's own rules. In ``random`` actions are drawn evenly from the allowed ones,
    as the service draws them. Random numbers of the world are those of every world of the seed
    (common random numbers).

    Returns
    -------
    shape (n_customers, n_days)
    """
    world = business.make_world(customers, seed, days)
    value = np.zeros((customers, days))
    with ExitStack() as stack:
        policy: RandomPolicy | ServedPolicy = RandomPolicy()
        if arm == "nobody":
            served = stack.enter_context(served_business(business, world, seed, nobody=True))
            policy = ServedPolicy(arm, served, world)
        for day in range(days):
            arrivals = world.begin_day()
            uniform = np.random.default_rng([seed, 2, day]).random(customers)
            actions = policy.choose(arrivals, uniform[arrivals.customer])
            outcomes = world.act(actions)
            world.end_day()
            policy.end_day(actions, outcomes)
            value[:, day] = world.value_of_day()
    return value
