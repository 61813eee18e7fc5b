"""Who leaves, and what an action does to that: seen days later instead of months.

Leaving is rare (one customer in a thousand on a day) and costly, so what one decision did to it
cannot be seen, and what an action does to it in a given situation hardly, even over a hundred
thousand decisions. But what a contact does to what we know of a customer (less use, a bad score,
three promotions in a week) shows within days, and what that means for leaving is learned from all
customers. So an action is credited with the change in *expected* leaving. What cannot be seen
days later is missed by that; who really left then says how far actions have to be corrected.

Both learn from how customers happened to be treated, which depends on how they were. So what is
usual is learned from all that was known when it was decided, and with the actions' effects taken
out.

References
----------
Athey, Chetty, Imbens & Kang (2019), "The Surrogate Index".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.models.glm import fit_glm, poisson, with_intercept
from training.models.ridge import ridge_by_action

RIDGE = 5.0  # of the weights of features, in leavers
FACTOR_RIDGE = 200.0  # of a family's correction, in leavers
SLOPE_RIDGE = 5000.0  # of how that differs by features; in the narrowest families only
SHIFT_RIDGE = 50.0  # in decisions
STEPS = 6  # of Newton's method, at most
TURNS = 2  # what is usual and what actions add are learned in turns
LARGEST = 2.0  # change that one decision is credited with, in logs
MOST = 1.0  # an action makes leaving at most exp(MOST) times likelier than the others do


class Exposure(NamedTuple):
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


class Surrogate(NamedTuple):
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
    usual : shape (1 + n_features,)
    lasting : shape (1 + n_features,)
        The same from what lasts alone; 0 for features that only hold while the customer is here.
    shift : shape (n_actions, 1 + n_features)
        What an action changes beside what doing nothing does, by what could be seen later.
    factor : shape (n_actions, 1 + n_features)
        By how much that has to be corrected, by who left.
    """

    usual: Floats
    lasting: Floats
    shift: Floats
    factor: Floats

    @classmethod
    def fit(
        cls,
        watched: Exposure,
        later: Surrogate,
        families: Sequence[Ints],
        lasting: Bools,
        start: Retention | None = None,
    ) -> Retention:
        """Learn all parts.

        Parameters
        ----------
        families
            Each of shape (n_actions,): to which family an action belongs, the widest families
            first. A correction that an action shares with its family is learned from all of it.
            Action 0 does nothing.
        lasting : shape (n_features,)
            Which features still say something when the customer is gone.
        start
            An earlier fit, to begin from.
        """
        v, offset = with_intercept(watched.x), np.log(watched.days)
        average = np.log((watched.left.sum() + 0.5) / watched.days.sum())
        begun = np.append(average, np.zeros(len(lasting)))
        usual, weights = (start.usual, start.lasting.copy()) if start else (begun, begun.copy())
        kept = np.append(True, lasting)
        weights[kept] = _rates(v[:, kept], watched.left, offset, _penalty(kept), weights[kept])
        shift = _shift(later, weights, len(families[0]))
        factor = np.zeros_like(shift)
        for _ in range(TURNS):
            effect = (v * (shift + factor)[watched.actions]).sum(axis=1)
            usual = _rates(v, watched.left, offset + effect, _penalty(kept | True), usual)
            expected = offset + v @ usual + (v * shift[watched.actions]).sum(axis=1)
            factor = _factor(v, watched, expected, families)
        return cls(usual, weights, shift, factor)

    def leaving(self, x: Floats) -> Floats:
        """Chance to leave on a day, after each action, shape (n, n_actions)."""
        v = with_intercept(x)
        effect = v @ (self.shift + self.factor).T
        middle = effect.mean(axis=1, keepdims=True)
        apart = np.clip(effect - middle, -MOST, MOST)
        return poisson((v @ self.usual)[:, None] + middle + apart)[0]


def _shift(later: Surrogate, usual: Floats, n_actions: int) -> Floats:
    """Ridge regression, for each action, of how the log chance of leaving changed after it, less
    that after action 0; what all actions have in common is learned of all of them."""
    change = np.clip((later.now - later.x) @ usual[1:], -LARGEST, LARGEST)
    v = with_intercept(later.x)
    shift = ridge_by_action(v, later.actions, change, n_actions, np.full(v.shape[1], SHIFT_RIDGE))
    shift -= shift[0]
    return shift


def _factor(v: Floats, watched: Exposure, expected: Floats, families: Sequence[Ints]) -> Floats:
    """What each family of actions adds to the log chances that were ``expected``, shape (n,)."""
    factor = np.zeros((len(families[0]), v.shape[1]))
    for family in families:
        slopes = family is families[-1]
        for one in np.unique(family):
            mine = (family == one)[watched.actions]
            part = v[mine] if slopes else v[mine, :1]
            known = expected[mine] + (v[mine] * factor[watched.actions[mine]]).sum(axis=1)
            prior = np.append(FACTOR_RIDGE, np.full(part.shape[1] - 1, SLOPE_RIDGE))
            found = _rates(part, watched.left[mine], known, prior, np.zeros(part.shape[1]))
            factor[family == one, : len(found)] += found
    factor -= factor[0]
    return factor


def _rates(v: Floats, left: Floats, offset: Floats, penalty: Floats, start: Floats) -> Floats:
    """Poisson regression with a prior of 0, see `fit_glm`."""
    nothing = np.zeros_like(penalty)
    return fit_glm(v, left, poisson, penalty, nothing, start, steps=STEPS, offset=offset)


def _penalty(kept: Bools) -> Floats:
    """Of the features that are kept, the first of which is the 1."""
    return np.append(1e-6, np.full(int(kept.sum()) - 1, RIDGE))
