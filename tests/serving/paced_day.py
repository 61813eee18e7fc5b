"""Whole days of decisions, drawn by the real policy at the prices of `pacing`.

What a day earned is the expectation over the policy's probabilities, not over drawn rewards, and
is compared with what the same policy would have earned at the best price that stays the same all
day, found in hindsight: so no tolerance is spent on luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from serving.policies import pacing
from serving.policies.pacing import BudgetState, DailyTarget
from serving.policies.plan_time import TrafficProfile
from training.arrays import Floats
from training.bandit.exploration import InverseGapWeighting, draw

DAY_S = 86_400
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
GREED = 20.0  # what training/params.yaml serves with
VALUE = 8.0  # of each action, so its priority is at most that
BUSY = (1, 0.5, 0.3, 0.2, 0.2, 0.5, 1.5, 3, 5, 6, 6, 7, 8, 7, 6, 6, 6, 7, 9, 12, 14, 11, 6, 3)
OPEN = (0,) * 8 + (1,) * 12 + (0,) * 4  # nobody calls at night
UTC_ZONE = ZoneInfo("UTC")
PLAIN, SHAPED = TrafficProfile(UTC_ZONE), TrafficProfile(UTC_ZONE, BUSY)


@dataclass(frozen=True)
class Day:
    """The calls of a day and the priority of each action in each; the last column is no action."""

    seconds: Floats  # shape (n,), since midnight, sorted
    priorities: Floats  # shape (n, n_actions + 1), in currency; nan where not allowed
    number: int = 0

    def at(self, call: int) -> datetime:
        return MIDNIGHT + timedelta(days=self.number, seconds=float(self.seconds[call]))


@dataclass(frozen=True)
class Paced:
    """A target, and how much of it each action uses up."""

    target: DailyTarget
    amounts: dict[int, float]


@dataclass(frozen=True)
class Run:
    """The result of a day."""

    drawn: Floats  # shape (n,), the index of the action
    prices: Floats  # shape (n, n_paced)
    value: float  # expected, in currency
    paces: list[BudgetState | None]

    def by_hour(self, day: Day, paced: Paced) -> Floats:
        """Units spent in each hour, shape (24,)."""
        spent = np.array([paced.amounts.get(int(action), 0.0) for action in self.drawn])
        return np.histogram(day.seconds, bins=24, range=(0, DAY_S), weights=spent)[0]


def a_day(
    seed: int,
    calls: int = 5000,
    traffic: tuple[float, ...] | str = "even",
    liking: tuple[float, ...] = (-1.5, -1.7, -2.0, -2.3),
    cost: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2),
    number: int = 0,
) -> Day:
    """Customers of varied acceptance: logistic with standard deviation 1 around each liking."""
    rng = np.random.default_rng([seed, number])
    acceptance = 1 / (1 + np.exp(-rng.normal(liking, 1.0, (calls, len(liking)))))
    priorities = acceptance * VALUE - np.array(cost)
    return Day(
        _arrivals(rng, calls, traffic), np.column_stack([priorities, np.zeros(calls)]), number
    )


def _arrivals(rng: np.random.Generator, calls: int, traffic: tuple[float, ...] | str) -> Floats:
    if traffic == "even":
        return np.sort(rng.uniform(0, DAY_S, calls))
    if traffic == "bursty":  # half of the calls within minutes after six moments
        centres = rng.uniform(0, DAY_S - 7200, 6)[rng.integers(0, 6, calls)]
        bursts = np.minimum(centres + rng.exponential(600, calls), DAY_S - 1)
        return np.sort(np.where(rng.random(calls) < 0.5, bursts, rng.uniform(0, DAY_S, calls)))
    weights = np.array(traffic, dtype=float)
    hours = rng.choice(24, size=calls, p=weights / weights.sum())
    return np.sort((hours + rng.random(calls)) * 3600)


def live(
    day: Day,
    paced: list[Paced],
    profile: TrafficProfile,
    paces: list[BudgetState | None] | None = None,
    *,
    first_come: bool = False,
    explore_at_any_price: bool = False,
) -> Run:
    """Decide the whole day, one call after the other, as the decision's transaction does."""
    policy = InverseGapWeighting(GREED)
    rows: list[BudgetState | None] = list(paces or [None] * len(paced))
    drawn, prices = np.zeros(len(day.seconds)), np.zeros((len(day.seconds), len(paced)))
    chances = np.empty_like(day.priorities)
    for call, worth in enumerate(day.priorities):
        moment = profile.plan_time(day.at(call))
        charge, out = np.zeros(len(worth)), np.isnan(worth)
        for one, (row, each) in enumerate(zip(rows, paced, strict=True)):
            if not first_come:
                prices[call, one] = pacing.shadow_price(row, each.target, moment)
            for action, amount in each.amounts.items():
                out[action] |= not pacing.fits(row, each.target, moment, amount)
                charge[action] += prices[call, one] * amount
        if not explore_at_any_price:
            out |= [pacing.priced_out(*pair, VALUE) for pair in zip(worth, charge, strict=True)]
        chance = policy.probabilities(np.where(out, np.nan, worth - charge))
        chances[call] = chance
        action = draw(chance, f"{day.number}-{call}")
        drawn[call] = action
        for one, each in enumerate(paced):
            if action in each.amounts:
                amount = each.amounts[action]
                rows[one] = pacing.after_spending(rows[one], each.target, moment, amount)
    return Run(drawn, prices, float(np.nansum(chances * day.priorities)), rows)


