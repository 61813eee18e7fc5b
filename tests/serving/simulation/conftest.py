"""A small telephone company, played by the served classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from serving.simulation.served_business import ServedBusiness, served_business
from serving.simulation.served_policy import ServedPolicy
from training.arrays import Ints
from training.simulation.business import ActionOutcomes, SimulatedWorld
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import RunResult, run_policy

CUSTOMERS, DAYS, SEED = 120, 6, 4


class Played(NamedTuple):
    """A run whose ledger is still open, and the outcomes of each day as the policy got them.

    Customers, actions shown to them, and what followed; a third of the acceptances is returned.
    """

    served: ServedBusiness
    policy: ServedPolicy
    world: SimulatedWorld
    run: RunResult
    drawn: list[tuple[Ints, Ints, ActionOutcomes]]


@pytest.fixture(scope="session")
def played() -> Iterator[Played]:
    world = TELEPHONE.make_world(CUSTOMERS, SEED, DAYS)
    arms = {"random": 0.2, "nobody": 0.2}
    act, drawn = world.act, list[tuple[Ints, Ints, ActionOutcomes]]()

    def noted(actions: Ints) -> ActionOutcomes:
        outcomes = act(actions)
        soon = outcomes.accepted & (np.arange(len(actions)) % 3 == 0)
        # The world itself returns nothing within so few days.
        returned = outcomes.accepted_after_days + 1
        returned = np.where(soon, returned, outcomes.returned_after_days)
        outcomes = replace(outcomes, returned_after_days=returned)
        drawn.append((world._arrivals.customer, actions, outcomes))  # type: ignore[attr-defined]
        return outcomes

    world.act = noted  # type: ignore[method-assign]
    with served_business(TELEPHONE, world, SEED, arms=arms) as served:
        policy = ServedPolicy("served", served, world)
        run = run_policy(TELEPHONE, policy, world, SEED)
        yield Played(served, policy, world, run, drawn)
