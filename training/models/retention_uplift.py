"""Predicts churn after each action, from a surrogate that is observed days after the action.

Churn is rare (group customer in a thousand per day) and costly. The effect of an action on churn in
group context cannot be estimated from a hundred thousand decisions. But the effect of a contact on
the customer's features (less use, a low score, three promotions in a week) shows within days, and
the relation of features and churn is learned from all customers. So an action is credited with the
change in predicted churn. Effects that do not show within days are missed; a correction factor per
action, fitted on observed churn, adjusts for them.

Both parts are fitted on actions that depended on the context. So the baseline is fitted on all
features known at the decision, with the effects of the actions removed.

References
----------
Athey, Chetty, Imbens & Kang (2019), "The surrogate index: combining short-term proxies to estimate
long-term treatment effects more rapidly and precisely".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.models.glm import fit_glm, poisson, with_intercept
from training.models.ridge import ridge_by_action

RIDGE = 5.0  # precision of the weights, in churned customers
FACTOR_RIDGE = 200.0  # precision of a correction's intercept, in churned customers
SLOPE_RIDGE = 5000.0  # precision of a correction's slopes, in the narrowest groups only
SHIFT_RIDGE = 50.0  # penalty of the effects on the surrogate, in decisions
STEPS = 6  # of Newton's method, at most
ALTERNATIONS = 2  # between fitting the baseline and fitting the corrections
MAX_CHANGE = 2.0  # of the log churn probability that one decision is credited with
MAX_EFFECT = 1.0  # of an action on the log churn probability, relative to the mean action


class Exposure(NamedTuple):
    """Decisions, and churn after them.

    Attributes
    ----------
    x : shape (n, n_features)
        Features at the decision.
    actions : shape (n,)
    left : shape (n,), 0 or 1
        1 if the customer left within the observed days.
    days : shape (n,), > 0
        Number of observed days.
    """

    x: Floats
    actions: Ints
    left: Floats
    days: Floats


class Surrogate(NamedTuple):
    """Decisions, and features of the customers some days later.

    Attributes
    ----------
    x, now : shape (n, n_features)
        Features at the decision, and some days later.
    actions : shape (n,)
    """

    x: Floats
    actions: Ints
    now: Floats


@dataclass(frozen=True)
class Retention:
    """Daily churn probability: exp((baseline + shift[action] + factor[action]) . v), v = (1, x).

    Attributes
    ----------
    baseline : shape (1 + n_features,)
    lasting : shape (1 + n_features,)
        The baseline from persistent features alone; 0 for features that only have a value on
        arrival.
    shift : shape (n_actions, 1 + n_features)
        Effect of an action relative to action 0, estimated from the surrogate.
    factor : shape (n_actions, 1 + n_features)
        Correction of the effect, estimated from observed churn.
    """

    baseline: Floats
    lasting: Floats
    shift: Floats
    factor: Floats

    @classmethod
    def fit(
        cls,
        exposure: Exposure,
        surrogate: Surrogate,
        groupings: Sequence[Ints],
        lasting: Bools,
        start: Retention | None = None,
    ) -> Retention:
        """Fit all parts.

        Parameters
        ----------
        groupings
            Each of shape (n_actions,): the group of each action, the widest grouping first. The
            correction of a group is fitted on all its actions. Action 0 is no action.
        lasting : shape (n_features,)
            True for features that still have a value when the customer is gone.
        start
            An earlier fit as initial value.
        """
        v, offset = with_intercept(exposure.x), np.log(exposure.days)
        average = np.log((exposure.left.sum() + 0.5) / exposure.days.sum())
        initial = np.append(average, np.zeros(len(lasting)))
        baseline, weights = (
            (start.baseline, start.lasting.copy()) if start else (initial, initial.copy())
        )
        is_lasting = np.append(True, lasting)
        weights[is_lasting] = _rates(
            v[:, is_lasting], exposure.left, offset, _penalty(is_lasting), weights[is_lasting]
        )
        shift = _shift(surrogate, weights, len(groupings[0]))
        factor = np.zeros_like(shift)
        for _ in range(ALTERNATIONS):
            effect = (v * (shift + factor)[exposure.actions]).sum(axis=1)
            baseline = _rates(
                v, exposure.left, offset + effect, _penalty(is_lasting | True), baseline
            )
            expected = offset + v @ baseline + (v * shift[exposure.actions]).sum(axis=1)
            factor = _factor(v, exposure, expected, groupings)
        return cls(baseline, weights, shift, factor)

    def leaving(self, x: Floats) -> Floats:
        """Predict the daily churn probability after each action, shape (n, n_actions)."""
        v = with_intercept(x)
        effect = v @ (self.shift + self.factor).T
        mean_effect = effect.mean(axis=1, keepdims=True)
        relative = np.clip(effect - mean_effect, -MAX_EFFECT, MAX_EFFECT)
        return poisson((v @ self.baseline)[:, None] + mean_effect + relative)[0]


def _shift(surrogate: Surrogate, baseline: Floats, n_actions: int) -> Floats:
    """Fit each action's effect on the predicted log churn probability, relative to action 0."""
    change = np.clip((surrogate.now - surrogate.x) @ baseline[1:], -MAX_CHANGE, MAX_CHANGE)
    v = with_intercept(surrogate.x)
    shift = ridge_by_action(
        v, surrogate.actions, change, n_actions, np.full(v.shape[1], SHIFT_RIDGE)
    )
    shift -= shift[0]
    return shift


def _factor(v: Floats, exposure: Exposure, expected: Floats, groupings: Sequence[Ints]) -> Floats:
    """Fit what each group of actions adds to the ``expected`` log churn probability, shape (n,)."""
    factor = np.zeros((len(groupings[0]), v.shape[1]))
    for grouping in groupings:
        slopes = grouping is groupings[-1]
        for group in np.unique(grouping):
            rows = (grouping == group)[exposure.actions]
            part = v[rows] if slopes else v[rows, :1]
            known = expected[rows] + (v[rows] * factor[exposure.actions[rows]]).sum(axis=1)
            prior = np.append(FACTOR_RIDGE, np.full(part.shape[1] - 1, SLOPE_RIDGE))
            found = _rates(part, exposure.left[rows], known, prior, np.zeros(part.shape[1]))
            factor[grouping == group, : len(found)] += found
    factor -= factor[0]
    return factor


def _rates(v: Floats, left: Floats, offset: Floats, penalty: Floats, start: Floats) -> Floats:
    """Fit a Poisson regression with a prior mean of 0."""
    nothing = np.zeros_like(penalty)
    return fit_glm(v, left, poisson, penalty, nothing, start, steps=STEPS, offset=offset)


def _penalty(kept: Bools) -> Floats:
    """Return the precision of the kept weights; the first is the intercept."""
    return np.append(1e-6, np.full(int(kept.sum()) - 1, RIDGE))
