"""How much more customers bring under the policy than under random allowed actions.

The customer is the unit that was drawn at random, so customers are compared, not decisions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from training.bandit import Floats

LEVEL = 0.95
FEWEST = 2  # customers in each arm: of one alone, nobody knows how sure it is
SUSPICIOUS = 1e-3  # p value below which the split is not what it should be


class Lift(NamedTuple):
    """Difference of the mean reward of a customer, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def lift(policy: Floats, control: Floats) -> Lift | None:
    """Mean of the policy's customers less mean of the control group's.

    Parameters
    ----------
    policy, control : shape (n_customers,), in the domain's currency
        Reward of each customer of the arm.

    Returns
    -------
    Lift or None
        None where an arm has fewer than `FEWEST` customers.

    References
    ----------
    Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved". Its interval is of normal means: rewards are skewed, so with few
    customers in the control group it covers somewhat less than it says.
    """
    if min(len(policy), len(control)) < FEWEST:
        return None
    value = float(policy.mean() - control.mean())
    if np.ptp(policy) == 0 and np.ptp(control) == 0:  # no spread: nothing to be unsure of
        return Lift(value, value, value)
    found = stats.ttest_ind(policy, control, equal_var=False).confidence_interval(LEVEL)
    return Lift(value, float(found.low), float(found.high))


def sample_ratio_p(policy: int, control: int, share: float) -> float | None:
    """How likely a split at least as uneven is, if customers were drawn with this share.

    The exact binomial test; for a large sample it is the chi-square test of the sample ratio
    (Fabijan et al., 2019, "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments").

    Parameters
    ----------
    policy, control : int
        Customers in each arm.
    share : float, in [0, 1]
        Of the control group.

    Returns
    -------
    float or None
        None where there is nobody.
    """
    total = policy + control
    return float(stats.binomtest(control, total, share).pvalue) if total else None