def at_price(day: Day, amounts: dict[int, float], price: float) -> tuple[float, float]:
    """Expected units spent and value of a day at one price that stays, without a limit."""
    charge = np.array([price * amounts.get(a, 0.0) for a in range(day.priorities.shape[1])])
    out = charge > np.maximum(day.priorities, pacing.RESOLUTION * VALUE)
    adjusted = np.where(out, np.nan, day.priorities - charge)
    gap = np.nanmax(adjusted, axis=1, keepdims=True) - adjusted
    chance = 1 / ((~np.isnan(adjusted)).sum(axis=1, keepdims=True) + GREED * gap)
    chance = np.where(np.isnan(adjusted), 0.0, chance)
    rows, best = np.arange(len(gap)), np.nanargmax(adjusted, axis=1)
    chance[rows, best] = 0.0
    chance[rows, best] = 1 - chance.sum(axis=1)
    spent = sum(chance[:, action].sum() * amount for action, amount in amounts.items())
    return float(spent), float(np.nansum(chance * day.priorities))


def in_hindsight(day: Day, amounts: dict[int, float], units: float) -> tuple[float, float]:
    """The one price at which the day spends ``units``, and the day's value at it."""
    low, high = -2 * VALUE, 100 * VALUE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at_price(day, amounts, middle)[0] > units else (low, middle)
    return high, at_price(day, amounts, high)[1]


def share_of_possible_gain(day: Day, paced: Paced, value: float) -> float:
    """The gain from a scarce resource, as a share of the gain at the best price in hindsight."""
    without = day.priorities.copy()
    without[:, list(paced.amounts)] = np.nan
    nothing = at_price(Day(day.seconds, without), {}, 0.0)[1]
    assert paced.target.at_most is not None
    best = in_hindsight(day, paced.amounts, paced.target.at_most)[1]
    return (value - nothing) / (best - nothing)


def plan_by_hour(profile: TrafficProfile, units: float) -> Floats:
    """The units that the plan spends in each hour of a day of 24 hours, shape (24,)."""
    weights = np.array(profile.weights or (1.0,) * 24)
    return weights / weights.sum() * units


def off_plan(by_hour: Floats, plan: Floats) -> float:
    """The largest distance of the spending so far from the plan so far, as a share of the day's."""
    return float(np.abs(np.cumsum(by_hour - plan)).max() / plan.sum())
