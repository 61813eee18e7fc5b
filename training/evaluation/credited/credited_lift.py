"""Compares credited rewards: mean per customer of the policy less that of the random arm.

Customers are the units, because an arm is drawn for each customer; the rewards of a customer's
decisions are summed. Mean, variance and skewness of each arm follow from sums of powers of these
rewards, so the lift of every day is computed in one pass.
Only what was credited to a shown action counts; `lift_pairs` counts everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
import pandas as pd

from features.intervals import welch_interval
from features.rewards.rewards import RewardTable
from training.arrays import Bools, Floats
from training.evaluation.credited.credited_sums import (
    POLICY,
    RANDOM,
    arms_of_customers,
    sum_per_customer,
    sum_powers_by_day,
)
from training.evaluation.differences import ratio_interval
from training.evaluation.sample_ratio import sample_ratio_p

MIN_CUSTOMERS = 2  # customers in an arm, for a variance
FEW_INFORMATIVE_CUSTOMERS = 20  # of an arm; with fewer, intervals are too short


@dataclass(frozen=True, slots=True)
class Arm:
    """Sums over the customers of one arm.

    Attributes
    ----------
    open : int
        Decisions whose attribution window is open, so that the reward may still change.
    reward : float
        Sum over all customers, in the domain's currency, after costs.
    informative : int
        Customers with another reward than the most frequent one (mostly 0).
    """

    customers: int
    decisions: int
    open: int
    reward: float
    informative: int

    @property
    def per_customer(self) -> float:
        """Mean reward per customer; ``nan`` without customers."""
        return self.reward / self.customers if self.customers else nan

    @property
    def per_decision(self) -> float:
        """Mean reward per decision; ``nan`` without decisions."""
        return self.reward / self.decisions if self.decisions else nan


@dataclass(frozen=True, slots=True)
class LiftEstimate:
    """Mean reward of a customer of the policy less that of a customer of the random arm.

    Attributes
    ----------
    low, high : float
        95 % interval, corrected for skewness (see `welch_interval`).
    welch_low, welch_high : float
        95 % interval without that correction.
    relative, relative_low, relative_high : float
        Lift as a share of the random arm's mean, and its interval (see `ratio_interval`);
        ``nan`` if that mean is not significantly above 0.
    """

    value: float
    low: float
    high: float
    welch_low: float
    welch_high: float
    relative: float
    relative_low: float
    relative_high: float


@dataclass(frozen=True)
class Lift:
    """Lift of a period, with the arms that it compares.

    Attributes
    ----------
    figure : LiftEstimate or None
        None if an arm has fewer than `MIN_CUSTOMERS` customers, or no reward varies.
    in_both : int
        Customers with decisions in both arms, after a merge; counted in neither.
    ratio_p : float or None
        p-value of the split, given ``random_share`` of the catalogue (see `sample_ratio_p`).
    by_day : DataFrame
        Columns day, policy, random (mean reward per customer up to the day), lift, low, high;
        ``nan`` while there are too few customers.
    """

    policy: Arm
    random: Arm
    figure: LiftEstimate | None
    in_both: int
    random_share: float
    ratio_p: float | None
    by_day: pd.DataFrame


def credited_lift(table: RewardTable, random_share: float) -> Lift:
    """Compare the two arms.

    Parameters
    ----------
    table
        From `rewards`.
    random_share : float
        Share of the customers in the random arm, by the catalogue.
    """
    begins = np.flatnonzero(np.diff(table.customer, prepend=-1))
    arm, mixed = arms_of_customers(table, begins)
    decisions, open_, reward = (
        sum_per_customer(column, begins) for column in (table.decisions, table.open, table.reward)
    )
    policy, random = (_arm(arm == code, decisions, open_, reward) for code in (POLICY, RANDOM))
    sums = sum_powers_by_day(table, begins, arm)
    by_day = _by_day(*sums)
    figure = None
    if min(policy.customers, random.customers) >= MIN_CUSTOMERS:
        figure = _figure(*(_moments(some.iloc[[-1]]) for some in sums))
        figure = figure if isfinite(figure.low) else None
    customers = policy.customers, random.customers
    ratio_p = sample_ratio_p(customers, (1 - random_share, random_share))
    return Lift(policy, random, figure, mixed, random_share, ratio_p, by_day)


def _arm(inside: Bools, decisions: Floats, open_: Floats, reward: Floats) -> Arm:
    customers, rewards = int(inside.sum()), reward[inside].round(9)
    most_frequent = int(np.unique(rewards, return_counts=True)[1].max()) if customers else 0
    return Arm(
        customers=customers,
        decisions=int(decisions[inside].sum()),
        open=int(open_[inside].sum()),
        reward=float(reward[inside].sum()),
        informative=customers - most_frequent,
    )


def _moments(sums: pd.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """Compute n, mean, sample variance and third central moment for each row of sums."""
    n, s1, s2, s3 = (sums[name].to_numpy(dtype=np.float64) for name in ("n", "s1", "s2", "s3"))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = s1 / n
        variance = np.maximum(s2 - n * mean**2, 0.0) / (n - 1)  # rounding may fall below 0
        third = s3 / n - 3 * mean * s2 / n + 2 * mean**3
    return n, mean, variance, third


def _figure(policy: tuple[Floats, ...], random: tuple[Floats, ...]) -> LiftEstimate:
    (n, mean, variance, third) = zip(policy, random, strict=True)
    low, high = (float(bound[0]) for bound in welch_interval(mean, variance, n, third))
    welch_low, welch_high = (float(bound[0]) for bound in welch_interval(mean, variance, n))
    value = float(mean[0][0] - mean[1][0])
    error = [sqrt(float(v[0] / size[0])) for v, size in zip(variance, n, strict=True)]
    spread = sqrt(error[0] ** 2 + error[1] ** 2)
    t = (welch_high - value) / spread if spread else nan
    means = float(mean[0][0]), float(mean[1][0])
    relative_low, relative_high = ratio_interval(means, (error[0], error[1]), t)
    relative = value / means[1] if isfinite(relative_low) else nan
    return LiftEstimate(
        value, low, high, welch_low, welch_high, relative, relative_low - 1, relative_high - 1
    )


def _by_day(policy: pd.DataFrame, random: pd.DataFrame) -> pd.DataFrame:
    (n, mean, variance, third) = zip(*map(_moments, (policy, random)), strict=True)
    low, high = welch_interval(mean, variance, n, third)
    return pd.DataFrame(
        {
            "day": policy.index.to_numpy(dtype=np.int64),
            "policy": mean[0],
            "random": mean[1],
            "lift": mean[0] - mean[1],
            "low": low,
            "high": high,
        }
    )
