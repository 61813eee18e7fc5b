"""What a rehearsal says: who earned what, who lost whom, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy.special import stdtrit

from training.arrays import Floats
from training.simulation.rollout import RunResult
from training.simulation.tournament import Rehearsal

UPPER = 0.975  # an interval of 95 % leaves 2.5 % on either side


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; ``nan`` bounds where nothing is known of its spread."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Standing:
    """One policy. Money in euro for each customer at the beginning.

    Attributes
    ----------
    played : str
        Which of the fixed actions or lists of rules it was.
    value, late : Estimate
        Kept sales less costs less what was lost with those who left; of all days, and of the last
        third of them.
    churn : Estimate
        Share of the customers who left.
    of_oracle, late_of_oracle : Estimate or None
        Part of the oracle's gain over random; None without the two.
    breaches : int
        Of caps, in all worlds.
    """

    name: str
    played: str
    value: Estimate
    late: Estimate
    churn: Estimate
    of_oracle: Estimate | None
    late_of_oracle: Estimate | None
    breaches: int


@dataclass(frozen=True, slots=True)
class Lead:
    """Ours less another policy, customer by customer in the same worlds.

    Attributes
    ----------
    value, churn : Estimate
        In euro a customer; in parts of all customers.
    relative : float
        The value in parts of the other's; ``nan`` where that is not above 0.
    """

    over: str
    value: Estimate
    churn: Estimate
    relative: float


def standings(rehearsal: Rehearsal) -> list[Standing]:
    """Of all policies, in the order they were named."""
    return [_standing(rehearsal, name) for name in rehearsal.courses]


def leads(rehearsal: Rehearsal) -> list[Lead]:
    """Of ours over each other policy; none if ours did not play."""
    courses = rehearsal.courses
    if "ours" not in courses:
        return []
    return [_lead(courses["ours"], courses[name], name) for name in courses if name != "ours"]


def over_worlds(parts: Sequence[Floats]) -> Estimate:
    """Mean of numbers of customers, some worlds of them.

    Parameters
    ----------
    parts : each of shape (n_customers,)
        With several worlds, Student's interval over the worlds' means: what a policy happened to
        learn is as much luck as whom it met. With one, over the customers: only the latter.
    """
    means = np.array([part.mean() for part in parts])
    if len(means) > 1:
        return _interval(float(means.mean()), means.std(ddof=1) / sqrt(len(means)), len(means))
    only = parts[0]
    spread = only.std(ddof=1) / sqrt(len(only)) if len(only) > 1 else nan
    return _interval(float(means[0]), spread, len(only))


def difference(first: Floats, second: Floats) -> Estimate | None:
    """Mean of the first customers less that of the second ones, by Welch (1947); None of fewer than
    two on a side.

    Parameters
    ----------
    first, second : shapes (n,), (m,)
    """
    if min(len(first), len(second)) < 2:
        return None
    parts = [group.var(ddof=1) / len(group) for group in (first, second)]
    whole = sum(parts)
    value = float(first.mean() - second.mean())
    if not whole:
        return Estimate(value, value, value)
    sizes = (len(first), len(second))
    freedom = whole**2 / sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    half = float(stdtrit(freedom, UPPER)) * sqrt(whole)
    return Estimate(value, value - half, value + half)


def _interval(value: float, error: float, n: int) -> Estimate:
    half = float(stdtrit(max(n - 1, 1), UPPER)) * error
    return Estimate(value, value - half, value + half)


def _standing(rehearsal: Rehearsal, name: str) -> Standing:
    mine = rehearsal.courses[name]
    return Standing(
        name,
        mine[0].name,
        over_worlds([one.value_of_customer_eur for one in mine]),
        over_worlds([one.late_value_of_customer_eur for one in mine]),
        over_worlds([one.left.astype(np.float64) for one in mine]),
        _of_oracle(rehearsal, name, lambda one: one.value_of_customer_eur),
        _of_oracle(rehearsal, name, lambda one: one.late_value_of_customer_eur),
        sum(one.breaches for one in mine),
    )


def _of_oracle(
    rehearsal: Rehearsal, name: str, value: Callable[[RunResult], Floats]
) -> Estimate | None:
    courses = rehearsal.courses
    if not {"oracle", "random"} <= set(courses):
        return None
    mine, best, chance = (
        np.array([value(one).mean() for one in courses[who]]) for who in (name, "oracle", "random")
    )
    share = (mine - chance) / (best - chance)
    error = share.std(ddof=1) / sqrt(len(share)) if len(share) > 1 else nan
    return _interval(float(share.mean()), error, len(share))


def _lead(ours: Sequence[RunResult], other: Sequence[RunResult], name: str) -> Lead:
    pairs = list(zip(ours, other, strict=True))
    value = over_worlds([a.value_of_customer_eur - b.value_of_customer_eur for a, b in pairs])
    churn = over_worlds([a.left.astype(np.float64) - b.left for a, b in pairs])
    theirs = float(np.mean([one.value_of_customer_eur.mean() for one in other]))
    return Lead(name, value, churn, value.value / theirs if theirs > 0 else nan)
