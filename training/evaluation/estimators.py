"""The five estimators of `off_policy`, as terms of each decision that are not summed yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np

from features.errors import InvalidLog
from training.arrays import Bools, Floats, Ints
from training.evaluation.intervals import RatioEstimate
from training.evaluation.log import Log

Method = Literal["direct", "ips", "snips", "doubly_robust", "switch"]

THRESHOLDS = 20  # candidates for the threshold of ``switch``
MAX_MODEL_SHARE = 0.5  # of the weight above tau; the model is tested on the rest


@dataclass(frozen=True, slots=True)
class EstimatorTerms:
    """Terms of one estimator for one policy: the estimate is sum(point) / sum(denominator).

    Attributes
    ----------
    top, bottom : shape (n_decisions,)
    point : shape (n_decisions,)
        What is added up for the value itself; differs from ``numerator`` for ``direct`` only.
    width : float
        Largest less smallest value that a decision can have.
    bias : float
        By which the value may be off for another reason than chance.
    """

    numerator: Floats
    denominator: Floats
    point: Floats
    width: float
    bias: float = 0.0
    note: str = ""

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.point.sum() / self.denominator.sum())

    def as_logged(self, log: Log, which: Bools) -> EstimatorTerms:
        """Replace the terms of some decisions, ``which`` (n_decisions,), by the logged rewards."""
        reward, one = log.reward, np.ones(len(log.reward))
        return replace(
            self,
            numerator=np.where(which, reward, self.numerator),
            denominator=np.where(which, one, self.denominator),
            point=np.where(which, reward, self.point),
            width=max(self.width, float(np.ptp(reward))),
        )


def estimator_terms(
    log: Log, target: Floats, weight: Floats, expected: Floats | None
) -> dict[Method, EstimatorTerms]:
    """Compute the terms of each estimator; only ``ips`` and ``snips`` without ``expected``.

    Parameters
    ----------
    target, expected : shape (n_decisions, n_actions)
    weight : shape (n_decisions,)

    Raises
    ------
    InvalidLog
        If ``expected`` has another shape than ``target``, or is not finite.
    """
    r, one = log.reward, np.ones(len(log.reward))
    largest, least, most = float(weight.max()), float(r.min()), float(r.max())
    weighted = weight * r
    spans = largest * (max(most, 0.0) - min(least, 0.0)), largest * (most - least)
    found: dict[Method, EstimatorTerms] = {
        "ips": EstimatorTerms(weighted, one, weighted, spans[0]),
        "snips": EstimatorTerms(weighted, weight, weighted, spans[1]),
    }
    if expected is None:
        return found
    if expected.shape != target.shape or not np.isfinite(expected).all():
        raise InvalidLog(
            f"Expected rewards have shape {expected.shape}, or are not all finite.",
            expected=f"a finite number for each probability of the policy, {target.shape}",
            remedy="Take them from training.evaluation.reward_regression.cross_fitted.",
        )
    m = (target * expected).sum(axis=1)
    residual = r - expected[np.arange(len(r)), log.action]
    model_range = float(np.ptp(m))
    robust, width = m + weight * residual, model_range + largest * float(np.ptp(residual))
    tau, bias = switch_threshold(log.customer, weight, m, residual)
    kept = np.where(weight <= tau, weight, 0.0)
    switched = m + kept * residual
    switched_width = model_range + min(tau, largest) * float(np.ptp(residual))
    model_share = float(np.where(weight > tau, weight, 0.0).sum() / max(weight.sum(), 1e-300))
    note = ""
    if model_share:
        note = (
            f"The reward model replaces weights above {tau:.3g}, {model_share:.1%} of the weight."
        )
    found["direct"] = EstimatorTerms(robust, one, m, width)
    found["doubly_robust"] = EstimatorTerms(robust, one, robust, width)
    found["switch"] = EstimatorTerms(switched, one, switched, switched_width, bias, note)
    return found


def switch_threshold(
    customer: Ints, weight: Floats, m: Floats, residual: Floats
) -> tuple[float, float]:
    """Choose the threshold tau of ``switch`` by estimated variance + squared bias.

    Above tau the reward model is used alone. Its bias there is the policy's probability above tau
    times the model's error. Wang, Agarwal & Dudik (2017, section 4.1) bound the error by the
    largest reward, which is so large that hardly any log is ever switched. Here the error is
    estimated by the model's error below tau, weighted by the policy, plus two standard errors; or
    by the weighted residuals above tau, if they are larger. (The former alone was too small: models
    err most on the actions that a greedy policy prefers.) At most `MAX_MODEL_SHARE` of the weight
    may be above tau.

    Parameters
    ----------
    customer, weight, m, residual : shape (n_decisions,)
        Number of the customer, importance weight, model's value of the policy, reward less the
        model's prediction.

    Returns
    -------
    tau, bias : float

    References
    ----------
    Wang, Agarwal & Dudik (2017), "Optimal and adaptive off-policy evaluation in contextual
    bandits".
    """
    one = np.ones(len(m))
    taus = np.unique(np.quantile(weight, np.linspace(0, 1, THRESHOLDS + 1), method="higher"))
    best, least = (float(taus[-1]), 0.0), np.inf
    for tau in taus[::-1]:
        below = np.where(weight <= tau, weight, 0.0)
        above = weight - below
        if below.sum() < (1 - MAX_MODEL_SHARE) * weight.sum():
            continue
        bias = 0.0
        if above.any():
            model_error = RatioEstimate.of(customer, below * residual, below)
            bound = float(above.mean()) * (
                abs(model_error.value) + 2 * _standard_error(model_error)
            )
            bias = max(bound, abs(float((above * residual).mean())))
        squared_error = (
            _standard_error(RatioEstimate.of(customer, m + below * residual, one)) ** 2 + bias**2
        )
        if squared_error < least:
            best, least = (float(tau), bias), squared_error
    return best


def _standard_error(ratio: RatioEstimate) -> float:
    """Compute the standard error of a ratio from its influences."""
    return sqrt(float((ratio.influence**2).sum())) / len(ratio.numerator)
