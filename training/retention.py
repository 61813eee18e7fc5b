"""What an action does to the chance that a customer leaves, seen days later instead of months.

Who leaves is rare and mostly luck: one in a thousand on a day, and each takes a year's margin along.
To see what one more contact does to that takes millions of decisions. What a contact does to what
we know of a customer (fewer visits, a bad score, three promotions in a week) shows within days, and
what that means for leaving is learned from all customers. So an action is credited with the change
in *expected* leaving, not with who left.

References
----------
Athey, Chetty, Imbens & Kang (2019), "The Surrogate Index".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS = 6  # of Newton's method; from an old fit on, it has settled by then
STEEPEST = 30.0  # no chance is smaller than exp(-STEEPEST)


@dataclass(frozen=True)
class Retention:
    """Chance to leave, exp(weights . (1, x)) for each day.

    Attributes
    ----------
    weights : shape (1 + n_features,)
    """

    weights: Floats

    @classmethod
    def fit(
        cls,
        x: Floats,
        left: Floats,
        days: Floats,
        ridge: float = 5.0,
        start: Retention | None = None,
    ) -> Retention:
        """Poisson regression of who left, by what was known when we began to look.

        Parameters
        ----------
        x : shape (n, n_features)
        left : shape (n,), 0 or 1
            Whether they left while we looked.
        days : shape (n,), > 0
            How long we looked.
        ridge : float, > 0
            Pulls the weights of features to 0, in leavers.
        start
            An earlier fit, to begin from.

        References
        ----------
        McCullagh & Nelder (1989), "Generalized Linear Models", chapter 6 (log-linear models with
        an offset) and section 2.5 (the fit by reweighted least squares).
        """
        vectors = np.column_stack([np.ones(len(x)), x])
        penalty = np.append(1e-6, np.full(x.shape[1], ridge))
        rate = (left.sum() + 0.5) / days.sum()
        weights = start.weights if start else np.append(np.log(rate), np.zeros(x.shape[1]))
        for _ in range(STEPS):
            mean = days * _exp(vectors @ weights)
            slope = vectors.T @ (left - mean) - penalty * weights
            curve = (vectors * mean[:, None]).T @ vectors + np.diag(penalty)
            weights = weights + np.linalg.solve(curve, slope)
        return cls(weights)

    def leaving(self, x: Floats) -> Floats:
        """Chance to leave on a day, shape (n,), of rows x (n, n_features)."""
        return _exp(self.weights[0] + x @ self.weights[1:])


def _exp(linear: Floats) -> Floats:
    grown: Floats = np.exp(np.clip(linear, -STEEPEST, 0.0))
    return grown
