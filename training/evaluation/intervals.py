"""Intervals of off-policy estimates.

Each estimator of `off_policy` is a ratio of two sums over customers (the sum in the denominator is
the number of decisions, or the sum of weights). A comparison is a difference of two such ratios.
Customers are independent; the decisions of one customer are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from features.intervals import hall_quantile, student_quantile
from training.arrays import Floats, Ints

RESAMPLES = 1000
BATCH_SIZE = 4_000_000  # resampled customers that are held in memory


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A sum over customers divided by another sum over customers.

    Attributes
    ----------
    top, bottom : shape (n_customers,)
        Terms of the two sums.
    """

    numerator: Floats
    denominator: Floats

    @classmethod
    def of(cls, customer: Ints, numerator: Floats, denominator: Floats) -> RatioEstimate:
        """Sum terms of decisions, shape (n_decisions,), by the number of their ``customer``."""
        sums = (
            np.asarray(np.bincount(customer, each), np.float64) for each in (numerator, denominator)
        )
        return cls(*sums)

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.numerator.sum() / self.denominator.sum())

    @property
    def influence(self) -> Floats:
        """Influence of each customer on the estimate, shape (n_customers,); sums to 0."""
        influence: Floats = (
            self.numerator - self.value * self.denominator
        ) / self.denominator.mean()
        return influence


def skewness_interval(
    ratio: RatioEstimate, subtracted: RatioEstimate | None, level: float
) -> tuple[float, float]:
    """Compute Student's interval from the influences, corrected for skewness and heavy tails.

    Weighted rewards are skewed and have heavy tails: few decisions have a large weight or reward.
    The standard error is then less certain than Student's n - 1 degrees of freedom say. The degrees
    of freedom are those of the variance's own variance instead, 2 n / (kurtosis - 1).

    Parameters
    ----------
    subtracted
        If given, the interval is that of ``ratio`` less ``subtracted``, paired by customer.

    References
    ----------
    Satterthwaite (1946), "An approximate distribution of estimates of variance components", for
    the degrees of freedom; Hall (1992), "On the removal of skewness by transformation", JRSS B 54;
    for ratios the influences stand for the values (Owen 2013, "Monte Carlo theory", section 9.2).
    """
    influence = ratio.influence - (subtracted.influence if subtracted else 0.0)
    value = ratio.value - (subtracted.value if subtracted else 0.0)
    n = len(influence)
    deviation = sqrt(float((influence**2).mean()))
    if n < 2:
        return -np.inf, np.inf
    if not deviation:
        return value, value
    skewness = np.array(float((influence**3).mean()) / deviation**3 / sqrt(n))
    excess = max(float((influence**4).mean()) / deviation**4 - 1, 1e-9)
    freedom = min(2 * n / excess, n - 1.0)
    error, t = deviation / sqrt(n - 1), student_quantile(freedom, level)
    low, high = (value - float(hall_quantile(q, skewness)) * error for q in (t, -t))
    return low, high


def bootstrap_interval(
    ratio: RatioEstimate,
    subtracted: RatioEstimate | None,
    level: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Compute the Studentised bootstrap interval (bootstrap t), resampling customers.

    The plain percentiles of resampled estimates are as much too short on the skewed side as
    Student's interval, so each resampled estimate is divided by its standard error.

    References
    ----------
    Efron (1981), "Nonparametric standard errors and confidence intervals", section 9
    (bootstrap t); Hall (1988), "Theoretical comparison of bootstrap confidence intervals".
    """
    ratios = [ratio] if subtracted is None else [ratio, subtracted]
    columns = np.column_stack([part for one in ratios for part in (one.numerator, one.denominator)])
    n, _ = columns.shape
    if n < 2:
        return -np.inf, np.inf
    squares = (columns[:, :, None] * columns[:, None, :]).reshape(n, -1)
    value, error = (float(one[0]) for one in studentised(np.ones((1, n)), columns, squares))
    rng = np.random.default_rng(seed)
    statistics = []
    for count in _batches(resamples, n):
        drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
        resampled, spread = studentised(times, columns, squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistics.append(np.where(spread > 0, (resampled - value) / spread, 0.0))
    bounds = (1 - level) / 2, (1 + level) / 2
    low, high = np.quantile(np.concatenate(statistics), bounds)
    return value - float(high) * error, value - float(low) * error


def studentised(times: Floats, columns: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Compute the estimate and its standard error in each sample, both of shape (n_samples,).

    Parameters
    ----------
    times : shape (n_samples, n_customers)
        How often each customer is in each sample.
    columns : shape (n_customers, 2) or (n_customers, 4)
        Numerator and denominator, and those of the subtracted ratio.
    squares : shape (n_customers, width * width)
        Products of the columns.
    """
    n, width = columns.shape
    sums = times @ columns
    moments = (times @ squares).reshape(len(times), width, width)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = sums[:, ::2] / sums[:, 1::2]
        slopes = np.empty((len(times), width))  # derivatives of the estimate by each sum
        slopes[:, ::2], slopes[:, 1::2] = 1 / sums[:, 1::2], -values / sums[:, 1::2]
    slopes[:, 2:] *= -1
    square = np.einsum("si,sij,sj->s", slopes, moments, slopes)
    value = values[:, 0] - (values[:, 1] if width > 2 else 0.0)
    return value, np.sqrt(np.maximum(square, 0.0) * n / (n - 1))


def _batches(resamples: int, n: int) -> list[int]:
    size = max(1, BATCH_SIZE // n)
    return [min(size, resamples - done) for done in range(0, resamples, size)]


def bernstein_interval(ratio: RatioEstimate, width: float, level: float) -> tuple[float, float]:
    """Compute the empirical Bernstein bound, which holds for every sample size.

    It requires that ``width`` is known beforehand, and is longer than the other intervals.

    For a ratio, it is the set of all values v for which 0 is within the bound of the mean of
    numerator - v x denominator, whose expectation is 0 at the true value.

    Parameters
    ----------
    width : float
        Range of a customer's numerator - v x denominator: largest less smallest possible value.

    References
    ----------
    Maurer & Pontil (2009), "Empirical Bernstein bounds and sample variance penalization",
    theorem 4, once for either side.
    """
    n = len(ratio.numerator)
    if n < 2:
        return -np.inf, np.inf
    log_term = log(4 / (1 - level))
    spread = np.cov(ratio.numerator, ratio.denominator)
    numerator, denominator = float(ratio.numerator.mean()), float(ratio.denominator.mean())
    rest = 7 * width * log_term / (3 * (n - 1))
    # Solves numerator - v denominator = +- (sqrt(2 variance(v) log_term / n) + rest) for v. It is
    # a quadratic equation, as variance(v) is quadratic in v.
    share = 2 * log_term / n
    a = denominator**2 - share * float(spread[1, 1])
    if a <= 0:
        return -np.inf, np.inf
    bounds = []
    for sign in (-1.0, 1.0):
        c = numerator + sign * rest
        b = c * denominator - share * float(spread[0, 1])
        root = sqrt(max(b**2 - a * (c**2 - share * float(spread[0, 0])), 0.0))
        bounds.append((b + sign * root) / a)
    return bounds[0], bounds[1]
