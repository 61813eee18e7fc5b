"""Logged decisions for off-policy evaluation, importance weights, and tests of their support.

One action per decision: of a decision with several slots, log the first, or each slot as a decision
of its own if the evaluated policy fills slots one by one. (A policy over whole lists would need the
probability of the whole list, which soon is too small to divide by.)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidLog
from features.intervals import hall_quantile
from training.arrays import Bools, Floats, Ints

MIN_EFFECTIVE_CUSTOMERS = 50.0  # effective sample size of customers; below, no number is given
MAX_UNSUPPORTED = 0.01  # of the policy's probability, on actions that were not possible in the log
MISMATCH_ERRORS = 4.0  # standard errors between the mean weight and 1 that count as a mismatch
ROUNDING = 1e-6  # tolerance of the sums of probabilities


@dataclass(frozen=True, slots=True)
class Log:
    """Logged decisions: actions, their probabilities, and rewards.

    Attributes
    ----------
    reward : shape (n_decisions,), in the domain's currency
    action : shape (n_decisions,), index of the action that was taken
    logged_probability : shape (n_decisions,), in (0, 1]
        Probability of the action under the policy that decided.
    subject : shape (n_decisions,), customer ids, or None
        Decisions of one customer are dependent; None: each decision is of another customer.
    allowed : shape (n_decisions, n_actions), bool, or None
        True for actions with a probability above 0. None: unknown; the weights are tested instead.

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
            np.ndim(self.allowed) != 2 or len(self.allowed) != n or not _actions_are_allowed(self)
        ):
            raise InvalidLog(
                f"allowed, of shape {np.shape(self.allowed)}, does not fit the actions taken.",
                expected=f"{n} rows, a column for each action, true where an action was taken",
                remedy="Give, for each decision, the actions that had a probability above 0.",
            )

    @property
    def customer(self) -> Ints:
        """Number of the customer of each decision, shape (n_decisions,)."""
        if self.subject is None:
            return np.arange(len(self.reward), dtype=np.int64)
        return np.unique(self.subject, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class NoSupport:
    """The log does not support an estimate, for the reason given.

    Attributes
    ----------
    reason : str
        One sentence for the reader of a report.
    covered : float, in [0, 1]
        Share of the policy's probability on actions that were possible in the log, as far as known.
    effective_decisions : float
        See `effective_decisions`.
    """

    reason: str
    covered: float
    effective_decisions: float
    n: int


def weights(log: Log, target: Floats) -> Floats:
    """Compute the importance weights, shape (n_decisions,): target / logged probability.

    Parameters
    ----------
    target : shape (n_decisions, n_actions)
        Probabilities of the evaluated policy; each row sums to 1.

    Raises
    ------
    InvalidLog
        If a row is no distribution, or there is no column for a logged action.
    """
    n, highest = len(log.reward), int(log.action.max())
    wrong_shape = np.ndim(target) != 2 or len(target) != n or target.shape[1] <= highest
    if wrong_shape or (log.allowed is not None and log.allowed.shape != target.shape):
        raise InvalidLog(
            f"The evaluated policy's probabilities have shape {np.shape(target)}.",
            expected=f"{n} rows, one for each decision, and a column for each action "
            f"(the log took number {highest})",
            remedy="Give the policy's probability of every action for every logged decision.",
        )
    wrong_sum = np.abs(target.sum(axis=1) - 1.0) > ROUNDING
    _refuse(
        wrong_sum | ~(target >= 0).all(axis=1),  # written so that nan fails too
        "probabilities of the evaluated policy that are no distribution",
        "numbers from 0 on that sum to 1",
    )
    weight: Floats = target[np.arange(n), log.action] / log.logged_probability
    return weight


def effective_decisions(weight: Floats) -> float:
    """Compute the effective sample size of the weights, (sum w)^2 / sum w^2 (Kish 1965).

    It is the number of decisions of equal weight with the same variance. From weights summed by
    customer, it is a number of customers.
    """
    square = float((weight**2).sum())
    return float(weight.sum()) ** 2 / square if square else 0.0


def support(log: Log, target: Floats, weight: Floats) -> NoSupport | None:
    """Test if the log supports an estimate of the policy; None if it does, else the reason.

    The weights of a supported policy have mean 1. A mean below 1 shows that the policy prefers
    actions that the log never took, or that logged probabilities are too high; a mean above 1 shows
    that they are too low.
    """
    in_log = np.isin(np.arange(target.shape[1]), log.action)
    possible = log.allowed if log.allowed is not None else np.broadcast_to(in_log, target.shape)
    covered = min(float(np.where(possible, target, 0.0).sum() / len(target)), 1.0)
    effective, customer = effective_decisions(weight), log.customer
    effective_customers = effective_decisions(np.asarray(np.bincount(customer, weight), np.float64))
    low, high = _mean_weight(customer, weight)
    reason = None
    if covered < 1 - MAX_UNSUPPORTED:
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
    elif effective_customers < MIN_EFFECTIVE_CUSTOMERS:
        reason = (
            f"The weights of {int(customer.max()) + 1} customers have an effective sample size of "
            f"{effective_customers:.0f}; {MIN_EFFECTIVE_CUSTOMERS:.0f} are needed."
        )
    return NoSupport(reason, covered, effective, len(weight)) if reason else None


def _mean_weight(customer: Ints, weight: Floats) -> tuple[float, float]:
    """Compute an interval of the mean weight: `MISMATCH_ERRORS` errors wide, skewness-corrected."""
    total, size = np.bincount(customer, weight), np.bincount(customer)
    mean, n = float(weight.mean()), len(size)
    influence = (total - mean * size) / size.mean()
    deviation = sqrt(float((influence**2).mean()))
    if n < 2 or deviation < ROUNDING:
        return mean - ROUNDING, mean + ROUNDING
    skewness = np.array(float((influence**3).mean()) / deviation**3 / sqrt(n))
    error = deviation / sqrt(n - 1)
    low, high = (
        mean - hall_quantile(np.array(t), skewness) * error
        for t in (MISMATCH_ERRORS, -MISMATCH_ERRORS)
    )
    return float(low), float(high)


def _refuse(wrong: Bools, what: str, expected: str) -> None:
    if wrong.any():
        raise InvalidLog(
            f"{int(wrong.sum())} of {len(wrong)} decisions have {what}; the first is number "
            f"{int(wrong.argmax())}.",
            expected=expected,
            remedy="Leave out decisions without a policy, and outcomes that are still open.",
        )


def _actions_are_allowed(log: Log) -> bool:
    allowed = log.allowed
    assert allowed is not None
    inside = log.action < allowed.shape[1]
    return bool(inside.all() and allowed[np.arange(len(log.action)), log.action].all())
