"""The value of customers in a world in which everybody is in one arm of the experiment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints
from training.simulation.baselines import RandomPolicy
from training.simulation.business import Arrivals, SimulatedBusiness


@dataclass(frozen=True)
class ServicePolicy(RandomPolicy):
    """Chooses the allowed action of ``kind: service`` that is worth most, else `no_action`.

    Attributes
    ----------
    service : shape (K,)
        True for actions that the arm ``nobody`` may show.
    """

    service: tuple[bool, ...] = ()
    worth: tuple[float, ...] = ()

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`."""
        allowed = arrivals.allowed & np.array(self.service)
        best: Ints = np.where(allowed, np.array(self.worth), -np.inf).argmax(axis=1)
        return np.where(allowed.any(axis=1), best, 0)


def values_alone(
    business: SimulatedBusiness, customers: int, days: int, seed: int, arm: str
) -> Floats:
    """Play a world in which everybody is in one arm, and return the value by customer and day.

    Random numbers are those of every world of the seed (common random numbers).

    Returns
    -------
    shape (n_customers, n_days)
    """
    policy = _policy(business, arm)
    world = business.make_world(customers, seed, days)
    value = np.zeros((customers, days))
    for day in range(days):
        arrivals = world.begin_day()
        uniform = np.random.default_rng([seed, 2, day]).random(customers)
        actions = policy.choose(arrivals, uniform[arrivals.customer])
        policy.end_day(actions, world.act(actions))
        world.end_day()
        value[:, day] = world.value_of_day()
    return value


def _policy(business: SimulatedBusiness, arm: str) -> RandomPolicy:
    if arm == "random":
        return RandomPolicy()
    worth = tuple(action.value_eur - action.cost_eur for action in business.actions)
    service = tuple(action.kind == "service" for action in business.actions)
    return ServicePolicy("nobody", service, worth)
