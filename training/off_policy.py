"""What another policy would have earned on decisions that were already made.

Five estimators of its mean reward a decision. With w the policy's probability of the logged action
divided by the logged one, r the reward, q(a) what a reward model expects of action a (fitted on
other customers: `training.cross_fitting`), and m the mean of q over the policy's choices:

* ``direct``         mean of m
* ``ips``            mean of w r
* ``snips``          sum of w r / sum of w
* ``doubly_robust``  mean of m + w (r - q)
* ``switch``         the same, with w (r - q) left out where w is above tau; its interval is longer
                     by what the model may err there

Where the log cannot tell, the answer is `NoSupport` and no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidLog, InvalidSetting
from training.decision_log import Log, NoSupport, effective_decisions, support, weights
from training.off_policy_intervals import (
    Ratio,
    bernstein_interval,
    bootstrap_interval,
    skewness_interval,
)

__all__ = ["Estimate", "Interval", "Log", "Method", "NoSupport", "compare", "evaluate"]

Floats = NDArray[np.float64]
Method = Literal["direct", "ips", "snips", "doubly_robust", "switch"]
Interval = Literal["skewness", "bootstrap", "bernstein"]

FEW = 20  # customers who tell; below, intervals are too short (training/lift.py)
TAUS = 20  # thresholds that `switch` chooses from


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean reward a decision under the judged policy, or a difference of two such.

    Attributes
    ----------
    value, low, high : float, in the domain's currency
        Estimate and interval. The interval of ``direct`` need not hold its value: see `evaluate`.
    effective_decisions : float
        How many decisions speak for it; below some hundreds, do not promote.
    customers : int
        Who are independent of each other.
    note : str
        What to keep in mind; empty if nothing.
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


@dataclass(frozen=True, slots=True)
class _Part:
    """One estimator before it is added up: values of decisions, and what bounds them.

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


def evaluate(
    log: Log,
    target: Floats,
    expected: Floats | None = None,
    *,
    interval: Interval = "skewness",
    level: float = 0.95,
    seed: int = 0,
) -> Mapping[Method, Estimate | NoSupport]:
    """What the policy would have earned, by each estimator.

    Parameters
    ----------
    target : shape (n_decisions, n_actions)
        Probabilities of the judged policy for each logged decision. It must not have learned
        from this log, or its value looks too good.
    expected : shape (n_decisions, n_actions), or None
        Rewards that a model expects which has not seen the customer. None: only ``ips``, ``snips``.
    interval
        ``skewness``: Student's with the skewness removed; ``bootstrap``: of customers, studentised;
        ``bernstein``: a bound, hence wider, as good as the observed ranges are the true ones.
    seed : int
        Of the bootstrap.

    Returns
    -------
    mapping of method to Estimate or NoSupport

    Raises
    ------
    InvalidLog
        If log, policy and model do not fit together.

    Notes
    -----
    The predictions of a model cannot tell how wrong they are, and the spread of them is far too
    short an interval. What tells are the weighted residuals w (r - q) of customers it has not
    seen. The interval of ``direct`` is therefore that of its value less the bias so measured,
    which is the doubly robust one; where its value lies outside, the log contradicts the model.

    References
    ----------
    Horvitz & Thompson (1952) for ``ips``; Swaminathan & Joachims (2015), "The self-normalized
    estimator for counterfactual learning"; Dudik, Langford & Li (2011), "Doubly robust policy
    evaluation and learning"; Wang, Agarwal & Dudik (2017), "Optimal and adaptive off-policy
    evaluation in contextual bandits", section 4.1 for tau.
    """
    _check(level)
    weight = weights(log, target)
    lacking = support(log, target, weight)
    parts = _parts(log, target, weight, expected)
    if lacking:
        return dict.fromkeys(parts, lacking)
    unit, effective = log.unit, effective_decisions(weight)
    found: dict[Method, Estimate | NoSupport] = {}
    for method, part in parts.items():
        ratio = Ratio.of(unit, part.top, part.bottom)
        if interval == "skewness":
            low, high = skewness_interval(ratio, None, level)
        elif interval == "bootstrap":
            low, high = bootstrap_interval(ratio, None, level, seed)
        else:
            width = part.width * float(np.bincount(unit).max())
            low, high = bernstein_interval(ratio, width, level)
        value = float(part.centre.sum() / part.bottom.sum())
        low, high = low - part.bias, high + part.bias
        note = _note(part, log, weight, (low, value, high))
        n, customers = len(log.reward), len(ratio.top)
        found[method] = Estimate(method, interval, value, low, high, effective, n, customers, note)
    return found


