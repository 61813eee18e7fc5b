"""CUPED: takes from each customer's value what the value before the experiment explains.

Customers differ lastingly: who bought much before buys much after. The value before a customer was
met cannot depend on the arm, so that subtracting theta x (before - mean of before) leaves every
difference between arms as it is on average, with less variance. Theta is the slope of value on
before within the arms, one for all arms; the noise of an estimated theta is of a smaller order.

References
----------
Deng, Xu, Kohavi & Walker (2013), "Improving the sensitivity of online controlled experiments by
utilizing pre-experiment data", WSDM, for the name and the use; the estimator is the analysis of
covariance of Fisher (1932).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from training.arrays import Floats

LEAST_CUSTOMERS = 2  # of an arm, for a variance
PRIOR_CUSTOMERS = 20.0  # informative ones, as which the moments of all arms count


class ArmMoments(NamedTuple):
    """Moments of the adjusted values of arms; arrays whose last axis is that of the arms.

    Attributes
    ----------
    n
        Customers.
    mean
        ``nan``, as are the others, with fewer than `LEAST_CUSTOMERS`.
    variance
        With n - 1.
    third, fourth
        Central moments, with n.
    unadjusted
        The variance of the values before the adjustment.
    """

    n: Floats
    mean: Floats
    variance: Floats
    third: Floats
    fourth: Floats
    unadjusted: Floats

    @property
    def informative(self) -> Floats:
        """The number of customers that carry the variance: n divided by the kurtosis.

        If k of n customers have brought something, all the same, it is about k (for small k / n).
        A few large values make it small: whether the mean is normal depends on it, not on n.
        """
        squares = self.variance * (self.n - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = squares**2 / (self.n * self.fourth)
        return np.nan_to_num(found, nan=0.0, posinf=0.0)

    def cautious(self) -> ArmMoments:
        """Raise variances towards that of all arms, the more, the fewer customers are informative.

        Values are skewed: an arm of few customers in which, by chance, nobody has spent much has a
        small mean and a small variance, and would be certain of it. On every early look of many
        that is not rare. So the moments of all arms count as `PRIOR_CUSTOMERS` more customers
        in an arm whose variance is smaller. Variances are never lowered.
        """
        n = np.where(np.isfinite(self.variance), self.n, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = n / n.sum(axis=-1, keepdims=True)
            own = self.informative / (self.informative + PRIOR_CUSTOMERS)
        variance, third, fourth = (
            own * part + (1 - own) * np.nansum(weight * part, axis=-1, keepdims=True)
            for part in (self.variance, self.third, self.fourth)
        )
        raised = variance > self.variance
        return self._replace(
            variance=np.where(raised, variance, self.variance),
            third=np.where(raised, third, self.third),
            fourth=np.where(raised, fourth, self.fourth),
        )


def adjusted_moments(value: Floats, before: Floats, arms: Sequence[slice]) -> ArmMoments:
    """Compute the moments of each arm, arrays of shape (n_arms,).

    Parameters
    ----------
    value, before : shape (n_customers,)
        The value of each customer since it was met, and that of the time before.
    arms
        The places of the customers of each arm; customers in none do not count.
    """
    theta = _slope(value, before, arms)
    total = sum(len(before[some]) for some in arms)
    center = sum(float(before[some].sum()) for some in arms) / max(total, 1)
    rows = []
    for some in arms:
        n = len(before[some])
        if n < LEAST_CUSTOMERS:
            rows.append([float(n), *[np.nan] * 5])
            continue
        adjusted = value[some] - theta * (before[some] - center)
        mean = float(adjusted.mean())
        difference = adjusted - mean
        square = difference * difference
        variance = float(square.sum()) / (n - 1)
        third, fourth = float((square * difference).mean()), float((square * square).mean())
        rows.append([n, mean, variance, third, fourth, float(value[some].var(ddof=1))])
    return ArmMoments(*np.array(rows, dtype=np.float64).T)


def _slope(value: Floats, before: Floats, arms: Sequence[slice]) -> float:
    """The slope of value on before within arms; 0 if before does not vary."""
    products = squares = 0.0
    for some in arms:
        if len(before[some]):
            difference = before[some] - before[some].mean()
            products += float(difference @ value[some])
            squares += float(difference @ difference)
    return products / squares if squares > 0 else 0.0
