"""Plays a policy in a simulated world: it decides each day, and gets feedback with a delay.

    result = run_policy(lambda world: RandomPolicy(), World(customers=500, seed=7, days=30), seed=7)
    result.value_of_customer_eur.mean()

The world applies eligibility and contact policy to all policies alike; a policy chooses among the
allowed actions. It gets feedback on the decisions of each day several times, at the ages
`FEEDBACK_AGES_DAYS`, because acceptances come late, some are returned, and some customers leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Bools, Floats, Ints
from training.simulation.actions import K, cap_violations
from training.simulation.customer_state import sample_categorical
from training.simulation.world import ActionOutcomes, Arrivals, World

FEEDBACK_AGES_DAYS = (1, 3, 7, 14, 21)  # after a decision; by the last, all outcomes are known
CHURN_ATTRIBUTION_DAYS = 14  # a customer who leaves later is no outcome of the decision


@dataclass(frozen=True)
class DayFeedback:
    """Outcomes of all decisions of a day, as known some days later; row i is one decision.

    Attributes
    ----------
    day, age_days : int
        Day of the decisions, and days since then.
    contexts : shape (n, n_features)
        Features at the time of the decision.
    actions : shape (n,)
    accepted : shape (n,)
        True if an acceptance is known by now.
    earned_eur : shape (n,)
        Value accepted and not returned so far, less the cost.
    left : shape (n,)
        True if the customer has left since, within `CHURN_ATTRIBUTION_DAYS`.
    lost_eur : shape (n,)
        Loss if the customer leaves.
    now : shape (n, n_features)
        Features of the same customers at the end of today; of customers who left, their last ones.
    """

    day: int
    age_days: int
    contexts: Floats
    actions: Ints
    accepted: Bools
    earned_eur: Floats
    left: Bools
    lost_eur: Floats
    now: Floats


class Policy(Protocol):
    """A policy that can be played in a simulated world."""

    @property
    def name(self) -> str:
        """Name for tables."""
        ...

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """Compute the probability of each action, shape (n, K).

        Each row sums to 1 and is 0 for actions that are not allowed.

        Parameters
        ----------
        contexts : shape (n, n_features)
        allowed : shape (n, K)
        """
        ...

    def learn(self, feedback: Sequence[DayFeedback]) -> None:
        """Learn from the feedback of today, which may be empty."""
        ...


@dataclass(frozen=True)
class RunResult:
    """The value that a policy earned in one world, and the customers who left.

    Attributes
    ----------
    value_eur : shape (n_days,)
        Sales that were not returned, less costs, of the day's decisions, less the loss of the
        customers who left on the day.
    lost : shape (n_days,)
        Number of customers who left on each day.
    value_of_customer_eur : shape (n_customers,)
        The same value by customer.
    late_value_of_customer_eur : shape (n_customers,)
        The same of the last third of the days.
    left : shape (n_customers,)
    shown : shape (K,)
        Number of decisions for each action.
    breaches : int
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


@dataclass(frozen=True)
class _Day:
    """The decisions of a day whose outcomes are not all known."""

    day: int
    arrivals: Arrivals
    actions: Ints
    outcomes: ActionOutcomes


def run_policy(
    make: Callable[[World], Policy],
    world: World,
    seed: int,
) -> RunResult:
    """Let a policy decide on all days of a new world.

    Parameters
    ----------
    make
        Makes the policy. Of the world that is passed, only the oracle reads the truth.
    seed : int
        Seed of the draws from the policy's probabilities.
    """
    policy = make(world)
    n_customers = len(world.traits.age)
    value, late = np.zeros(n_customers), np.zeros(n_customers)
    by_day, lost, shown = np.zeros(world.days), np.zeros(world.days, dtype=np.int64), np.zeros(K)
    left_on = np.full(n_customers, world.days + CHURN_ATTRIBUTION_DAYS + max(FEEDBACK_AGES_DAYS))
    open_days: list[_Day] = []
    for day in range(world.days):
        arrivals = world.begin_day()
        probabilities = policy.predict(arrivals.contexts, arrivals.allowed)
        probabilities = validate_probabilities(probabilities, arrivals.allowed)
        uniform = np.random.default_rng([seed, 2, day]).random(n_customers)
        actions = sample_categorical(probabilities, uniform[arrivals.customer])
        outcomes = world.act(actions)
        left = world.end_day()
        left_on[left] = day
        change = -world.traits.lost_eur * left
        change[arrivals.customer] += outcomes.net_value_eur
        value += change
        late += change * (day >= world.days - world.days // 3)
        by_day[day], lost[day] = change.sum(), left.sum()
        shown += np.bincount(actions, minlength=K)
        open_days.append(_Day(day, arrivals, actions, outcomes))
        due = [one for one in open_days if day - one.day in FEEDBACK_AGES_DAYS]
        policy.learn([_feedback(one, left_on, world) for one in due])
        open_days = [one for one in open_days if day - one.day < FEEDBACK_AGES_DAYS[-1]]
    violations = cap_violations(world.contacts.shown)
    churned = left_on < world.days
    counts = shown.astype(np.int64)
    return RunResult(policy.name, by_day, lost, value, late, churned, counts, violations)


def validate_probabilities(probabilities: Floats, allowed: Bools) -> Floats:
    """Return the probabilities unchanged if each row is a distribution over allowed actions.

    Raises
    ------
    InvalidSetting
        If a row does not sum to 1, or an action that is not allowed has a probability.
    """
    wrong = (np.abs(probabilities.sum(axis=1) - 1) > 1e-6) | (probabilities < 0).any(axis=1)
    wrong |= ((probabilities > 0) & ~allowed).any(axis=1)
    if wrong.any():
        raise InvalidSetting(
            f"{int(wrong.sum())} of {len(wrong)} rows are no probabilities: "
            f"{probabilities[wrong][0].round(4).tolist()}.",
            expected="numbers from 0 on that sum to 1, and 0 for actions that are not allowed",
            remedy="Correct the policy's predict.",
        )
    return probabilities


def _feedback(one: _Day, left_on: Ints, world: World) -> DayFeedback:
    """Collect the outcomes of one day's decisions that are known by today."""
    customer, outcomes, age = one.arrivals.customer, one.outcomes, world.day - one.day
    accepted = outcomes.accepted & (outcomes.accepted_after_days <= age)
    kept = accepted & (outcomes.returned_after_days > age)
    return DayFeedback(
        one.day,
        age,
        one.arrivals.contexts,
        one.actions,
        accepted,
        kept * outcomes.value_eur - outcomes.cost_eur,
        left_on[customer] <= min(world.day, one.day + CHURN_ATTRIBUTION_DAYS),
        world.traits.lost_eur[customer],
        world.known(customer),
    )
