"""What another policy would have earned on decisions that were already made.

Five estimators of its mean reward a decision. With w the policy's probability of the logged action
divided by the logged one, r the reward, q(a) what a reward model expects of action a (fitted on
other customers: `reward_regression`), and m the mean of q over the policy's choices:

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
from typing import Literal

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Floats, Ints
from training.evaluation.estimators import Method, Part, parts
from training.evaluation.intervals import (
    Ratio,
    bernstein_interval,
    bootstrap_interval,
    skewness_interval,
)
from training.evaluation.log import Log, NoSupport, effective_decisions, support, weights

__all__ = ["Estimate", "Interval", "Log", "Method", "NoSupport", "compare", "evaluate"]

Interval = Literal["skewness", "bootstrap", "bernstein"]

FEW = 20  # customers who tell; below, intervals are too short (`lift`)


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
    found = parts(log, target, weight, expected)
    lacking = support(log, target, weight)
    if lacking:
        return dict.fromkeys(found, lacking)
    return _estimates(log, weight, [found], interval, level, seed)


def compare(
    log: Log,
    target: Floats,
    other: Floats | None = None,
    expected: Floats | None = None,
    *,
    interval: Interval = "skewness",
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
    policies = [target] if other is None else [target, other]
    ways = [weights(log, policy) for policy in policies]
    sides = [parts(log, policy, way, expected) for policy, way in zip(policies, ways, strict=True)]
    for policy, way in zip(policies, ways, strict=True):
        lacking = support(log, policy, way)
        if lacking:
            return dict.fromkeys(sides[0], lacking)
    if other is None:
        earned = Part(log.reward, np.ones(len(log.reward)), log.reward, float(np.ptp(log.reward)))
        sides.append(dict.fromkeys(sides[0], earned))
    weakest = min(ways, key=effective_decisions)
    return _estimates(log, weakest, sides, interval, level, seed)


def _estimates(
    log: Log,
    weight: Floats,
    sides: list[dict[Method, Part]],
    interval: Interval,
    level: float,
    seed: int,
) -> dict[Method, Estimate | NoSupport]:
    """Of one policy, or of the first less the second; by each method."""
    unit, effective, few = log.unit, effective_decisions(weight), _few(log, weight)
    customers = int(unit.max()) + 1
    found: dict[Method, Estimate | NoSupport] = {}
    for method in sides[0]:
        mine = [side[method] for side in sides]
        low, high = _bounds(unit, mine, interval, level, seed)
        bias = sum(part.bias for part in mine)
        low, high = low - bias, high + bias
        value = mine[0].value - sum(part.value for part in mine[1:])
        notes = [*(part.note for part in mine), few]
        if not low <= value <= high:
            notes.append("The log contradicts the reward model: believe the interval.")
        note = " ".join(filter(None, notes))
        found[method] = Estimate(
            method, interval, value, low, high, effective, len(unit), customers, note
        )
    return found


def _bounds(
    unit: Ints, mine: list[Part], interval: Interval, level: float, seed: int
) -> tuple[float, float]:
    ratios = [Ratio.of(unit, part.top, part.bottom) for part in mine]
    less = ratios[1] if len(ratios) > 1 else None
    if interval == "skewness":
        return skewness_interval(ratios[0], less, level)
    if interval == "bootstrap":
        return bootstrap_interval(ratios[0], less, level, seed)
    most = float(np.bincount(unit).max())
    level = 1 - (1 - level) / len(ratios)  # each may miss; both bounds hold together this often
    bounds = [
        bernstein_interval(ratio, part.width * most, level)
        for ratio, part in zip(ratios, mine, strict=True)
    ]
    low, high = bounds[0]
    return (low - bounds[1][1], high - bounds[1][0]) if less else (low, high)


def _few(log: Log, weight: Floats) -> str:
    """A warning if hardly any customer tells; else empty."""
    spoke = weight > 0
    values, counts = np.unique(log.reward[spoke], return_counts=True)
    telling = spoke & (log.reward != values[counts.argmax()])
    tell = len(np.unique(log.unit[telling]))
    if tell >= FEW:
        return ""
    return f"Only {tell} customers earned anything else than most: the interval is too short."


def _check(level: float) -> None:
    if not 0 < level < 1:  # written so that nan fails too
        raise InvalidSetting(
            f"level is {level!r}.",
            expected="a number between 0 and 1",
            remedy="Take 0.95 for an interval that holds the truth in 95 of 100 cases.",
        )
