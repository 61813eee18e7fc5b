"""A small telephone company, played by the served classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from serving.simulation.served_business import ServedBusiness, served_business
from serving.simulation.served_policy import ServedPolicy
from training.simulation.business import SimulatedWorld
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import RunResult, run_policy

CUSTOMERS, DAYS, SEED = 120, 6, 4


class Played(NamedTuple):
    """A run whose ledger is still open."""

    served: ServedBusiness
    policy: ServedPolicy
    world: SimulatedWorld
    run: RunResult


@pytest.fixture(scope="session")
def played() -> Iterator[Played]:
    world = TELEPHONE.make_world(CUSTOMERS, SEED, DAYS)
    arms = {"random": 0.2, "nobody": 0.2}
    with served_business(TELEPHONE, world, SEED, arms=arms) as served:
        policy = ServedPolicy("served", served, world)
        run = run_policy(TELEPHONE, policy, world, SEED)
        yield Played(served, policy, world, run)
