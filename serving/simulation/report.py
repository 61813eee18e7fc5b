"""Summarises a tournament: value and churn of each policy, differences, lifts, and intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from typing import NamedTuple

import numpy as np

from features.intervals import ConfidenceInterval, student_interval
from serving.contract.lift import PairView
from serving.simulation.played import ARM_NAMES, NOBODY_OF, SERVED, Played
from serving.simulation.tournament import TournamentResult
from training.arrays import Bools, Floats
from training.simulation.informed import INFORMED

COMPARED = SERVED  # the policy from which the others are subtracted


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """Results of one policy. Money in euro per customer for whom it chose.

    Those are all customers; of the served classes, those of the arm policy.

    Attributes
    ----------
    variant : str
        The fixed action or list of rules that was played; else the policy's name.
    value, late_value : ConfidenceInterval
        `SimulatedWorld.value_of_day`: of all days, and of the last third of the days.
    churn : ConfidenceInterval
        Share of the customers who left.
    oracle_share, late_oracle_share : ConfidenceInterval or None
        (value - random) / (oracle - random); None if one of the two was not played, or if it is not
        certain among these customers that the oracle earns more.
    late_informed_share : ConfidenceInterval or None
        The same of the informed policy, which sees what a business sees; of the last third.
    cap_violations : int
        Windows in which a cap was exceeded, in all worlds and arms.
    """

    name: str
    variant: str
    value: ConfidenceInterval
    late_value: ConfidenceInterval
    churn: ConfidenceInterval
    oracle_share: ConfidenceInterval | None
    late_oracle_share: ConfidenceInterval | None
    late_informed_share: ConfidenceInterval | None
    cap_violations: int


@dataclass(frozen=True, slots=True)
class PolicyDifference:
    """The served classes less another policy, paired by customer in the same worlds.

    Attributes
    ----------
    other : str
    value, late_value, churn : ConfidenceInterval
        In euro per customer, of all days and of the last third; in shares of all customers.
    relative, late_relative : float
        The values as shares of the other policy's; ``nan`` where that is not above 0.
    """

    other: str
    value: ConfidenceInterval
    late_value: ConfidenceInterval
    churn: ConfidenceInterval
    relative: float
    late_relative: float


class LiftMeans(NamedTuple):
    """Means over the worlds, in euro a customer.

    Attributes
    ----------
    reported, low, high : float
        Lift and its always-valid interval.
    planned_low, planned_high : float
        The interval for one look.
    """

    reported: float
    low: float
    high: float
    planned_low: float
    planned_high: float
    true: float


@dataclass(frozen=True, slots=True)
class LiftCheck:
    """A lift as the ledgers of a policy report it, beside the true one.

    The true lift compares each customer of the first arm with the same customer in a run of the
    same seed in which everybody is in the second arm.

    Attributes
    ----------
    holds, planned_holds, worlds : int
        Number of worlds in which the interval holds the truth, of those with an interval.
    """

    policy: str
    arm: str
    against: str
    means: LiftMeans
    holds: int
    planned_holds: int
    worlds: int


def policy_summaries(tournament: TournamentResult) -> list[PolicySummary]:
    """Summarise the policies that were asked for, in their order."""
    return [_summary(tournament, name) for name in tournament.asked]


def policy_differences(tournament: TournamentResult) -> list[PolicyDifference]:
    """Compare the served classes with each other policy; empty if they were not played."""
    runs = tournament.runs
    if COMPARED not in tournament.asked:
        return []
    others = [name for name in tournament.asked if name != COMPARED]
    return [_difference(runs[COMPARED], runs[name], name) for name in others]


def lift_checks(tournament: TournamentResult) -> list[LiftCheck]:
    """Compare the lifts that were reported with the true ones."""
    found: list[LiftCheck] = []
    for name in tournament.asked:
        played = tournament.runs[name]
        first = played[0].served
        for pair in first.lift.pairs if first and NOBODY_OF.get(name) in tournament.runs else ():
            everybody = NOBODY_OF[name] if pair.against == "nobody" else pair.against
            others = tournament.runs[everybody]
            found += _lift_check(name, pair, list(zip(played, others, strict=True)))
    return found


def true_lift(played: Played, other: Played, arm: str) -> float:
    """Compute the true lift of an arm.

    Parameters
    ----------
    other
        The run in which everybody is in the arm to compare with.
    """
    assert played.served is not None
    members: Bools = played.served.met & (played.served.arm == ARM_NAMES.index(arm))
    gained = played.run.value_of_customer_eur - other.run.value_of_customer_eur
    return float(gained[members].mean()) if members.any() else nan


def _lift_check(
    name: str, pair: PairView, runs: Sequence[tuple[Played, Played]]
) -> Iterator[LiftCheck]:
    rows = []
    for played, other in runs:
        assert played.served is not None
        pairs = played.served.lift.pairs
        lift = next(one.lift for one in pairs if (one.arm, one.against) == (pair.arm, pair.against))
        if lift is not None and lift.low is not None and lift.planned_low is not None:
            bounds = lift.low, lift.high, lift.planned_low, lift.planned_high
            rows.append([lift.value, *bounds, true_lift(played, other, pair.arm)])
    if not rows:
        return
    table = np.array(rows, dtype=np.float64)
    _, low, high, planned_low, planned_high, true = table.T
    holds = (low <= true) & (true <= high)
    planned_holds = (planned_low <= true) & (true <= planned_high)
    counts = int(holds.sum()), int(planned_holds.sum()), len(rows)
    means: list[float] = table.mean(axis=0).tolist()
    yield LiftCheck(name, pair.arm, pair.against, LiftMeans(*means), *counts)


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


def _summary(tournament: TournamentResult, name: str) -> PolicySummary:
    played = tournament.runs[name]
    return PolicySummary(
        name,
        played[0].run.name,
        mean_over_worlds([_value(one)[one.members] for one in played]),
        mean_over_worlds([_late_value(one)[one.members] for one in played]),
        mean_over_worlds([_left(one)[one.members] for one in played]),
        _share_of(tournament, "oracle", name, _value),
        _share_of(tournament, "oracle", name, _late_value),
        _share_of(tournament, INFORMED, name, _late_value),
        sum(one.run.cap_violations for one in played),
    )


def _value(played: Played) -> Floats:
    return played.run.value_of_customer_eur


def _late_value(played: Played) -> Floats:
    return played.run.late_value_of_customer_eur


def _left(played: Played) -> Floats:
    return played.run.left.astype(np.float64)


def _share_of(
    tournament: TournamentResult, best: str, name: str, value: Callable[[Played], Floats]
) -> ConfidenceInterval | None:
    """The share of the gain of ``best`` over random, among those for whom the policy chose."""
    if not {best, "random"} <= {*tournament.asked}:
        return None
    shares, gains = [], []
    for number, one in enumerate(tournament.runs[name]):
        others = (tournament.runs[other][number] for other in (best, "random"))
        policy, most, random = (value(run)[one.members] for run in (one, *others))
        gains.append(most - random)
        shares.append((policy.mean() - random.mean()) / (most.mean() - random.mean()))
    # A share of what may be nothing, or less, says nothing.
    if not mean_over_worlds([np.concatenate(gains)]).low > 0:
        return None
    error = float(np.std(shares, ddof=1)) / sqrt(len(shares)) if len(shares) > 1 else nan
    return student_interval(float(np.mean(shares)), error, len(shares))


def _difference(policy: Sequence[Played], others: Sequence[Played], name: str) -> PolicyDifference:
    """Of the customers for whom both chose."""
    pairs = [
        (one, other, one.members & other.members) for one, other in zip(policy, others, strict=True)
    ]

    def gained(key: Callable[[Played], Floats]) -> tuple[ConfidenceInterval, float]:
        interval = mean_over_worlds([(key(a) - key(b))[both] for a, b, both in pairs])
        mean = float(np.mean([key(b)[both].mean() for _, b, both in pairs]))
        return interval, interval.value / mean if mean > 0 else nan

    (value, relative), (late, late_relative) = gained(_value), gained(_late_value)
    return PolicyDifference(name, value, late, gained(_left)[0], relative, late_relative)
