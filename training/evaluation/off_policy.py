"""Estimates what another policy would have earned on logged decisions.

Five estimators of the policy's mean reward per decision. With r the reward, w the policy's
probability of the logged action divided by the logged one, q(a) the reward of action a that a model
predicts which was fitted on other customers (`reward_regression`), and m the mean of q under the
policy:

* ``direct``         mean of m
* ``ips``            mean of w r
* ``snips``          sum of w r / sum of w
* ``doubly_robust``  mean of m + w (r - q)
* ``switch``         the same, without w (r - q) where w is above tau; its interval is longer by the
                     estimated bias

Where the log does not support an estimate, the answer is `NoSupport` and no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Bools, Floats, Ints
from training.evaluation.estimators import EstimatorTerms, Method, estimator_terms
from training.evaluation.intervals import (
    RatioEstimate,
    bernstein_interval,
    bootstrap_interval,
    skewness_interval,
)
from training.evaluation.log import Log, NoSupport, effective_decisions, support, weights

__all__ = ["Estimate", "Interval", "Log", "Method", "NoSupport", "compare", "evaluate"]

Interval = Literal["skewness", "bootstrap", "bernstein"]

FEW_INFORMATIVE_CUSTOMERS = 20  # informative customers; with fewer, intervals are too short


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated mean reward per decision of the evaluated policy, or a difference of two.

    Attributes
    ----------
    value, low, high : float, in the domain's currency
        Estimate and interval. The interval of ``direct`` need not hold its value: see `evaluate`.
    effective_decisions : float
        Effective sample size (see `effective_decisions`); below some hundreds, do not promote.
    customers : int
        Number of customers, who are independent of each other.
    note : str
        Remark on the estimate; empty if there is none.
    """

    method: Method
    interval: Interval
    value: float
    low: float
    high: float
    effective_decisions: float
    n: int
    customers: int
    note: str


def evaluate(
    log: Log,
    target: Floats,
    expected: Floats | None = None,
    *,
    interval: Interval = "skewness",
    level: float = 0.95,
    seed: int = 0,
) -> Mapping[Method, Estimate | NoSupport]:
    """Estimate what the policy would have earned, by each estimator.

    Parameters
    ----------
    target : shape (n_decisions, n_actions)
        Probabilities of the evaluated policy for each logged decision. A policy that has learned
        from this log is overestimated.
    expected : shape (n_decisions, n_actions), or None
        Predictions of a reward model that was fitted on other customers (`cross_fitted`). None:
        only ``ips`` and ``snips``.
    interval
        ``skewness``: `skewness_interval`; ``bootstrap``: `bootstrap_interval`; ``bernstein``:
        `bernstein_interval`, wider, and valid if the observed ranges are the true ones.
    level : float, in (0, 1)
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    mapping of method to Estimate or NoSupport

    Raises
    ------
    InvalidLog
        If the shapes of log, policy and predictions differ, or a row is no distribution.
    InvalidSetting
        If the level is not between 0 and 1.

    Notes
    -----
    The spread of a model's predictions does not show the model's bias, so an interval made from it
    is far too short. The bias shows in the weighted residuals w (r - q) of customers outside the
    model's fit. The interval of ``direct`` is therefore the doubly robust one, which removes that
    bias; if the value of ``direct`` lies outside, the log contradicts the model.

    References
    ----------
    Horvitz & Thompson (1952) for ``ips``; Swaminathan & Joachims (2015), "The self-normalized
    estimator for counterfactual learning"; Dudik, Langford & Li (2011), "Doubly robust policy
    evaluation and learning"; Wang, Agarwal & Dudik (2017), "Optimal and adaptive off-policy
    evaluation in contextual bandits", for ``switch`` (tau: section 4.1).
    """
    _check_level(level)
    weight = weights(log, target)
    found = estimator_terms(log, target, weight, expected)
    no_support = support(log, target, weight)
    if no_support:
        return dict.fromkeys(found, no_support)
    return _estimates(log, weight, [found], interval, level, seed)


