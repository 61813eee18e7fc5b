"""Regression of what is counted: who accepts (logistic), who leaves (Poisson), with priors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.arrays import Floats

SETTLED = 0.01  # a step in which no weight changes by more is the last one
STEEPEST = 30.0  # no chance is believed closer to 0 than exp(-STEEPEST)

# From linear predictors (n,), the expected counts and their variances, each (n,).
Link = Callable[[Floats], tuple[Floats, Floats]]


def logistic(linear: Floats) -> tuple[Floats, Floats]:
    """Of what happens or does not, with log-odds ``linear``."""
    chance = 1 / (1 + np.exp(-np.clip(linear, -STEEPEST, STEEPEST)))
    return chance, chance * (1 - chance)


def poisson(linear: Floats) -> tuple[Floats, Floats]:
    """Of what is rare, with log chances ``linear``: Poisson's."""
    chance = np.exp(np.clip(linear, -STEEPEST, 0.0))
    return chance, chance


def fit_glm(
    v: Floats,
    y: Floats,
    link: Link,
    penalty: Floats,
    prior: Floats,
    start: Floats,
    *,
    steps: int,
    offset: Floats | float = 0.0,
) -> Floats:
    """Weights w that make ``y`` likely, where ``link(offset + v @ w)`` is expected.

    Newton's method on the penalised likelihood, in steps that cannot overshoot far.

    Parameters
    ----------
    v : shape (n, width)
    y : shape (n,)
    penalty, prior : shape (width,)
        How many outcomes each prior weight is worth, and which it is.
    start : shape (width,)
        Where to begin.
    steps : int
        At most.

    References
    ----------
    McCullagh & Nelder (1989), "Generalized Linear Models", sections 2.5, 4.4 and 6.2.
    """
    weights = start
    for _ in range(steps):
        mean, variance = link(offset + v @ weights)
        slope = v.T @ (y - mean) - penalty * (weights - prior)
        curve = (v * variance[:, None]).T @ v + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        longest = float(np.abs(step).max())
        weights = weights + step / max(1.0, longest)
        if longest < SETTLED:
            break
    return weights


def with_intercept(x: Floats) -> Floats:
    """Rows (n, n_features) behind a 1, shape (n, 1 + n_features)."""
    return np.column_stack([np.ones(len(x)), x])
