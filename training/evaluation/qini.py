"""The Qini curve: what contacting the customers with the highest scores first adds.

A model of effects ranks customers. A randomised experiment tells if the ranking is right: among the
customers of the highest scores, those who were contacted are compared with those who were not.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from features.errors import InvalidLog
from features.intervals import LEVEL, ConfidenceInterval, student_interval
from training.arrays import Floats, Indices

RESAMPLES = 1000


class UpliftCurve(NamedTuple):
    """A curve of what contacting the customers with the highest scores adds, from 0, 0.

    Customers of equal scores are added together, so there is one point for each distinct score.

    Attributes
    ----------
    customers : shape (n_points,)
        Number of customers, of both arms, with the highest scores.
    added : shape (n_points,), in the unit of the outcome
        Outcomes of the contacted ones among them, less what these would have had without contact.
    """

    customers: Floats
    added: Floats

    @property
    def area(self) -> float:
        """Area between the curve and the straight line from its first to its last point."""
        random = float(self.customers[-1] * self.added[-1]) / 2
        return _area(self.added, self.customers) - random


class ContactGain(NamedTuple):
    """The gain of contacting a share of the customers, against contacting nobody.

    Attributes
    ----------
    share : shape (n_points,)
        Share of the customers that is contacted, those with the highest scores first.
    gain : shape (n_points,), in the unit of the outcome
        Per customer, contacted or not, less the cost of the contacts.
    """

    share: Floats
    gain: Floats


class _Ranked(NamedTuple):
    """Customers in the order of their scores, the highest first.

    Attributes
    ----------
    order : shape (n,)
        Indices of the customers.
    ends : shape (n_points,)
        Position of the last customer of each distinct score.
    """

    order: Indices
    ends: Indices

    @classmethod
    def by(cls, score: Floats) -> _Ranked:
        order = np.argsort(-score, kind="stable")
        return cls(order, np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1))

    def sums(self, values: Floats) -> Floats:
        """Sums over the customers down to each distinct score, shape (n_points,)."""
        found: Floats = np.cumsum(values[self.order])[self.ends]
        return found


def qini_curve(outcome: Floats, score: Floats, treated: Floats) -> UpliftCurve:
    """Compute the Qini curve of a score in a randomised experiment of two arms.

    With n contacted customers and m others among the first ones, it is::

        added = outcomes of the contacted - outcomes of the others x n / m

    Parameters
    ----------
    outcome : shape (n,)
        What each customer did, such as 1 for a visit.
    score : shape (n,)
        Predicted effect of the contact; only its order matters.
    treated : shape (n,)
        1 if the customer was contacted, 0 if not.

    Raises
    ------
    InvalidLog
        If an arm is empty.

    References
    ----------
    Radcliffe (2007), "Using control groups to target on predicted lift: building and assessing
    uplift models", Direct Marketing Analytics Journal.
    """
    _check_arms(treated)
    return _curve(_Ranked.by(score), outcome, treated, np.ones(len(outcome)))


def qini_coefficient(outcome: Floats, score: Floats, treated: Floats) -> float:
    """Compute the Qini coefficient: 1 for the perfect order, about 0 for a random one.

    It is the `area` of the curve divided by that of the perfect curve, which is the curve of
    outcomes that are known beforehand: contacted customers with an outcome come first, others with
    an outcome come last. The same number is ``sklift.metrics.qini_auc_score`` of scikit-uplift
    0.5.1, with ``negative_effect=True``.

    Parameters
    ----------
    outcome : shape (n,)
        0 or 1.
    score, treated
        As for `qini_curve`.

    Raises
    ------
    InvalidLog
        If an arm is empty, or no customer has the outcome.
    """
    _check_arms(treated)
    return _coefficient(_orders(outcome, score, treated), outcome, treated, np.ones(len(outcome)))


def qini_interval(
    outcome: Floats,
    score: Floats,
    treated: Floats,
    *,
    level: float = LEVEL,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ConfidenceInterval:
    """Compute the Qini coefficient with its bootstrap interval: customers are drawn again.

    The scores are given, so the interval is that of one model, however well it was fitted.
    """
    _check_arms(treated)
    orders, n = _orders(outcome, score, treated), len(outcome)
    value = _coefficient(orders, outcome, treated, np.ones(n))
    rng = np.random.default_rng(seed)
    drawn = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(resamples))
    found = [_coefficient(orders, outcome, treated, times.astype(float)) for times in drawn]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return ConfidenceInterval(value, float(low), float(high))


def interval_over_splits(
    values: Floats, held_out: float, level: float = LEVEL
) -> ConfidenceInterval:
    """Compute the mean of a figure over random splits of one data set, and its interval.

    The splits share customers, so their figures are not independent. The variance of the mean is
    the sample variance x (1 / splits + held out / learned on), instead of 1 / splits alone.

    Parameters
    ----------
    values : shape (n_splits,)
        The figure on the held-out part of each split.
    held_out : float, in (0, 1)
        Share of the customers that is held out.

    References
    ----------
    Nadeau & Bengio (2003), "Inference for the generalization error", Machine Learning 52(3).
    """
    n = len(values)
    error = float(np.std(values, ddof=1)) * sqrt(1 / n + held_out / (1 - held_out))
    return student_interval(float(np.mean(values)), error, n, level)


def contact_gain(outcome: Floats, score: Floats, treated: Floats, cost: float) -> ContactGain:
    """Compute what contacting the customers with the highest scores earns, at a cost per contact.

    With the means of the first customers, it is::

        gain = share x (mean of the contacted - mean of the others - cost)

    It is 0 as long as the first customers are all of one arm, because they cannot be compared.

    Parameters
    ----------
    outcome : shape (n,)
        What each customer did, in the unit of the cost.
    score, treated
        As for `qini_curve`.
    cost : float
        Of one contact.
    """
    _check_arms(treated)
    ranked = _Ranked.by(score)
    contacted, others = ranked.sums(treated), ranked.sums(1 - treated)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = ranked.sums(outcome * treated) / contacted
        effect = effect - ranked.sums(outcome * (1 - treated)) / others
    share = (ranked.ends + 1) / len(outcome)
    gain = np.where((contacted > 0) & (others > 0), share * (effect - cost), 0.0)
    return ContactGain(np.append(0.0, share), np.append(0.0, gain))


def _orders(outcome: Floats, score: Floats, treated: Floats) -> tuple[_Ranked, _Ranked]:
    """The order of the scores, and the perfect one."""
    return _Ranked.by(score), _Ranked.by(outcome * (2 * treated - 1))


def _curve(ranked: _Ranked, outcome: Floats, treated: Floats, times: Floats) -> UpliftCurve:
    """The curve where each customer is there ``times`` times."""
    there, others = times * treated, times * (1 - treated)
    contacted, uncontacted = ranked.sums(there), ranked.sums(others)
    ratio = np.divide(contacted, uncontacted, out=np.zeros(len(contacted)), where=uncontacted > 0)
    added = ranked.sums(outcome * there) - ranked.sums(outcome * others) * ratio
    return UpliftCurve(np.append(0.0, contacted + uncontacted), np.append(0.0, added))


def _coefficient(
    orders: tuple[_Ranked, _Ranked], outcome: Floats, treated: Floats, times: Floats
) -> float:
    """The area of the first order divided by that of the second, the perfect one."""
    area, best = (_curve(ranked, outcome, treated, times).area for ranked in orders)
    if best <= 0:
        raise InvalidLog(
            f"None of the {len(outcome)} customers has the outcome, so every order is as good.",
            expected="an outcome that some of the customers have",
            remedy="Use another outcome, a longer time to count it in, or more customers.",
        )
    return area / best


def _check_arms(treated: Floats) -> None:
    contacted = int(np.sum(treated))
    if not 0 < contacted < len(treated):
        raise InvalidLog(
            f"{contacted} of {len(treated)} customers were contacted.",
            expected="customers who were contacted, and others who were not",
            remedy="Use an experiment with both arms.",
        )


def _area(heights: Floats, at: Floats) -> float:
    """The area under a line through points (trapezoids)."""
    return float(((heights[1:] + heights[:-1]) * np.diff(at)).sum() / 2)