def compare(
    log: Log,
    target: Floats,
    other: Floats | None = None,
    expected: Floats | None = None,
    *,
    as_logged: Bools | None = None,
    interval: Interval = "skewness",
    level: float = 0.95,
    seed: int = 0,
) -> Mapping[Method, Estimate | NoSupport]:
    """Estimate by how much more the policy would have earned than another one on the same log.

    Paired: rewards that both policies have in common do not widen the interval.

    Parameters
    ----------
    other : shape (n_decisions, n_actions), or None
        Probabilities of the other policy. None: the logged actions and rewards.
    as_logged : shape (n_decisions,), bool, or None
        Decisions at which the other policy is the one that decided, and only the probability of
        the action taken is known of it: the logged rewards are compared, whatever ``other`` holds.

    See `evaluate` for the rest. ``effective_decisions`` is the smaller one of both policies.
    """
    _check_level(level)
    if other is not None and as_logged is not None:
        other = np.where(as_logged[:, None], target, other)
    policies = [target] if other is None else [target, other]
    policy_weights = [weights(log, policy) for policy in policies]
    if other is not None and as_logged is not None:
        policy_weights[1] = np.where(as_logged, 1.0, policy_weights[1])
    terms = [
        estimator_terms(log, policy, weight, expected)
        for policy, weight in zip(policies, policy_weights, strict=True)
    ]
    for policy, weight in zip(policies, policy_weights, strict=True):
        no_support = support(log, policy, weight)
        if no_support:
            return dict.fromkeys(terms[0], no_support)
    if other is None:
        logged = EstimatorTerms(
            log.reward, np.ones(len(log.reward)), log.reward, float(np.ptp(log.reward))
        )
        terms.append(dict.fromkeys(terms[0], logged))
    elif as_logged is not None:
        terms[1] = {name: one.as_logged(log, as_logged) for name, one in terms[1].items()}
    smallest = min(policy_weights, key=effective_decisions)
    return _estimates(log, smallest, terms, interval, level, seed)


def _estimates(
    log: Log,
    weight: Floats,
    terms: list[dict[Method, EstimatorTerms]],
    interval: Interval,
    level: float,
    seed: int,
) -> dict[Method, Estimate | NoSupport]:
    """Estimate the value of one policy, or of the first less the second, by each method."""
    customer, effective = log.customer, effective_decisions(weight)
    warning = _few_informative(log, weight)
    customers = int(customer.max()) + 1
    found: dict[Method, Estimate | NoSupport] = {}
    for method in terms[0]:
        estimators = [one[method] for one in terms]
        low, high = _bounds(customer, estimators, interval, level, seed)
        bias = sum(part.bias for part in estimators)
        low, high = low - bias, high + bias
        value = estimators[0].value - sum(part.value for part in estimators[1:])
        notes = [*(part.note for part in estimators), warning]
        if not low <= value <= high:
            notes.append("The log contradicts the reward model: use the interval, not the value.")
        note = " ".join(filter(None, notes))
        found[method] = Estimate(
            method, interval, value, low, high, effective, len(customer), customers, note
        )
    return found


def _bounds(
    customer: Ints, estimators: list[EstimatorTerms], interval: Interval, level: float, seed: int
) -> tuple[float, float]:
    ratios = [RatioEstimate.of(customer, part.numerator, part.denominator) for part in estimators]
    subtracted = ratios[1] if len(ratios) > 1 else None
    if interval == "skewness":
        return skewness_interval(ratios[0], subtracted, level)
    if interval == "bootstrap":
        return bootstrap_interval(ratios[0], subtracted, level, seed)
    most = float(np.bincount(customer).max())
    level = 1 - (1 - level) / len(ratios)  # Bonferroni: both bounds hold together at the level
    bounds = [
        bernstein_interval(ratio, part.width * most, level)
        for ratio, part in zip(ratios, estimators, strict=True)
    ]
    low, high = bounds[0]
    return (low - bounds[1][1], high - bounds[1][0]) if subtracted else (low, high)


def _few_informative(log: Log, weight: Floats) -> str:
    """Warn if few customers have another reward than the most frequent one; else empty."""
    weighted = weight > 0
    values, counts = np.unique(log.reward[weighted], return_counts=True)
    differs = weighted & (log.reward != values[counts.argmax()])
    informative = len(np.unique(log.customer[differs]))
    if informative >= FEW_INFORMATIVE_CUSTOMERS:
        return ""
    return (
        f"Only {informative} customers have another reward than the most frequent one: the "
        "interval is too short."
    )


def _check_level(level: float) -> None:
    if not 0 < level < 1:  # written so that nan fails too
        raise InvalidSetting(
            f"level is {level!r}.",
            expected="a number between 0 and 1",
            remedy="Use 0.95 for an interval that covers the true value in 95 of 100 cases.",
        )
