"""Plays a policy in a simulated world.

    world = TELEPHONE.make_world(500, 7, 30)
    result = run_policy(TELEPHONE, RandomPolicy(), world, seed=7)
    result.value_of_customer_eur.mean()

The world applies eligibility and contact policy to all policies alike; a policy chooses among the
allowed actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from features.progress import Progress, quiet
from training.arrays import Bools, Floats, Ints
from training.simulation.business import (
    ActionOutcomes,
    Arrivals,
    SimulatedBusiness,
    SimulatedWorld,
)
from training.simulation.contact_caps import cap_violations


class Policy(Protocol):
    """A policy that can be played in a simulated world.

    A policy that needs the events or the truth of its world keeps the world: the events before the
    decisions (`SimulatedWorld.events`) are read in `choose`, the later ones in `end_day`.
    """

    @property
    def name(self) -> str:
        """Name for tables."""
        ...

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """Choose an allowed action for each of today's arrivals, shape (n,).

        Parameters
        ----------
        uniform : shape (n,)
            Random numbers to draw with, the same for all policies.
        """
        ...

    def end_day(self, actions: Ints, outcomes: ActionOutcomes) -> None:
        """Learn, once the day has ended; of the outcomes only those that are due may be read."""
        ...


@dataclass(frozen=True)
class RunResult:
    """The value that a policy earned in one world, and the customers who left.

    Attributes
    ----------
    value_eur : shape (n_days,)
        `SimulatedWorld.value_of_day` of all customers, by the day on which it happened.
    lost : shape (n_days,)
        Number of customers who left on each day, less those who came back.
    value_of_customer_eur : shape (n_customers,)
        The same value by customer.
    late_value_of_customer_eur : shape (n_customers,)
        The same of the last third of the days.
    left : shape (n_customers,)
        True for customers who have left by the end.
    shown : shape (K,)
        Number of decisions for each action.
    cap_violations : int
        Number of windows in which a cap was exceeded.
    """

    name: str
    value_eur: Floats
    lost: Ints
    value_of_customer_eur: Floats
    late_value_of_customer_eur: Floats
    left: Bools
    shown: Ints
    cap_violations: int


def run_policy(
    business: SimulatedBusiness,
    policy: Policy,
    world: SimulatedWorld,
    seed: int,
    progress: Progress = quiet,
) -> RunResult:
    """Let a policy decide on all days of a new world.

    Parameters
    ----------
    seed : int
        Seed of the random numbers that the policy draws with.
    progress
        Is called after each day.
    """
    n_customers, k = len(world.arrived_at), len(business.actions)
    value, late = np.zeros(n_customers), np.zeros(n_customers)
    by_day, lost = np.zeros(world.days), np.zeros(world.days, dtype=np.int64)
    shown, gone = np.zeros(k, dtype=np.int64), 0
    for day in range(world.days):
        arrivals = world.begin_day()
        uniform = np.random.default_rng([seed, 2, day]).random(n_customers)
        actions = policy.choose(arrivals, uniform[arrivals.customer])
        outcomes = world.act(actions)
        world.end_day()
        policy.end_day(actions, outcomes)
        change = world.value_of_day()
        value += change
        late += change * (day >= world.days - world.days // 3)
        by_day[day], lost[day] = change.sum(), world.gone.sum() - gone
        gone += lost[day]
        shown += np.bincount(actions, minlength=k)
        progress(policy.name, day + 1, world.days)
    violations = cap_violations(
        world.shown, world.shown_on, business.caps, business.names, business.channels
    )
    return RunResult(policy.name, by_day, lost, value, late, world.gone, shown, violations)
