"""Confidence intervals of a mean, of a share, and of a difference of two means."""

from __future__ import annotations

from math import nan, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95  # an interval holds the true value in this share of the samples


class ConfidenceInterval(NamedTuple):
    """An estimate with its interval; the bounds are ``nan`` if the sample does not tell them."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True if both bounds are on the same side of 0."""
        return self.low > 0 or self.high < 0


def student_quantile(
    freedom: NDArray[np.float64] | float, level: NDArray[np.float64] | float = LEVEL
) -> NDArray[np.float64]:
    """Compute the two-sided quantile t of Student's distribution, of the shape of ``freedom``.

    A statistic with this distribution lies in [-t, t] with probability ``level``.

    Parameters
    ----------
    freedom : float or array, > 0
        Degrees of freedom.
    level : float or array, in (0, 1)
    """
    from scipy.special import stdtrit  # the process that starts the workers does without

    return np.asarray(stdtrit(freedom, (1 + level) / 2), dtype=np.float64)


def normal_quantile(level: float = LEVEL) -> float:
    """Compute the two-sided quantile z of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def student_interval(
    mean: float, standard_error: float, n: int, level: float = LEVEL
) -> ConfidenceInterval:
    """Compute Student's interval of a mean: mean +- t(n - 1) x standard error.

    Parameters
    ----------
    mean, standard_error : float
        The standard error is the sample's standard deviation, with n - 1, divided by sqrt(n).
    n : int, >= 1
        Independent values. With fewer than 2 the bounds are ``nan``.

    References
    ----------
    Student (1908), "The probable error of a mean", Biometrika 6(1).
    """
    if n < 2:
        return ConfidenceInterval(mean, nan, nan)
    half = float(student_quantile(n - 1, level)) * standard_error
    return ConfidenceInterval(mean, mean - half, mean + half)


def wilson_interval(share: float, n: int, level: float = LEVEL) -> ConfidenceInterval:
    """Compute Wilson's score interval of a share.

    Parameters
    ----------
    share : float, in [0, 1]
        The successes divided by n.
    n : int, >= 1
        Independent trials.

    References
    ----------
    Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22(158).
    """
    z = normal_quantile(level)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return ConfidenceInterval(share, middle - half, middle + half)


def welch_interval(
    mean: tuple[NDArray[np.float64], NDArray[np.float64]],
    variance: tuple[NDArray[np.float64], NDArray[np.float64]],
    n: tuple[NDArray[np.float64], NDArray[np.float64]],
    third: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    level: float = LEVEL,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the interval of a difference of two means, first less second.

    With s_i the variance of group i divided by n_i, the standard error is sqrt(s_1 + s_2) and the
    degrees of freedom are (s_1 + s_2)^2 / (s_1^2 / (n_1 - 1) + s_2^2 / (n_2 - 1)), by
    Satterthwaite. The groups may differ in variance and in size.

    Parameters
    ----------
    mean, variance, n : pairs of arrays of one shape
        Of each group: mean, sample variance (with n - 1), number of independent values.
    third : the same, or None
        Third central moment of each group. If given, the interval is corrected for skewness by
        Hall's monotone transformation (`hall_quantile`); with a skewness of 0 it does not change.

    Returns
    -------
    low, high
        ``nan`` where a group has fewer than 2 values, or where no value varies.

    References
    ----------
    Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34; Satterthwaite (1946), "An approximate distribution of
    estimates of variance components"; Hall (1992), "On the removal of skewness by
    transformation", JRSS B 54; for two samples Zhou & Dinh (2005), "Nonparametric confidence
    intervals for the one- and two-sample problems", Biostatistics 6(2).
    """
    parts = variance[0] / n[0], variance[1] / n[1]
    square = parts[0] + parts[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.square(square) / (
            np.square(parts[0]) / (n[0] - 1) + np.square(parts[1]) / (n[1] - 1)
        )
        t, error = student_quantile(freedom, level), np.sqrt(square)
        difference = mean[0] - mean[1]
        if third is None:
            return difference - t * error, difference + t * error
        skewness = (third[0] / n[0] ** 2 - third[1] / n[1] ** 2) / square**1.5
    return (
        difference - hall_quantile(t, skewness) * error,
        difference - hall_quantile(-t, skewness) * error,
    )


def hall_quantile(t: NDArray[np.float64], skewness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the quantile of a skewed statistic from the quantile ``t`` of a symmetric one.

    Hall's transformation x + g x^2 / 3 + g^2 x^3 / 27 + g / 6 removes the skewness g of a
    Studentised mean. This is its inverse, 3 / g x (cbrt(1 + g (t - g / 6)) - 1).

    Parameters
    ----------
    t
        Quantiles of a statistic without skewness.
    skewness : the same shape, or one that broadcasts
        Of the mean: the skewness of one value divided by sqrt(n).

    References
    ----------
    Hall (1992), "On the removal of skewness by transformation", JRSS B 54.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 3 / skewness * (np.cbrt(1 + skewness * (t - skewness / 6)) - 1)
    return np.where(np.abs(skewness) < 1e-6, t, found)
