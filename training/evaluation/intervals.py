"""Intervals of what another policy would have earned.

Every estimator here is a sum over customers divided by another such sum (of decisions, or of
weights), and a comparison is a difference of two of them. Customers are what is independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from features.intervals import hall_quantile, student_quantile
from training.arrays import Floats, Ints

RESAMPLES = 1000
AT_ONCE = 4_000_000  # resampled customers held in memory


@dataclass(frozen=True, slots=True)
class Ratio:
    """A sum over customers divided by another one.

    Attributes
    ----------
    top, bottom : shape (n_customers,)
        What is summed above and below the line.
    """

    top: Floats
    bottom: Floats

    @classmethod
    def of(cls, unit: Ints, top: Floats, bottom: Floats) -> Ratio:
        """From decisions, shape (n_decisions,); ``unit`` says whose each is."""
        above, below = (np.asarray(np.bincount(unit, each), np.float64) for each in (top, bottom))
        return cls(above, below)

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.top.sum() / self.bottom.sum())

    @property
    def influence(self) -> Floats:
        """How much each customer moves the estimate, times their number; sums to 0."""
        moved: Floats = (self.top - self.value * self.bottom) / self.bottom.mean()
        return moved


def skewness_interval(ratio: Ratio, less: Ratio | None, level: float) -> tuple[float, float]:
    """Student's interval of the influences, with their skewness removed and tails allowed for.

    Weighted rewards are skewed and have heavy tails: few decisions carry a large weight or earn
    much, so that the error itself is less sure than Student's n - 1 degrees of freedom say. We
    take as many as a variance of that variance has, 2 n / (kurtosis - 1). ``less`` is subtracted,
    customer by customer, where two policies are compared.

    References
    ----------
    Satterthwaite (1946), "An approximate distribution of estimates of variance components", for
    the degrees of freedom; Hall (1992), "On the removal of skewness by transformation", JRSS B 54;
    for ratios the influences stand for the values (Owen 2013, "Monte Carlo theory", section 9.2).
    """
    moved = ratio.influence - (less.influence if less else 0.0)
    value = ratio.value - (less.value if less else 0.0)
    n = len(moved)
    deviation = sqrt(float((moved**2).mean()))
    if n < 2:
        return -np.inf, np.inf
    if not deviation:
        return value, value
    skewness = np.array(float((moved**3).mean()) / deviation**3 / sqrt(n))
    heavy = max(float((moved**4).mean()) / deviation**4 - 1, 1e-9)
    freedom = min(2 * n / heavy, n - 1.0)
    error, t = deviation / sqrt(n - 1), student_quantile(freedom, level)
    low, high = (value - float(hall_quantile(q, skewness)) * error for q in (t, -t))
    return low, high


def bootstrap_interval(
    ratio: Ratio, less: Ratio | None, level: float, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Customers drawn again with replacement, the estimate divided by its error each time.

    Studentised, as the plain percentiles of resampled estimates are as much too short on the
    skewed side as Student's interval.

    References
    ----------
    Efron (1981), "Nonparametric standard errors and confidence intervals", section 9
    (bootstrap t); Hall (1988), "Theoretical comparison of bootstrap confidence intervals".
    """
    parts = [ratio.top, ratio.bottom] + ([less.top, less.bottom] if less else [])
    columns = np.column_stack(parts)
    n, width = columns.shape
    if n < 2:
        return -np.inf, np.inf
    squares = (columns[:, :, None] * columns[:, None, :]).reshape(n, -1)
    value, error = (float(found[0]) for found in studied(np.ones((1, n)), columns, squares))
    rng = np.random.default_rng(seed)
    found = []
    for count in _batches(resamples, n):
        drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
        again, spread = studied(times, columns, squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.where(spread > 0, (again - value) / spread, 0.0))
    below, above = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return value - float(above) * error, value - float(below) * error


def studied(times: Floats, columns: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Estimate and its error, shape (n_samples,), of customers taken so many ``times`` each."""
    n, width = columns.shape
    sums = times @ columns
    moments = (times @ squares).reshape(len(times), width, width)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = sums[:, ::2] / sums[:, 1::2]
        slopes = np.empty((len(times), width))  # of the estimate, by each sum
        slopes[:, ::2], slopes[:, 1::2] = 1 / sums[:, 1::2], -values / sums[:, 1::2]
    slopes[:, 2:] *= -1
    square = np.einsum("si,sij,sj->s", slopes, moments, slopes)
    value = values[:, 0] - (values[:, 1] if width > 2 else 0.0)
    return value, np.sqrt(np.maximum(square, 0.0) * n / (n - 1))


def _batches(resamples: int, n: int) -> list[int]:
    size = max(1, AT_ONCE // n)
    return [min(size, resamples - done) for done in range(0, resamples, size)]


def bernstein_interval(ratio: Ratio, width: float, level: float) -> tuple[float, float]:
    """Bound that holds for every sample size if ``width`` is known beforehand; long.

    For a mean, the bound itself. For a ratio, all values ``v`` for which 0 is within the bound of
    the mean of top - v x bottom, whose expectation is 0 at the truth.

    Parameters
    ----------
    width : float
        Largest less smallest value that a customer's top - v x bottom can take.

    References
    ----------
    Maurer & Pontil (2009), "Empirical Bernstein bounds and sample variance penalization",
    theorem 4, once for either side.
    """
    n = len(ratio.top)
    if n < 2:
        return -np.inf, np.inf
    told = log(4 / (1 - level))
    spread = np.cov(ratio.top, ratio.bottom)
    top, bottom = float(ratio.top.mean()), float(ratio.bottom.mean())
    rest = 7 * width * told / (3 * (n - 1))
    # top - v bottom = +- (sqrt(2 variance(v) told / n) + rest), solved for v, which is quadratic.
    share = 2 * told / n
    a = bottom**2 - share * float(spread[1, 1])
    if a <= 0:
        return -np.inf, np.inf
    bounds = []
    for sign in (-1.0, 1.0):
        c = top + sign * rest
        b = c * bottom - share * float(spread[0, 1])
        root = sqrt(max(b**2 - a * (c**2 - share * float(spread[0, 0])), 0.0))
        bounds.append((b + sign * root) / a)
    return bounds[0], bounds[1]
