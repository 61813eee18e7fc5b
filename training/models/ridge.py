"""Ridge regression of one model per action, shrunk towards a model that all actions share."""

from __future__ import annotations

import numpy as np

from training.arrays import Floats, Ints


def ridge_by_action(
    x: Floats,
    action: Ints,
    y: Floats,
    n_actions: int,
    penalty: Floats,
    shared_penalty: Floats | None = None,
) -> Floats:
    """Fit one ridge regression on all rows, and one per action on its residuals.

        shared = (X'X + P0)^-1 X'y
        weights[a] = shared + (Xa'Xa + P)^-1 Xa' (ya - Xa shared)

    An action with few rows stays close to the shared weights; without rows it has them.

    Parameters
    ----------
    x : shape (n, width)
    action, y : shape (n,)
    penalty, shared_penalty : shape (width,)
        Diagonals of P and of P0, in rows of unit variance; P0 is P if not given.

    Returns
    -------
    weights : shape (n_actions, width)

    References
    ----------
    Hoerl & Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems",
    Technometrics 12; partial pooling over groups: Gelman & Hill (2007), "Data analysis using
    regression and multilevel/hierarchical models", chapter 12.
    """
    of_all = np.diag(penalty if shared_penalty is None else shared_penalty)
    shared = np.linalg.solve(x.T @ x + of_all, x.T @ y)
    weights = np.tile(shared, (n_actions, 1))
    residual, of_one = y - x @ shared, np.diag(penalty)
    for index in range(n_actions):
        rows = action == index
        if rows.any():
            part = x[rows]
            weights[index] += np.linalg.solve(part.T @ part + of_one, part.T @ residual[rows])
    return weights
