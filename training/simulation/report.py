"""What a rehearsal says: who earned what, who lost whom, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np

from features.intervals import ConfidenceInterval, student_interval, welch_interval
from training.arrays import Floats
from training.simulation.rollout import RunResult
from training.simulation.tournament import Rehearsal


@dataclass(frozen=True, slots=True)
class Standing:
    """One policy. Money in euro for each customer at the beginning.

    Attributes
    ----------
    played : str
        Which of the fixed actions or lists of rules it was.
    value, late : ConfidenceInterval
        Kept sales less costs less what was lost with those who left; of all days, and of the last
        third of them.
    churn : ConfidenceInterval
        Share of the customers who left.
    of_oracle, late_of_oracle : ConfidenceInterval or None
        Part of the oracle's gain over random; None without the two.
    breaches : int
        Of caps, in all worlds.
    """

    name: str
    played: str
    value: ConfidenceInterval
    late: ConfidenceInterval
    churn: ConfidenceInterval
    of_oracle: ConfidenceInterval | None
    late_of_oracle: ConfidenceInterval | None
    breaches: int


@dataclass(frozen=True, slots=True)
class Lead:
    """Ours less another policy, customer by customer in the same worlds.

    Attributes
    ----------
    value, churn : ConfidenceInterval
        In euro a customer; in parts of all customers.
    relative : float
        The value in parts of the other's; ``nan`` where that is not above 0.
    """

    over: str
    value: ConfidenceInterval
    churn: ConfidenceInterval
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


def over_worlds(parts: Sequence[Floats]) -> ConfidenceInterval:
    """Mean of numbers of customers, some worlds of them.

    Parameters
    ----------
    parts : each of shape (n_customers,)
        With several worlds, Student's interval over the worlds' means: what a policy happened to
        learn is as much luck as whom it met. With one, over the customers: only the latter.
    """
    means = np.array([part.mean() for part in parts])
    if len(means) > 1:
        return student_interval(
            float(means.mean()), means.std(ddof=1) / sqrt(len(means)), len(means)
        )
    only = parts[0]
    spread = only.std(ddof=1) / sqrt(len(only)) if len(only) > 1 else nan
    return student_interval(float(means[0]), spread, len(only))


def difference(first: Floats, second: Floats) -> ConfidenceInterval | None:
    """Mean of the first customers less that of the second ones, by Welch (1947); None of fewer than
    two on a side.

    Parameters
    ----------
    first, second : shapes (n,), (m,)
    """
    if min(len(first), len(second)) < 2:
        return None
    value = float(first.mean() - second.mean())
    mean = np.asarray(first.mean()), np.asarray(second.mean())
    variance = np.asarray(first.var(ddof=1)), np.asarray(second.var(ddof=1))
    n = np.asarray(len(first), np.float64), np.asarray(len(second), np.float64)
    if not (variance[0] or variance[1]):
        return ConfidenceInterval(value, value, value)
    low, high = welch_interval(mean, variance, n)
    return ConfidenceInterval(value, float(low), float(high))


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
) -> ConfidenceInterval | None:
    courses = rehearsal.courses
    if not {"oracle", "random"} <= set(courses):
        return None
    mine, best, chance = (
        np.array([value(one).mean() for one in courses[who]]) for who in (name, "oracle", "random")
    )
    share = (mine - chance) / (best - chance)
    error = share.std(ddof=1) / sqrt(len(share)) if len(share) > 1 else nan
    return student_interval(float(share.mean()), error, len(share))


def _lead(ours: Sequence[RunResult], other: Sequence[RunResult], name: str) -> Lead:
    pairs = list(zip(ours, other, strict=True))
    value = over_worlds([a.value_of_customer_eur - b.value_of_customer_eur for a, b in pairs])
    churn = over_worlds([a.left.astype(np.float64) - b.left for a, b in pairs])
    theirs = float(np.mean([one.value_of_customer_eur.mean() for one in other]))
    return Lead(name, value, churn, value.value / theirs if theirs > 0 else nan)
