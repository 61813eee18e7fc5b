"""Intervals of differences between two arms: of a mean, and of a share.

Each takes the quantile of a normal statistic: that of one planned look, or of a confidence sequence
(`confidence_sequences`).
"""

from __future__ import annotations

from math import nan, sqrt
from typing import NamedTuple

import numpy as np

from features.intervals import hall_quantile, student_quantile
from training.arrays import Floats
from training.evaluation.cuped import ArmMoments

POWER_QUANTILE = 0.8416  # normal quantile of a power of 80 %
LEAST_EXCESS = 1e-9  # of a kurtosis over 1, which it is if all values are equally far off the mean


class Interval(NamedTuple):
    """Bounds of a difference, and the smallest difference that the data show; of one shape.

    Attributes
    ----------
    low, high
        ``nan`` where nothing is known.
    smallest
        A true difference of this size is found (0 is excluded) in 80 % of the cases.
    """

    low: Floats
    high: Floats
    smallest: Floats


def mean_difference(moments: ArmMoments, pair: tuple[int, int], quantile: Floats) -> Interval:
    """Compute the interval of the mean of one arm less that of another.

    Values are skewed and have heavy tails, and the arms differ in size and in variance: bounds are
    those of Student's distribution, corrected for skewness (`hall_quantile`). Its degrees of
    freedom are those of the variance's own variance, as in `skewness_interval`.

    Parameters
    ----------
    moments : arrays of shape (..., n_arms)
    pair
        Indices of the two arms.
    quantile : shape (...)
        Of the standardised difference if it were normal.

    References
    ----------
    Satterthwaite (1946) for the degrees of freedom, which are 2 / (variance of the variance, as a
    share of its square), with the variance of a variance by its kurtosis; Hall (1992) for skewness.
    """
    first, second = (ArmMoments(*(part[..., arm] for part in moments)) for arm in pair)
    parts = [arm.variance / arm.n for arm in (first, second)]
    square = parts[0] + parts[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        uncertain = sum(
            part**2 * _variance_of_variance(arm)
            for part, arm in zip(parts, (first, second), strict=True)
        )
        freedom = 2 * square**2 / uncertain
        skewness = (first.third / first.n**2 - second.third / second.n**2) / square**1.5
        t = student_quantile(freedom, _level_of(quantile))
        error, value = np.sqrt(square), first.mean - second.mean
        known = square > 0
        low, high = (value - hall_quantile(q, skewness) * error for q in (t, -t))
        smallest = (t + POWER_QUANTILE) * error
    low, high, smallest = (np.where(known, bound, np.nan) for bound in (low, high, smallest))
    return Interval(low, high, smallest)


def _variance_of_variance(arm: ArmMoments) -> Floats:
    """The variance of the sample variance, as a share of its square; at least that of a normal."""
    squares = arm.variance * (arm.n - 1) / arm.n
    excess = np.maximum(arm.fourth / squares**2 - 1, LEAST_EXCESS) / arm.n
    return np.where(squares > 0, np.maximum(excess, 2 / (arm.n - 1)), 0.0)


def _level_of(quantile: Floats) -> Floats:
    """The probability that a standard normal variable is between -quantile and quantile."""
    from scipy.special import ndtr

    return np.asarray(1 - 2 * ndtr(-quantile), dtype=np.float64)


def share_difference(
    count: tuple[Floats, Floats], n: tuple[Floats, Floats], quantile: Floats
) -> Interval:
    """Compute the interval of a share of one arm less that of another, by Newcombe's method.

    It combines the score intervals (Wilson) of both shares, and so holds for few and for no cases.

    Parameters
    ----------
    count, n : pairs of arrays of one shape
        The cases and the customers of each arm.

    References
    ----------
    Newcombe (1998), "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", Statistics in Medicine 17, method 10.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [one / size for one, size in zip(count, n, strict=True)]
        (low, high, centre), (other_low, other_high, other_centre) = (
            _wilson(share, size, quantile) for share, size in zip(shares, n, strict=True)
        )
        value = shares[0] - shares[1]
        below = np.hypot(shares[0] - low, other_high - shares[1])
        above = np.hypot(high - shares[0], shares[1] - other_low)
        variance = centre * (1 - centre) / n[0] + other_centre * (1 - other_centre) / n[1]
        smallest = (quantile + POWER_QUANTILE) * np.sqrt(variance)
    return Interval(value - below, value + above, smallest)


def _wilson(share: Floats, n: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
    """Wilson's interval of a share, and its centre."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre - half, centre + half, centre


def ratio_interval(
    mean: tuple[float, float], error: tuple[float, float], t: float
) -> tuple[float, float]:
    """Compute Fieller's interval of the first mean divided by the second.

    ``nan`` if the second mean is not significantly above 0.

    Parameters
    ----------
    error
        Standard error of each mean.
    t : float
        Quantile of the confidence level.

    References
    ----------
    Fieller (1954), "Some problems in interval estimation", JRSS B 16.
    """
    numerator, denominator = mean
    g = (t * error[1] / denominator) ** 2 if denominator > 0 else 1.0
    if not g < 1:  # written so that nan fails too
        return nan, nan
    spread = sqrt((1 - g) * error[0] ** 2 + (numerator / denominator * error[1]) ** 2)
    center, half = numerator / denominator / (1 - g), t * spread / denominator / (1 - g)
    return center - half, center + half
