"""Plays 200 worlds in which one action drives customers to unsubscribe, and 200 in which none does.

    python -m tests.bench.guardrails
    python -m tests.bench.guardrails --worlds 20 --first-seed 0

A world has 10,000 customers, 30 days and eight actions. Each day half of the customers come. Each
contact is followed by an unsubscription in 0.4 % of cases, after three days at most; with harm, in
1.2 % of those with one of the actions. 0.01 % of the customers unsubscribe each day by themselves.
Whoever has unsubscribed is contacted no more.

Customers differ, in what they like and in how easily they unsubscribe, and these go together: the
policy learns to offer some actions most to those who unsubscribe most. So harmless actions are
followed by up to twice as many unsubscriptions as others. For comparison, the same worlds are
looked at by the daily chi-square test of the rates of contacts, which does not know the chances.

The chances of each decision are those of the service (`ThompsonProbabilities`) for priorities that
are learned better from week to week. Draws, tosses, e-values and thresholds are those of
`serving.guardrails`, which looks once a day, and stops an action for the rest of the world.
Goals: the harmful action is stopped in 190 of 200 worlds, and without harm 10 stop any.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats
from threadpoolctl import threadpool_limits

from features.business.catalog import NO_ACTION
from serving.guardrails.drawn_actions import Draw, Toss, tosses
from serving.guardrails.harm_test import HarmTest
from training.arrays import Bools, Floats, Ints
from training.bandit.exploration import ThompsonProbabilities
from training.params import load_params

ACTIONS = tuple(f"action_{number}" for number in range(8))
K = len(ACTIONS)
CUSTOMERS, DAYS, KINDS = 10_000, 30, 100  # kinds: customers with the same priorities
COMING, PLAIN, HARMFUL, BY_THEMSELVES = 0.5, 0.004, 0.012, 0.0001
WITHIN_DAYS, LATEST_DAY, LEVEL, LIMIT = 7, 3, 0.02, 1.0
RELEARN_DAYS, HALF_DAYS = 6, 15  # after so many days a deviation is half of the first
FOUND, FALSE = 190, 10  # of 200 worlds
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
out = Console(width=120)


class Course(NamedTuple):
    """The result of a world.

    Attributes
    ----------
    harmful : int or None
        The action that harms.
    stopped : by action, the day
    naive : set of int
        The actions that the chi-square test would have stopped.
    unsubscribed : int
        Customers.
    """

    harmful: int | None
    stopped: dict[int, int]
    naive: set[int]
    unsubscribed: int


class Kinds:
    """The kinds of customers, and the chances with which the policy draws for each.

    Attributes
    ----------
    ease : shape (KINDS,)
        How easily they unsubscribe; 1 on average.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.ease = random.gamma(2.0, 0.5, KINDS)
        self.ease /= self.ease.mean()
        worth = random.normal(0.0, 0.2, (KINDS, K))
        # Half of the actions are liked by those who unsubscribe easily, the others by those who
        # do not.
        worth += 0.2 * (self.ease - 1.0)[:, None] * random.permuted(np.repeat([1.0, -1.0], K // 2))
        self._worth = np.concatenate((worth, np.full((KINDS, 1), -0.2)), axis=1)
        bandit = load_params().bandit
        self._policy = ThompsonProbabilities(bandit.min_probability)

    def chances(self, day: int, stopped: Bools) -> Floats:
        """The chance of each action and of `no_action`, shape (KINDS, K + 1)."""
        deviation = np.full(K + 1, 0.5 / (1 + day / HALF_DAYS))
        deviation[-1] = 0.0
        worth = self._worth.copy()
        worth[:, :-1][:, stopped] = np.nan
        return np.stack([self._policy.probabilities(row, deviation) for row in worth])


class Customers:
    """The customers of a world: their kind, and the newest contact of each."""

    def __init__(self, random: np.random.Generator) -> None:
        self.kind = random.integers(0, KINDS, CUSTOMERS)
        self.stays = np.ones(CUSTOMERS, dtype=bool)
        self.contact_day = np.full(CUSTOMERS, -WITHIN_DAYS - 1)
        self.action = np.zeros(CUSTOMERS, dtype=np.int64)
        self.chances = np.zeros((CUSTOMERS, K + 1))
        self.leaves_on = np.full(CUSTOMERS, DAYS + 1)

    def contact(self, who: Ints, day: int, action: Ints, chances: Floats) -> None:
        """Note the contacts of a day."""
        self.contact_day[who], self.action[who] = day, action
        self.chances[who] = chances

    def draws(self, who: Ints, day: int) -> list[Draw]:
        """The newest contact of each of some customers, if it is new enough."""
        recent = who[self.contact_day[who] >= day - WITHIN_DAYS]
        names = (*ACTIONS, NO_ACTION)
        return [
            Draw(
                str(one),
                MOMENT,
                ACTIONS[self.action[one]],
                dict(zip(names, self.chances[one].tolist(), strict=True)),
            )
            for one in recent.tolist()
        ]


def play(seed: int, harm: bool) -> Course:
    """Play one world."""
    random = np.random.default_rng(seed)
    kinds, customers = Kinds(random), Customers(random)
    harmful = int(random.integers(K)) if harm else None
    rate = np.full(K, PLAIN)
    if harmful is not None:
        rate[harmful] = HARMFUL
    tests, rates = dict.fromkeys(ACTIONS, HarmTest()), NaiveRates()
    stopped, stopped_on = np.zeros(K, dtype=bool), dict[int, int]()
    chances = kinds.chances(0, stopped)
    for day in range(DAYS):
        chances = kinds.chances(day, stopped) if day % RELEARN_DAYS == 0 else chances
        leaving = ((customers.leaves_on == day) & customers.stays).nonzero()[0]
        customers.stays[leaving] = False
        tests = count(tests, customers.draws(leaving, day))
        rates.harm(customers.action[leaving[customers.contact_day[leaving] >= 0]])
        new = [
            index
            for index, name in enumerate(ACTIONS)
            if tests[name].exceeds(K / LEVEL) and not stopped[index]
        ]
        if new:
            stopped[new] = True
            stopped_on |= dict.fromkeys(new, day)
            chances = kinds.chances(day, stopped)
        rates.look()
        come = (customers.stays & (random.random(CUSTOMERS) < COMING)).nonzero()[0]
        whose = chances[customers.kind[come]]
        action = (whose.cumsum(axis=1) < random.random((len(come), 1))).sum(axis=1).clip(max=K)
        shown = action < K
        who, action, whose = come[shown], action[shown], whose[shown]
        customers.contact(who, day, action, whose)
        rates.contact(action)
        bothered = random.random(len(who)) < rate[action] * kinds.ease[customers.kind[who]]
        delay = random.integers(1, LATEST_DAY + 1, bothered.sum())
        customers.leaves_on[who[bothered]] = np.minimum(
            customers.leaves_on[who[bothered]], day + delay
        )
        by_themselves = (random.random(CUSTOMERS) < BY_THEMSELVES).nonzero()[0]
        customers.leaves_on[by_themselves] = np.minimum(customers.leaves_on[by_themselves], day + 1)
    return Course(harmful, stopped_on, rates.stopped, int((~customers.stays).sum()))


def count(tests: dict[str, HarmTest], draws: Sequence[Draw]) -> dict[str, HarmTest]:
    """Count the unsubscriptions of a day, and look once."""
    found: dict[str, list[Toss]] = {}
    for draw in draws:
        for toss in tosses(draw, "random"):
            found.setdefault(toss.action_id, []).append(toss)
    added = {
        name: tests[name].add(
            np.array([one.chance for one in some]),
            np.array([one.followed for one in some]),
            LIMIT,
        )
        for name, some in found.items()
    }
    return tests | added


class NaiveRates:
    """A chi-square test of the unsubscriptions by contact of an action and of all others.

    It looks daily at the same level for each action as the guardrail does.
    """

    def __init__(self) -> None:
        self._contacts, self._harmed = np.zeros((2, K))
        self.stopped: set[int] = set()

    def contact(self, actions: Ints) -> None:
        """Count contacts."""
        self._contacts += np.bincount(actions, minlength=K)

    def harm(self, actions: Ints) -> None:
        """Count unsubscriptions by the action of the newest contact."""
        self._harmed += np.bincount(actions, minlength=K)

    def look(self) -> None:
        """Stop the actions whose rate is significantly larger than that of the others."""
        others, harm_of_others = self._contacts.sum() - self._contacts, self._harmed.sum()
        harm_of_others = harm_of_others - self._harmed
        if self._harmed.sum() < 10 or (self._contacts * others == 0).any():
            return
        pooled = self._harmed.sum() / self._contacts.sum()
        variance = pooled * (1 - pooled) * (1 / self._contacts + 1 / others)
        z = (self._harmed / self._contacts - harm_of_others / others) / np.sqrt(variance)
        self.stopped |= set((stats.norm.sf(z) < LEVEL / K).nonzero()[0].tolist())


def _alone(seed: int, harm: bool) -> Course:
    with threadpool_limits(1):
        return play(seed, harm)


def courses(seeds: Sequence[int], harm: bool, processes: int) -> list[Course]:
    """Play worlds, each with its seed."""
    if processes == 1:
        return [play(seed, harm) for seed in seeds]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(partial(_alone, harm=harm), seeds, chunksize=4))


def main() -> None:
    """Play all worlds, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.worlds)
    with_harm = courses(seeds, True, asked.processes)
    without = courses(seeds, False, asked.processes)
    found = [one for one in with_harm if one.harmful in one.stopped]
    table = Table("worlds", "stopped", "goal", "by the chi-square test", "unsubscribed, mean")
    table.title = f"Guardrails, seeds {seeds[0]} to {seeds[-1]}, level {LEVEL:.0%}"
    share = asked.worlds / 200
    table.add_row(
        "one action harms: it is stopped",
        f"{len(found)} of {asked.worlds}",
        f"at least {FOUND * share:.0f}",
        f"{sum(one.harmful in one.naive for one in with_harm)}",
        f"{np.mean([one.unsubscribed for one in with_harm]):.0f}",
    )
    others = sum(bool(one.stopped.keys() - {one.harmful}) for one in with_harm)
    table.add_row(
        "one action harms: another one is",
        f"{others} of {asked.worlds}",
        "",
        f"{sum(bool(one.naive - {one.harmful}) for one in with_harm)}",
        "",
    )
    wrong = sum(bool(one.stopped) for one in without)
    table.add_row(
        "none harms: any is stopped",
        f"{wrong} of {asked.worlds}",
        f"at most {FALSE * share:.0f}",
        f"{sum(bool(one.naive) for one in without)}",
        f"{np.mean([one.unsubscribed for one in without]):.0f}",
    )
    out.print(table)
    days = sorted(one.stopped[one.harmful] for one in found if one.harmful is not None)
    if days:
        out.print(f"Found on day {days[len(days) // 2]} (median), {days[-1]} at the latest.")
    if len(found) < FOUND * share or wrong > FALSE * share:
        out.print("A goal is missed.")
        sys.exit(1)


if __name__ == "__main__":
    main()
