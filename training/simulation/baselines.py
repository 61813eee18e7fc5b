"""Policies to compare with: nobody, random, a fixed action, lists of rules, and the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.progress import Progress, quiet
from training.arrays import Floats, Ints
from training.simulation.business import (
    ActionOutcomes,
    Arrivals,
    Rule,
    SimulatedBusiness,
    SimulatedWorld,
)
from training.simulation.draws import sample_categorical
from training.simulation.rollout import run_policy

BASELINES = ("nobody", "random", "fixed", "rules", "oracle")
CHOSEN = ("fixed", "rules")  # in pilot worlds, of which no results are reported
PILOT_SEED = 1_000_003  # of the first pilot world
PILOT_WORLDS = 2
PILOT_CUSTOMERS = 4_000


@dataclass(frozen=True)
class RandomPolicy:
    """Chooses uniformly among the allowed actions."""

    name: str = "random"

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`."""
        allowed = arrivals.allowed
        return sample_categorical(allowed / allowed.sum(axis=1, keepdims=True), uniform)

    def end_day(self, actions: Ints, outcomes: ActionOutcomes) -> None:
        """Learn nothing."""


@dataclass(frozen=True)
class FixedPolicy(RandomPolicy):
    """Chooses one action, by its index, whenever it is allowed, else `no_action`."""

    action: int = 0

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`."""
        return np.where(arrivals.allowed[:, self.action], self.action, 0)


@dataclass(frozen=True)
class RulesPolicy(RandomPolicy):
    """Chooses by the first rule that holds and whose action is allowed, else `no_action`."""

    rules: tuple[Rule, ...] = ()
    features: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`."""
        actions = np.zeros(len(arrivals.customer), dtype=np.int64)
        undecided = np.ones(len(actions), dtype=np.bool_)
        for rule in self.rules:
            index = self.names.index(rule.action)
            value = arrivals.contexts[:, self.features.index(rule.feature)]
            holds = undecided & arrivals.allowed[:, index] & (value > rule.threshold)
            actions[holds], undecided = index, undecided & ~holds
        return actions


@dataclass(frozen=True)
class OraclePolicy(RandomPolicy):
    """Chooses the allowed action with the highest true expected value."""

    name: str = "oracle"
    world: SimulatedWorld | None = None

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """See `rollout.Policy`; reads the truth of its world."""
        assert self.world is not None
        best: Ints = np.where(arrivals.allowed, self.world.expected(), -np.inf).argmax(axis=1)
        return best


def fixed_policies(business: SimulatedBusiness) -> list[RandomPolicy]:
    """Make a policy for each action but `no_action`."""
    return [
        FixedPolicy(f"always {name}", index) for index, name in enumerate(business.names) if index
    ]


def rules_policies(business: SimulatedBusiness) -> list[RandomPolicy]:
    """Make a policy for each list of rules."""
    return [
        RulesPolicy(f"rules: {name}", rules, business.features, business.names)
        for name, rules in business.rules.items()
    ]


def baseline(
    name: str,
    business: SimulatedBusiness,
    customers: int,
    days: int,
    progress: Progress = quiet,
) -> RandomPolicy:
    """Make a baseline by its name in `BASELINES`; the oracle still needs its world.

    ``fixed`` and ``rules`` are the action and the list of rules that earn most in pilot worlds of
    other seeds.
    """
    if name in CHOSEN:
        candidates = (fixed_policies if name == "fixed" else rules_policies)(business)
        return best_in_pilot(business, candidates, customers, days, progress)
    return {
        "nobody": FixedPolicy("nobody"),
        "random": RandomPolicy(),
        "oracle": OraclePolicy(),
    }[name]


def pilot_seeds() -> range:
    """Return the seeds of the pilot worlds."""
    return range(PILOT_SEED, PILOT_SEED + PILOT_WORLDS)


def best_in_pilot(
    business: SimulatedBusiness,
    candidates: Sequence[RandomPolicy],
    customers: int,
    days: int,
    progress: Progress = quiet,
) -> RandomPolicy:
    """Return the candidate with the highest value in the pilot worlds."""
    values = []
    for number, policy in enumerate(candidates):
        means = []
        for seed in pilot_seeds():
            world = business.make_world(min(customers, PILOT_CUSTOMERS), seed, days)
            run = run_policy(business, policy, world, seed)
            means.append(run.value_of_customer_eur.mean())
        values.append(float(np.mean(means)))
        kind = policy.name.split(":")[0].split(" ")[0]
        progress(f"pilot {business.name} {kind}", number + 1, len(candidates))
    return candidates[values.index(max(values))]
