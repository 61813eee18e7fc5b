"""Confidence sequences: intervals of differences that hold at all looks together.

An interval for one planned look excludes the truth ever more often, the more often it is looked at.
A confidence sequence holds the truth at all looks at once with probability 95 %, so that it may be
read every day, and an experiment may end on any day.

The statistic of a look is the difference of two means divided by its standard error. As customers
join and their value grows, the sum behind it is asymptotically a Brownian motion. Robbins' mixture
of normal alternatives bounds a Brownian motion at all times.

The clock of the bound is the number of customer-days since customers were met. Let V be the
variance of the sum. If the increments of a customer's value are not negatively correlated, two
looks s < t have a correlation of at least sqrt(V(s) / V(t)), and it is larger if customers differ
lastingly. Customer-days grow like V if each adds the same variance, and faster if there is little
new in later days. The looks are then at least as correlated as the Brownian motion of this clock,
and cross the bound no more often (Slepian 1962). A season with larger values, or value that is
taken back, can make V grow faster for a while. The bound holds for an endless experiment and has
room for that; `tests/bench/lift.py` measures it.

References
----------
Robbins (1970), "Statistical methods related to the law of the iterated logarithm"; Howard, Ramdas,
McAuliffe & Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals
of Statistics 49(2), section 3.2; Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021),
"Time-uniform central limit theory and asymptotic confidence sequences"; Slepian (1962), "The
one-sided barrier problem for Gaussian noise".
"""

from __future__ import annotations

import numpy as np

from features.intervals import LEVEL, normal_quantile
from training.arrays import Floats, Ints

REFERENCE_DAYS = 7  # the clock is 1 at their end: the bound is closest at about 8 times as much
LEAST_INFORMATIVE = 5  # customers of an arm that carry its variance; with fewer there is no bound


def mixture_quantile(clock: Floats, level: float = LEVEL) -> Floats:
    """Compute the bound of a standardised difference at each look, of the shape of ``clock``.

    With x the clock and a = 1 - level, sqrt((1 + 1/x) log((x + 1) / a^2)). It replaces the normal
    quantile 1.96 of one planned look: 3.66 at x = 1, 3.03 at x = 8, 3.27 at x = 100.

    Parameters
    ----------
    clock : > 0
        Intrinsic time; see `customer_clock`.
    """
    alpha = 1 - level
    found: Floats = np.sqrt((1 + 1 / clock) * np.log((clock + 1) / alpha**2))
    return found


def planned_quantile(clock: Floats) -> Floats:
    """The normal quantile of one planned look, of the shape of ``clock``."""
    return np.full(clock.shape, normal_quantile())


def customer_clock(begin: Ints, looks: Ints) -> Floats:
    """Compute the clock at the end of each day that is looked at, shape (n_looks,).

    The customer-days up to then, divided by those of the first `REFERENCE_DAYS` days; at least 1.
    So the scale of the bound is fixed by when customers were met, and by no value.

    Parameters
    ----------
    begin : shape (n_customers,), n_customers >= 1
        The first day of each customer that counts.
    looks : shape (n_looks,)
        Days, in their order.
    """
    days, met = np.unique(begin, return_counts=True)
    first_week = np.array([days[0] + REFERENCE_DAYS - 1])
    customer_days, reference = (
        np.maximum(at[:, None] - days + 1, 0) @ met.astype(np.float64) for at in (looks, first_week)
    )
    found: Floats = np.maximum(customer_days / reference, 1.0)
    return found
