"""Compares arms in pairs by intention to treat: the value of a customer, and the share who left.

Customers are the units, because an arm is drawn for each customer. All customers of an arm count
from the day on which they were first met, with all their value and their leaving: those who would
have bought anyway, those who were driven away, and those who never came again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np

from features.intervals import ConfidenceInterval
from training.arrays import Bools, Floats, Ints
from training.evaluation.confidence_sequences import (
    LEAST_INFORMATIVE,
    mixture_quantile,
    planned_quantile,
)
from training.evaluation.cuped import ArmMoments
from training.evaluation.differences import (
    Interval,
    mean_difference,
    ratio_interval,
    share_difference,
)
from training.evaluation.lift_looks import Looks


@dataclass(frozen=True)
class ArmDifference:
    """A difference of two arms at each look, arrays of shape (n_looks,).

    Attributes
    ----------
    always
        Its interval that holds at all looks together; ``nan`` before the first look.
    planned
        Its interval for one look that was planned.
    """

    value: Floats
    always: Interval
    planned: Interval


@dataclass(frozen=True)
class PairEstimate:
    """One arm less another.

    Attributes
    ----------
    arm, against : str
        Names of the arms.
    day : shape (n_looks,)
        Days since 1970.
    lift
        The value of a customer, in the domain's currency.
    left
        The share of customers who left.
    relative
        The lift as a share of the other arm's mean, at the last look; its bounds hold at all looks
        (see `ratio_interval`). ``nan`` unless that mean is clearly above 0 and the lift has bounds.
    explained : float
        The share of the variance of the lift that the value before explains.
    informative : float
        At the last look; see `ArmMoments.informative`. That of the arm that has less, with the
        moments of `ArmMoments.cautious`.
    """

    arm: str
    against: str
    day: Ints
    lift: ArmDifference
    left: ArmDifference
    relative: ConfidenceInterval
    explained: float
    informative: float


def compare_pair(looks: Looks, names: Sequence[str], pair: tuple[int, int]) -> PairEstimate:
    """Compare two arms at each look.

    The bound of all looks takes the moments of `ArmMoments.cautious`, because one of many early
    looks may meet an arm whose variance is small by chance. One planned look takes those of the
    arms: with more caution its interval would hold the truth more often than in 95 % of cases.

    Parameters
    ----------
    names : shape (n_arms,)
    pair
        Indices of the arm, and of the one that it is compared with.
    """
    one, other = pair
    moments = looks.moments
    cautious = moments.cautious()
    informative = cautious.informative[:, [one, other]].min(axis=1)
    known = informative >= LEAST_INFORMATIVE
    always, planned = mixture_quantile(looks.clock), planned_quantile(looks.clock)
    lift = ArmDifference(
        moments.mean[:, one] - moments.mean[:, other],
        _where(known, mean_difference(cautious, pair, always)),
        mean_difference(moments, pair, planned),
    )
    n = moments.n[:, one], moments.n[:, other]
    count = looks.left[:, one], looks.left[:, other]
    with np.errstate(divide="ignore", invalid="ignore"):
        left = ArmDifference(
            count[0] / n[0] - count[1] / n[1],
            share_difference(count, n, always),
            share_difference(count, n, planned),
        )
        each = moments.variance[-1], moments.unadjusted[-1]
        with_, without = (float((part / moments.n[-1])[[one, other]].sum()) for part in each)
    explained = 1 - with_ / without if without else nan
    return PairEstimate(
        names[one],
        names[other],
        looks.day,
        lift,
        left,
        _relative(cautious, pair, float(always[-1] if known[-1] else nan)),
        explained,
        float(informative[-1]),
    )


def _where(known: Bools, interval: Interval) -> Interval:
    return Interval(*(np.where(known, bound, np.nan) for bound in interval))


def _relative(moments: ArmMoments, pair: tuple[int, int], quantile: float) -> ConfidenceInterval:
    """The lift at the last look divided by the mean of the other arm."""
    mean, variance, n = (
        [float(part[-1, arm]) for arm in pair]
        for part in (moments.mean, moments.variance, moments.n)
    )
    error = [(each / size) ** 0.5 if size else nan for each, size in zip(variance, n, strict=True)]
    low, high = ratio_interval((mean[0], mean[1]), (error[0], error[1]), quantile)
    if not isfinite(low):
        return ConfidenceInterval(nan, nan, nan)
    return ConfidenceInterval(mean[0] / mean[1] - 1, low - 1, high - 1)
