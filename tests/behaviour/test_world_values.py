"""The value that a simulated world counts is that which the ledger sums by the objective."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from features.rewards.customer_values import customer_values
from features.rewards.reward_steps import RewardRules
from serving.simulation.served_business import BEGIN, served_business
from serving.simulation.served_policy import ServedPolicy
from tests.summed import sum_all
from training.simulation.businesses import BUSINESSES

CUSTOMERS, DAYS, SEED = 50, 30, 3


class Counted(ServedPolicy):
    """The served classes; adds up the world's value of each customer since it was met."""

    def __init__(self, *given):
        super().__init__(*given)
        self.met = np.zeros(CUSTOMERS, bool)
        self.value = np.zeros(CUSTOMERS)

    def end_day(self, actions, outcomes):
        super().end_day(actions, outcomes)
        self.met[self._world._arrivals.customer] = True
        self.value += self._world.value_of_day() * self.met


@pytest.mark.slow
@pytest.mark.parametrize("business", BUSINESSES.values(), ids=lambda one: one.name)
def test_the_ledger_sums_what_the_world_counts(business):
    world = business.make_world(CUSTOMERS, SEED, DAYS)
    with served_business(business, world, SEED, arms={"random": 0.5, "nobody": 0.1}) as served:
        policy = Counted("served", served, world)
        for _ in range(DAYS):
            arrivals = world.begin_day()
            actions = policy.choose(arrivals, np.zeros(len(arrivals.customer)))
            outcomes = world.act(actions)
            world.end_day()
            policy.end_day(actions, outcomes)
        sum_all(served.ledger, RewardRules.of(served.catalog, served.domain))
        now = BEGIN + timedelta(days=DAYS, minutes=-1)
        found = customer_values(served.ledger, served.domain, served.catalog, now)
        in_ledger = dict(zip(found.customers, found.values().tolist(), strict=True))
    expected = {business.customer_id(one): policy.value[one] for one in np.flatnonzero(policy.met)}
    assert in_ledger == pytest.approx(expected, abs=1e-6)
    assert world.gone.any() and policy.value.min() < 0 < policy.value.max()
