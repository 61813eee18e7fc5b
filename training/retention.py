"""Who leaves, and what an action does to that: seen days later instead of months.

Leaving is rare (one customer in a thousand on a day) and costly, so what one decision did to it
cannot be seen, and what an action does to it in a given situation hardly, even over a hundred
thousand decisions. But what a contact does to what we know of a customer (less use, a bad score,
three promotions in a week) shows within days, and what that means for leaving is learned from all
customers. So an action is credited with the change in *expected* leaving. How customers are treated
depends on how they are, which may bend that; who really left then says how far each action as a
whole has to be corrected.

References
----------
Athey, Chetty, Imbens & Kang (2019), "The Surrogate Index".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGE = 5.0  # of the weights of features, in leavers
FACTOR_RIDGE, OWN_RIDGE = 20.0, 2000.0  # of an action's correction: in all, and by features
SHIFT_RIDGE = 50.0  # in decisions
STEPS = 5  # of Newton's method; from an old fit on, it has settled by then
STEEPEST = 30.0  # no chance is smaller than exp(-STEEPEST)
LARGEST = 2.0  # change that one decision is credited with, in logs
MOST = 1.0  # an action makes leaving at most exp(MOST) times likelier than the others do


class Watched(NamedTuple):
    """Decisions, and who left after them.

    Attributes
    ----------
    x : shape (n, n_features)
        What was known when it was decided.
    actions : shape (n,)
    left : shape (n,), 0 or 1
        Whether they left while we looked.
    days : shape (n,), > 0
        How long we looked.
    """

    x: Floats
    actions: Ints
    left: Floats
    days: Floats


class Later(NamedTuple):
    """Decisions, and what was known of the customers some days later.

    Attributes
    ----------
    x, now : shape (n, n_features)
        When it was decided, and later.
    actions : shape (n,)
    """

    x: Floats
    actions: Ints
    now: Floats


@dataclass(frozen=True)
class Retention:
    """Chance to leave on a day: exp((usual + shift[action] + factor[action]) . v), v = (1, x).

    Attributes
    ----------
    lasting : shape (n_features,), of bool
        Which features say something of leaving; the others only hold while the customer is here.
    usual : shape (1 + n_features,)
        0 for features that do not last.
    shift : shape (n_actions, 1 + n_features)
        What an action changes, by what could be seen later.
    factor : shape (n_actions, 1 + n_features)
        By how much that has to be corrected, by who left; hardly by features.
    """

    lasting: NDArray[np.bool_]
    usual: Floats
    shift: Floats
    factor: Floats

    @classmethod
    def fit(
        cls,
        watched: Watched,
        later: Later,
        families: Sequence[Ints],
        lasting: NDArray[np.bool_],
        start: Retention | None = None,
    ) -> Retention:
        """Learn all three parts.

        Parameters
        ----------
        families
            Each of shape (n_actions,): to which family an action belongs, the widest families
            first. A correction that an action shares with its family is learned from all of it.
        start
            An earlier fit, to begin from.
        """
        kept = np.append(True, lasting)
        v = _with_one(watched.x)
        average = np.log((watched.left.sum() + 0.5) / watched.days.sum())
        usual = start.usual.copy() if start else np.append(average, np.zeros(len(lasting)))
        penalty = np.append(1e-6, np.full(int(lasting.sum()), RIDGE))
        offset = np.log(watched.days)
        usual[kept] = _fitted(v[:, kept], watched.left, offset, penalty, usual[kept])
        shift = _shift(later, usual, len(families[0]))
        expected = offset + v @ usual + (v * shift[watched.actions]).sum(axis=1)
        factor = _factor(v, watched, expected, families)
        return cls(lasting, usual, shift, factor)

    def leaving(self, x: Floats) -> Floats:
        """Chance to leave on a day, after each action, shape (n, n_actions)."""
        v = _with_one(x)
        effect = v @ (self.shift + self.factor).T
        middle = effect.mean(axis=1, keepdims=True)
        return _exp((v @ self.usual)[:, None] + middle + np.clip(effect - middle, -MOST, MOST))


def _shift(later: Later, usual: Floats, n_actions: int) -> Floats:
    """Ridge regression, for each action, of how the log chance of leaving changed after it; what
    all actions have in common is learned of all of them."""
    change = np.clip((later.now - later.x) @ usual[1:], -LARGEST, LARGEST)
    v = _with_one(later.x)
    penalty = SHIFT_RIDGE * np.eye(v.shape[1])
    common = np.linalg.solve(v.T @ v + penalty, v.T @ change)
    shift = np.empty((n_actions, v.shape[1]))
    for action in range(n_actions):
        mine = later.actions == action
        part, rest = v[mine], change[mine] - v[mine] @ common
        shift[action] = common + np.linalg.solve(part.T @ part + penalty, part.T @ rest)
    return shift


def _factor(v: Floats, watched: Watched, expected: Floats, families: Sequence[Ints]) -> Floats:
    """What each family of actions adds to the log chances that were ``expected``, shape (n,)."""
    factor = np.zeros((len(families[0]), v.shape[1]))
    prior = np.append(FACTOR_RIDGE, np.full(v.shape[1] - 1, OWN_RIDGE))
    for family in families:
        for one in np.unique(family):
            mine = (family == one)[watched.actions]
            part = v[mine]
            known = expected[mine] + (part * factor[watched.actions[mine]]).sum(axis=1)
            left, nothing = watched.left[mine], np.zeros(v.shape[1])
            factor[family == one] += _fitted(part, left, known, prior, nothing)
    return factor


def _fitted(v: Floats, left: Floats, offset: Floats, penalty: Floats, weights: Floats) -> Floats:
    """Poisson regression: Newton's method on the penalised likelihood, in steps that cannot
    overshoot far (McCullagh & Nelder, 1989, "Generalized Linear Models", sections 2.5 and 6.2)."""
    for _ in range(STEPS):
        mean = _exp(offset + v @ weights)
        slope = v.T @ (left - mean) - penalty * weights
        curve = (v * mean[:, None]).T @ v + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
    return weights


def _exp(linear: Floats) -> Floats:
    grown: Floats = np.exp(np.clip(linear, -STEEPEST, 0.0))
    return grown


def _with_one(x: Floats) -> Floats:
    return np.column_stack([np.ones(len(x)), x])
