"""The five estimators of `off_policy`, as values of decisions, not added up yet."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from features.errors import InvalidLog
from training.arrays import Floats, Ints
from training.evaluation.intervals import Ratio
from training.evaluation.log import Log

Method = Literal["direct", "ips", "snips", "doubly_robust", "switch"]

TAUS = 20  # thresholds that `switch` chooses from
MOST_BELIEVED = 0.5  # of the weight, above tau; the model must be tested on the rest


@dataclass(frozen=True, slots=True)
class Part:
    """One estimator of one policy: values of decisions, and what bounds them.

    Attributes
    ----------
    top, bottom : shape (n_decisions,)
    centre : shape (n_decisions,)
        What is added up for the value itself; differs from ``top`` for ``direct`` only.
    width : float
        Largest less smallest value that a decision can have.
    bias : float
        By which the value may be off for another reason than chance.
    """

    top: Floats
    bottom: Floats
    centre: Floats
    width: float
    bias: float = 0.0
    note: str = ""

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.centre.sum() / self.bottom.sum())


def parts(log: Log, target: Floats, weight: Floats, expected: Floats | None) -> dict[Method, Part]:
    """What each estimator adds up; only ``ips`` and ``snips`` if nothing is ``expected``.

    Parameters
    ----------
    target, expected : shape (n_decisions, n_actions)
    weight : shape (n_decisions,)

    Raises
    ------
    InvalidLog
        If ``expected`` does not fit the policy or is not finite.
    """
    r, one = log.reward, np.ones(len(log.reward))
    largest, least, most = float(weight.max()), float(r.min()), float(r.max())
    weighted = weight * r
    spans = largest * (max(most, 0.0) - min(least, 0.0)), largest * (most - least)
    found: dict[Method, Part] = {
        "ips": Part(weighted, one, weighted, spans[0]),
        "snips": Part(weighted, weight, weighted, spans[1]),
    }
    if expected is None:
        return found
    if expected.shape != target.shape or not np.isfinite(expected).all():
        raise InvalidLog(
            f"Expected rewards have shape {expected.shape}, or are not all finite.",
            expected=f"a finite number for each probability of the policy, {target.shape}",
            remedy="Take them from training.cross_fitting.cross_fitted.",
        )
    m = (target * expected).sum(axis=1)
    residual = r - expected[np.arange(len(r)), log.action]
    reach = float(np.ptp(m))
    robust, width = m + weight * residual, reach + largest * float(np.ptp(residual))
    tau, bias = switch_threshold(log.unit, weight, m, residual)
    kept = np.where(weight <= tau, weight, 0.0)
    switched = m + kept * residual
    switched_width = reach + min(tau, largest) * float(np.ptp(residual))
    left_out = float(np.where(weight > tau, weight, 0.0).sum() / max(weight.sum(), 1e-300))
    told = f"Above a weight of {tau:.3g} the model is believed: {left_out:.1%} of the weight."
    told = told if left_out else ""
    found["direct"] = Part(robust, one, m, width)
    found["doubly_robust"] = Part(robust, one, robust, width)
    found["switch"] = Part(switched, one, switched, switched_width, bias, told)
    return found


def switch_threshold(
    unit: Ints, weight: Floats, m: Floats, residual: Floats
) -> tuple[float, float]:
    """The tau with the least variance + squared bias, and that bias, both as the log tells.

    Believing the model above tau costs the policy's probability there times the model's error. The
    bound that Wang, Agarwal & Dudik (2017, section 4.1) take for the error, the largest reward, is
    so wide that hardly any log is ever switched. Ours is what the model errs below tau on what the
    policy would do, plus two standard errors; or what the few weighted residuals above say, if that
    is more. (The former alone was not enough: where a policy is greedy, models err on the actions
    that it wants most.) And no more of the policy's choices may lie above than below. All arguments
    are of shape (n_decisions,).
    """
    one = np.ones(len(m))
    taus = np.unique(np.quantile(weight, np.linspace(0, 1, TAUS + 1), method="higher"))
    best, least = (float(taus[-1]), 0.0), np.inf
    for tau in taus[::-1]:
        below = np.where(weight <= tau, weight, 0.0)
        above = weight - below
        if below.sum() < (1 - MOST_BELIEVED) * weight.sum():
            continue
        bias = 0.0
        if above.any():
            wrong = Ratio.of(unit, below * residual, below)
            tested = float(above.mean()) * (abs(wrong.value) + 2 * _error(wrong))
            bias = max(tested, abs(float((above * residual).mean())))
        found = _error(Ratio.of(unit, m + below * residual, one)) ** 2 + bias**2
        if found < least:
            best, least = (float(tau), bias), found
    return best


def _error(ratio: Ratio) -> float:
    """Standard error."""
    return sqrt(float((ratio.influence**2).sum())) / len(ratio.top)
