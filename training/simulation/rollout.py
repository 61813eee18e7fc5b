"""A policy lives through a simulated world: it decides each day, and learns what it is told, late.

    course = live(lambda world: RandomPolicy(), World(customers=500, seed=7, days=30), seed=7)
    course.value_of_customer_eur.mean()

The world (`world`) applies eligibility and contact policy to all policies alike; a
policy chooses among what is left. Of the decisions of a day it is told what a business would know,
after some days (`LOOKS_DAYS`), again and again: acceptances come late, some are taken back, some
customers leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Bools, Floats, Ints
from training.simulation.actions import K, breaches
from training.simulation.customer_state import pick
from training.simulation.world import Followed, Moments, World

LOOKS_DAYS = (1, 3, 7, 14, 21)  # after a decision; by the last one, all that can follow has
BLAMED_DAYS = 14  # who leaves within so many days of a decision leaves because of it, or despite it


@dataclass(frozen=True)
class DayFeedback:
    """What is told, some days later, of all decisions of a day; row i is one of them.

    Attributes
    ----------
    day, age_days : int
        When they were made, and how long ago that is.
    contexts : shape (n, n_features)
        As they were then.
    actions : shape (n,)
    accepted : shape (n,)
        Whether the action was accepted, as far as is known.
    earned_eur : shape (n,)
        What it brought so far: what was bought and not brought back, less the cost.
    left : shape (n,)
        Whether the customer has left since; not later than `BLAMED_DAYS` after.
    lost_eur : shape (n,)
        What a customer's leaving loses.
    now : shape (n, n_features)
        What is known of the same customers this evening; of those who left, when they did.
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
    """What can be rehearsed."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """Chance of each action, shape (n, K); 0 where it is not allowed, 1 in all.

        Parameters
        ----------
        contexts : shape (n, n_features)
        allowed : shape (n, K)
        """
        ...

    def learn(self, reports: Sequence[DayFeedback]) -> None:
        """Take in what is told this evening; there may be nothing."""
        ...


@dataclass(frozen=True)
class RunResult:
    """How it went.

    Attributes
    ----------
    value_eur : shape (n_days,)
        Kept sales less costs of the day's decisions, less what was lost with those who left.
    lost : shape (n_days,)
        Customers who left.
    value_of_customer_eur : shape (n_customers,)
        The same value, by customer.
    late_value_of_customer_eur : shape (n_customers,)
        That of the last third of the days.
    left : shape (n_customers,)
    shown : shape (K,)
        How often each action was chosen.
    breaches : int
        Windows in which a cap was exceeded.
    """

    name: str
    value_eur: Floats
    lost: Ints
    value_of_customer_eur: Floats
    late_value_of_customer_eur: Floats
    left: Bools
    shown: Ints
    breaches: int


@dataclass(frozen=True)
class _Day:
    """The decisions of a day, until all is told of them."""

    day: int
    moments: Moments
    actions: Ints
    followed: Followed


def run_policy(
    make: Callable[[World], Policy],
    world: World,
    seed: int,
) -> RunResult:
    """Let a policy decide for all days of a world that has just begun.

    Parameters
    ----------
    make
        Makes the policy; is given the world, which only the oracle looks at.
    seed : int
        Of the draws from its probabilities.
    """
    policy = make(world)
    customers = len(world.people.age)
    value, late = np.zeros(customers), np.zeros(customers)
    by_day, lost, shown = np.zeros(world.days), np.zeros(world.days, dtype=np.int64), np.zeros(K)
    left_on = np.full(customers, world.days + BLAMED_DAYS + max(LOOKS_DAYS))
    open_days: list[_Day] = []
    for day in range(world.days):
        moments = world.morning()
        chances = checked(policy.predict(moments.contexts, moments.allowed), moments.allowed)
        uniform = np.random.default_rng([seed, 2, day]).random(customers)
        actions = pick(chances, uniform[moments.who])
        followed = world.act(actions)
        left = world.evening()
        left_on[left] = day
        change = -world.people.lost_eur * left
        change[moments.who] += followed.kept_eur
        value += change
        late += change * (day >= world.days - world.days // 3)
        by_day[day], lost[day] = change.sum(), left.sum()
        shown += np.bincount(actions, minlength=K)
        open_days.append(_Day(day, moments, actions, followed))
        due = [one for one in open_days if day - one.day in LOOKS_DAYS]
        policy.learn([_report(one, left_on, world) for one in due])
        open_days = [one for one in open_days if day - one.day < LOOKS_DAYS[-1]]
    over = breaches(world.contacts.shown)
    gone = left_on < world.days
    return RunResult(policy.name, by_day, lost, value, late, gone, shown.astype(np.int64), over)


def checked(chances: Floats, allowed: Bools) -> Floats:
    """The same chances, if they are.

    Raises
    ------
    InvalidSetting
        If a row does not add up to 1, or gives a chance to what is not allowed.
    """
    wrong = (np.abs(chances.sum(axis=1) - 1) > 1e-6) | (chances < 0).any(axis=1)
    wrong |= ((chances > 0) & ~allowed).any(axis=1)
    if wrong.any():
        raise InvalidSetting(
            f"{int(wrong.sum())} of {len(wrong)} rows of probabilities are not: "
            f"{chances[wrong][0].round(4).tolist()}.",
            expected="at least 0, 1 in all, and 0 for what is not allowed",
            remedy="Correct the policy's predict.",
        )
    return chances


def _report(one: _Day, left_on: Ints, world: World) -> DayFeedback:
    """What is known by this evening of one day's decisions."""
    who, followed, age = one.moments.who, one.followed, world.day - one.day
    accepted = followed.accepted & (followed.after_days <= age)
    kept = accepted & (followed.back_after_days > age)
    return DayFeedback(
        one.day,
        age,
        one.moments.contexts,
        one.actions,
        accepted,
        kept * followed.value_eur - followed.cost_eur,
        left_on[who] <= min(world.day, one.day + BLAMED_DAYS),
        world.people.lost_eur[who],
        world.known(who),
    )
