"""Logged decisions as another policy is judged on them, and whether they can carry that at all.

One action a decision: of a decision with several slots, log the first, or each slot as a decision
of its own if the policy to be judged fills slots one by one. (A policy over whole lists would need
the probability of the whole list, which soon is too small to divide by.)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidLog
from features.intervals import hall_quantile
from training.arrays import Bools, Floats, Ints

FEWEST_EFFECTIVE = 50.0  # customers who speak for a policy; below, no number is given
MOST_UNSUPPORTED = 0.01  # of the policy's probability, on actions that the log could not take
SURE = 4.0  # standard errors by which weights must miss their mean of 1 to be called wrong
ROUNDING = 1e-6  # by which probabilities may miss their sum


@dataclass(frozen=True, slots=True)
class Log:
    """What was decided, with which probability, and what came of it.

    Attributes
    ----------
    reward : shape (n_decisions,), in the domain's currency
    action : shape (n_decisions,), index of the action that was taken
    logged_probability : shape (n_decisions,), in (0, 1]
        With which the policy that decided took it.
    subject : shape (n_decisions,), customer ids, or None
        Decisions of one customer belong together; None: each decision is a customer of its own.
    allowed : shape (n_decisions, n_actions), bool, or None
        What the log could have taken. None: not known; the weights must tell.

    Raises
    ------
    InvalidLog
        If shapes differ, a reward is not finite, a probability is not in (0, 1], an action is
        negative, or there is no decision.
    """

    reward: Floats
    action: Ints
    logged_probability: Floats
    subject: NDArray[np.str_] | None = None
    allowed: Bools | None = None

    def __post_init__(self) -> None:
        n = len(self.reward)
        for name in ("reward", "action", "logged_probability", "subject"):
            column = getattr(self, name)
            if column is not None and (np.shape(column) != (n,) or not n):
                raise InvalidLog(
                    f"{name} has shape {np.shape(column)}.",
                    expected=f"one value for each of the {n} decisions, and at least one decision",
                    remedy="Give one row for each decision.",
                )
        _refuse(~np.isfinite(self.reward), "a reward that is not a finite number", "a number")
        _refuse(
            ~((self.logged_probability > 0) & (self.logged_probability <= 1)),
            "a logged probability outside (0, 1]",
            "the probability with which the policy took the action, in (0, 1]",
        )
        _refuse(~(self.action >= 0), "a negative action", "the index of an action")
        if self.allowed is not None and (
            np.ndim(self.allowed) != 2 or len(self.allowed) != n or not _took_allowed(self)
        ):
            raise InvalidLog(
                f"allowed, of shape {np.shape(self.allowed)}, does not fit the actions taken.",
                expected=f"{n} rows, a column for each action, true where an action was taken",
                remedy="Give, for each decision, the actions that had a probability above 0.",
            )

    @property
    def unit(self) -> Ints:
        """Number of the customer of each decision, shape (n_decisions,)."""
        if self.subject is None:
            return np.arange(len(self.reward), dtype=np.int64)
        return np.unique(self.subject, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class NoSupport:
    """The log cannot tell what the policy would have earned; no number is better than a wrong one.

    Attributes
    ----------
    reason : str
        One sentence for people.
    covered : float, in [0, 1]
        Share of the policy's probability on actions that the log could have taken, as far as known.
    effective_decisions : float
        See `effective_decisions`.
    """

    reason: str
    covered: float
    effective_decisions: float
    n: int


def weights(log: Log, target: Floats) -> Floats:
    """How much likelier the judged policy takes each logged action, shape (n_decisions,).

    Parameters
    ----------
    target : shape (n_decisions, n_actions)
        Probabilities of the judged policy; each row sums to 1.

    Raises
    ------
    InvalidLog
        If a row is no distribution, or there is no column for a logged action.
    """
    n, highest = len(log.reward), int(log.action.max())
    wrong_shape = np.ndim(target) != 2 or len(target) != n or target.shape[1] <= highest
    if wrong_shape or (log.allowed is not None and log.allowed.shape != target.shape):
        raise InvalidLog(
            f"The judged policy's probabilities have shape {np.shape(target)}.",
            expected=f"{n} rows, one for each decision, and a column for each action "
            f"(the log took number {highest})",
            remedy="Ask the policy about every logged decision and every action.",
        )
    off = np.abs(target.sum(axis=1) - 1.0) > ROUNDING
    _refuse(
        off | ~(target >= 0).all(axis=1),  # written so that nan fails too
        "probabilities of the judged policy that are no distribution",
        "numbers from 0 on that sum to 1",
    )
    chosen: Floats = target[np.arange(n), log.action] / log.logged_probability
    return chosen


def effective_decisions(weight: Floats) -> float:
    """How many decisions of equal weight would tell as much: (sum w)^2 / sum w^2 (Kish, 1965).

    Of customers' summed weights: how many customers would.
    """
    square = float((weight**2).sum())
    return float(weight.sum()) ** 2 / square if square else 0.0


def support(log: Log, target: Floats, weight: Floats) -> NoSupport | None:
    """Why the log cannot tell what the policy would have earned; None if it can.

    Whatever the log could have taken, weights average 1. Where they clearly average less, the
    policy takes what the log never would; or, as where they average more, the logged
    probabilities are wrong.
    """
    could = np.isin(np.arange(target.shape[1]), log.action)
    known = log.allowed if log.allowed is not None else np.broadcast_to(could, target.shape)
    covered = min(float(np.where(known, target, 0.0).sum() / len(target)), 1.0)
    effective, unit = effective_decisions(weight), log.unit
    speak = effective_decisions(np.asarray(np.bincount(unit, weight), np.float64))
    low, high = _mean_weight(unit, weight)
    reason = None
    if covered < 1 - MOST_UNSUPPORTED:
        reason = f"{1 - covered:.1%} of its choices fall on actions that the log could not take."
    elif high < 1:
        reason = (
            f"The weights average {weight.mean():.3f} instead of 1: it often takes what the log "
            "would not, or the logged probabilities are higher than the true ones."
        )
    elif low > 1:
        reason = (
            f"The weights average {weight.mean():.3f} instead of 1: the logged probabilities are "
            "lower than those with which the actions were taken."
        )
    elif speak < FEWEST_EFFECTIVE:
        reason = (
            f"Only {speak:.0f} of {int(unit.max()) + 1} customers effectively speak for it; "
            f"{FEWEST_EFFECTIVE:.0f} are needed."
        )
    return NoSupport(reason, covered, effective, len(weight)) if reason else None


def _mean_weight(unit: Ints, weight: Floats) -> tuple[float, float]:
    """Interval of the mean weight, `SURE` standard errors wide on either side but for skewness."""
    total, size = np.bincount(unit, weight), np.bincount(unit)
    mean, n = float(weight.mean()), len(size)
    off = (total - mean * size) / size.mean()
    deviation = sqrt(float((off**2).mean()))
    if n < 2 or deviation < ROUNDING:
        return mean - ROUNDING, mean + ROUNDING
    skewness = np.array(float((off**3).mean()) / deviation**3 / sqrt(n))
    error = deviation / sqrt(n - 1)
    low, high = (mean - hall_quantile(np.array(t), skewness) * error for t in (SURE, -SURE))
    return float(low), float(high)


def _refuse(wrong: Bools, what: str, expected: str) -> None:
    if wrong.any():
        raise InvalidLog(
            f"{int(wrong.sum())} of {len(wrong)} decisions have {what}; the first is number "
            f"{int(wrong.argmax())}.",
            expected=expected,
            remedy="Leave out what no policy decided, and outcomes that are still open.",
        )


def _took_allowed(log: Log) -> bool:
    allowed = log.allowed
    assert allowed is not None
    inside = log.action < allowed.shape[1]
    return bool(inside.all() and allowed[np.arange(len(log.action)), log.action].all())
