"""The daily rate at which customers leave, by a Poisson regression on encoded features."""

from __future__ import annotations

import numpy as np

from training.arrays import Floats

MAX_STEPS = 300
MAX_LOG_RATE = 0.0  # one a day: nobody leaves more often


def fit_leaving_rate(vectors: Floats, days: Floats, left: Floats, ridge: float) -> Floats:
    """Fit weights with ``log(rate a day) = vectors @ weights``.

    Parameters
    ----------
    vectors : shape (n, width)
        Each begins with 1; the other elements have about unit variance.
    days : shape (n,), above 0
        How long each customer was watched.
    left : shape (n,), 0 or 1
        Whether the customer left within these days.
    ridge : float
        Precision of the prior weights, in customers who left. It does not hold the level.

    Returns
    -------
    shape (width,)
        The level alone where nobody left: half a customer in all days.

    References
    ----------
    McCullagh & Nelder (1989), "Generalized Linear Models", section 13.3: a constant rate of
    leaving is a Poisson regression with the days as exposure.
    """
    weights, exposure = np.zeros(vectors.shape[1]), float(days.sum())
    gone = float(left.sum())
    if gone < 1 or len(weights) == 1:
        weights[0] = np.log((gone or 0.5) / max(exposure, 1.0))
        return weights
    # Imported here: a server predicts and never fits, and the import costs it a second.
    from sklearn.linear_model import PoissonRegressor

    # Time is counted in expected leavings, not days: the solver stops at a fixed small gradient,
    # and with one customer in 10,000 leaving a day that of the first step is as small.
    expected = days * (gone / exposure)
    model = PoissonRegressor(alpha=ridge / gone, max_iter=MAX_STEPS)
    model.fit(vectors[:, 1:], left / expected, sample_weight=expected)
    weights[0], weights[1:] = model.intercept_ + np.log(gone / exposure), model.coef_
    return weights


def leaving_rate(vectors: Floats, weights: Floats) -> Floats:
    """Predict the rate a day, shape (n,)."""
    rate: Floats = np.exp(np.minimum(vectors @ weights, MAX_LOG_RATE))
    return rate


def leaving_within(rate: Floats, days: float | Floats) -> Floats:
    """Turn a rate a day into the probability to leave within some days."""
    probability: Floats = -np.expm1(-rate * days)
    return probability
