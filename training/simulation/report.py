"""Summarises a tournament: value and churn of each policy, differences, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np

from features.intervals import ConfidenceInterval, student_interval, welch_interval
from training.arrays import Floats
from training.simulation.rollout import RunResult
from training.simulation.tournament import TournamentResult

COMPARED = "rules"  # the policy from which the others are subtracted


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """Results of one policy. Money in euro per customer of the first day.

    Attributes
    ----------
    variant : str
        The fixed action or list of rules that was played; else the policy's name.
    value, late_value : ConfidenceInterval
        `SimulatedWorld.value_of_day`: of all days, and of the last third of the days.
    churn : ConfidenceInterval
        Share of the customers who left.
    oracle_share, late_oracle_share : ConfidenceInterval or None
        (value - random) / (oracle - random); None if one of the two was not played.
    cap_violations : int
        Windows in which a cap was exceeded, in all worlds.
    """

    name: str
    variant: str
    value: ConfidenceInterval
    late_value: ConfidenceInterval
    churn: ConfidenceInterval
    oracle_share: ConfidenceInterval | None
    late_oracle_share: ConfidenceInterval | None
    cap_violations: int


@dataclass(frozen=True, slots=True)
class PolicyDifference:
    """The best list of rules less another policy, paired by customer in the same worlds.

    Attributes
    ----------
    other : str
    value, churn : ConfidenceInterval
        In euro per customer; in shares of all customers.
    relative : float
        The value as a share of the other policy's; ``nan`` where that is not above 0.
    """

    other: str
    value: ConfidenceInterval
    churn: ConfidenceInterval
    relative: float


def policy_summaries(tournament: TournamentResult) -> list[PolicySummary]:
    """Summarise all policies, in the order in which they were named."""
    return [_summary(tournament, name) for name in tournament.runs]


def policy_differences(tournament: TournamentResult) -> list[PolicyDifference]:
    """Compare the best list of rules with each other policy; empty if it was not played."""
    runs = tournament.runs
    if COMPARED not in runs:
        return []
    return [_difference(runs[COMPARED], runs[name], name) for name in runs if name != COMPARED]


def mean_over_worlds(values: Sequence[Floats]) -> ConfidenceInterval:
    """Compute the mean of customers' values over one or several worlds.

    Parameters
    ----------
    values : each of shape (n_customers,)
        With several worlds the interval is Student's over the means of the worlds: it holds the
        randomness of learning and of the customers. With one world it is over the customers, and
        holds the latter only.
    """
    means = np.array([value.mean() for value in values])
    if len(means) > 1:
        error = means.std(ddof=1) / sqrt(len(means))
        return student_interval(float(means.mean()), error, len(means))
    only = values[0]
    error = only.std(ddof=1) / sqrt(len(only)) if len(only) > 1 else nan
    return student_interval(float(means[0]), error, len(only))


def difference(first: Floats, second: Floats) -> ConfidenceInterval | None:
    """Compute the mean of the first customers less that of the second, with Welch's interval.

    None if a group has fewer than two customers.

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


def _summary(tournament: TournamentResult, name: str) -> PolicySummary:
    runs = tournament.runs[name]
    return PolicySummary(
        name,
        runs[0].name,
        mean_over_worlds([run.value_of_customer_eur for run in runs]),
        mean_over_worlds([run.late_value_of_customer_eur for run in runs]),
        mean_over_worlds([run.left.astype(np.float64) for run in runs]),
        _oracle_share(tournament, name, lambda run: run.value_of_customer_eur),
        _oracle_share(tournament, name, lambda run: run.late_value_of_customer_eur),
        sum(run.cap_violations for run in runs),
    )


def _oracle_share(
    tournament: TournamentResult, name: str, value: Callable[[RunResult], Floats]
) -> ConfidenceInterval | None:
    runs = tournament.runs
    if not {"oracle", "random"} <= set(runs):
        return None
    policy, oracle, random = (
        np.array([value(run).mean() for run in runs[one]]) for one in (name, "oracle", "random")
    )
    share = (policy - random) / (oracle - random)
    error = share.std(ddof=1) / sqrt(len(share)) if len(share) > 1 else nan
    return student_interval(float(share.mean()), error, len(share))


def _difference(
    policy: Sequence[RunResult], other: Sequence[RunResult], name: str
) -> PolicyDifference:
    pairs = list(zip(policy, other, strict=True))
    value = mean_over_worlds([a.value_of_customer_eur - b.value_of_customer_eur for a, b in pairs])
    churn = mean_over_worlds([a.left.astype(np.float64) - b.left for a, b in pairs])
    mean = float(np.mean([run.value_of_customer_eur.mean() for run in other]))
    return PolicyDifference(name, value, churn, value.value / mean if mean > 0 else nan)