def compare(
    log: Log,
    target: Floats,
    other: Floats | None = None,
    expected: Floats | None = None,
    *,
    interval: Literal["skewness", "bootstrap"] = "skewness",
    level: float = 0.95,
    seed: int = 0,
) -> Mapping[Method, Estimate | NoSupport]:
    """What the policy would have earned more than another one on the same decisions.

    Paired: what both have in common, such as customers who buy anyway, does not widen the interval.

    Parameters
    ----------
    other : shape (n_decisions, n_actions), or None
        Probabilities of the other policy. None: what was really decided and earned.

    See `evaluate` for the rest. ``effective_decisions`` is the smaller one of both policies.
    """
    _check(level)
    both = [(target, weights(log, target))]
    if other is not None:
        both.append((other, weights(log, other)))
    sides = [_parts(log, policy, weight, expected) for policy, weight in both]
    lacking = [support(log, policy, weight) for policy, weight in both]
    if first := next((each for each in lacking if each), None):
        return dict.fromkeys(sides[0], first)
    if other is None:
        one = np.ones(len(log.reward))
        sides.append(dict.fromkeys(sides[0], _Part(log.reward, one, log.reward, 0.0)))
    unit, effective = log.unit, min(effective_decisions(weight) for _, weight in both)
    found: dict[Method, Estimate | NoSupport] = {}
    for method, part in sides[0].items():
        less = sides[1][method]
        ratios = [Ratio.of(unit, each.top, each.bottom) for each in (part, less)]
        if interval == "skewness":
            low, high = skewness_interval(ratios[0], ratios[1], level)
        else:
            low, high = bootstrap_interval(ratios[0], ratios[1], level, seed)
        value, base = (float(side.centre.sum() / side.bottom.sum()) for side in (part, less))
        bias = part.bias + less.bias
        low, high = low - bias, high + bias
        note = _note(part, log, both[0][1], (low, value - base, high))
        n, customers = len(unit), len(ratios[0].top)
        found[method] = Estimate(
            method, interval, value - base, low, high, effective, n, customers, note
        )
    return found


def _parts(
    log: Log, target: Floats, weight: Floats, expected: Floats | None
) -> dict[Method, _Part]:
    """What each estimator adds up."""
    r, one = log.reward, np.ones(len(log.reward))
    largest, least, most = float(weight.max()), float(r.min()), float(r.max())
    weighted = weight * r
    spans = largest * (max(most, 0.0) - min(least, 0.0)), largest * (most - least)
    parts: dict[Method, _Part] = {
        "ips": _Part(weighted, one, weighted, spans[0]),
        "snips": _Part(weighted, weight, weighted, spans[1]),
    }
    if expected is None:
        return parts
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
    parts["direct"] = _Part(robust, one, m, width)
    parts["doubly_robust"] = _Part(robust, one, robust, width)
    parts["switch"] = _Part(switched, one, switched, switched_width, bias, told)
    return parts


def switch_threshold(
    unit: NDArray[np.int64], weight: Floats, m: Floats, residual: Floats
) -> tuple[float, float]:
    """The tau with the least variance + squared bias, and that bias, both as the log tells.

    Believing the model above tau costs the policy's probability there times the model's error. The
    bound that Wang, Agarwal & Dudik (2017, section 4.1) take for the error, the largest reward, is
    so wide that hardly any log is ever switched. Ours is what the model errs below tau on what the
    policy would do, plus two standard errors; a tau whose residuals above it clearly contradict
    that is not taken. All arguments of shape (n_decisions,).
    """
    one, whole = np.ones(len(m)), np.bincount(unit)
    taus = np.unique(np.quantile(weight, np.linspace(0, 1, TAUS + 1), method="higher"))
    best, least = (float(taus[-1]), 0.0), np.inf
    for tau in taus[::-1]:
        below = np.where(weight <= tau, weight, 0.0)
        above = weight - below
        if not below.any():
            continue
        bias = 0.0
        if above.any():
            wrong = Ratio.of(unit, below * residual, below)
            bias = float(above.mean()) * (abs(wrong.value) + 2 * _error(wrong))
            seen = Ratio.of(unit, above * residual, one)
            if abs(seen.value) > bias + 2 * _error(seen):
                continue
        found = _error(Ratio.of(unit, m + below * residual, one)) ** 2 + bias**2
        if found < least:
            best, least = (float(tau), bias), found
    return best if len(whole) > 1 else (float(taus[-1]), 0.0)


def _error(ratio: Ratio) -> float:
    """Standard error."""
    return sqrt(float((ratio.influence**2).sum())) / len(ratio.top)


def _note(part: _Part, log: Log, weight: Floats, figures: tuple[float, float, float]) -> str:
    """What to keep in mind about an estimate."""
    low, value, high = figures
    notes = [part.note] if part.note else []
    if not low <= value <= high:
        notes.append("The log contradicts the reward model: believe the interval.")
    spoke = weight > 0
    values, counts = np.unique(log.reward[spoke], return_counts=True)
    telling = spoke.copy()
    telling[spoke] = log.reward[spoke] != values[counts.argmax()]
    if (tell := len(np.unique(log.unit[telling]))) < FEW:
        notes.append(f"Only {tell} customers earned anything else than most: too short.")
    return " ".join(notes)


def _check(level: float) -> None:
    if not 0 < level < 1:  # written so that nan fails too
        raise InvalidSetting(
            f"level is {level!r}.",
            expected="a number between 0 and 1",
            remedy="Take 0.95 for an interval that holds the truth in 95 of 100 cases.",
        )
