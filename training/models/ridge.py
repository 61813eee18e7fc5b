"""Ridge regression: of one model per action from rows, and of any one from its sums.

Also: levels, which are ridge regressions on a constant alone, and the noise of a rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.linalg.lapack import dposv, dpotrf, dpotri

from training.arrays import Floats, Ints

TINY = 1e-9  # a rate is at least so far from 0 and from 1


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


def ridge_from_sums(second: Floats, first: Floats, penalty: Floats, start: Floats) -> Floats:
    """Solve for the posterior mean of the weights: (A + D)^-1 (b + D start).

    It is ``start`` if A + D is not positive definite: more was then retracted than learned.

    Parameters
    ----------
    second : shape (width, width)
        A = sum of c v v' over the rows v with counts c; only the lower triangle is read.
    first : shape (width,)
        b = sum of c y v, with their values y.
    penalty : shape (width,)
        The diagonal of D: the precision of each prior weight, in rows.
    start : shape (width,)
        Prior mean of the weights.

    References
    ----------
    Bishop (2006), "Pattern Recognition and Machine Learning", section 3.3.
    """
    matrix = second.copy()
    matrix.flat[:: len(matrix) + 1] += penalty
    # LAPACK stores matrices by column: its upper triangle is the lower one here.
    _, weights, failed = dposv(matrix.T, first + penalty * start, lower=0, overwrite_a=1)
    if failed:
        return start.copy()
    found: Floats = weights
    return found


def ridge_of_others(
    sums: Mapping[int, tuple[Floats, Floats]], members: Iterable[int], penalty: Floats
) -> dict[int, Floats]:
    """Solve for the weights of the rows of all other members, for each member of a group.

    Parameters
    ----------
    sums
        For each member with rows: A and b of `ridge_from_sums`.
    members
        A member that alone has rows is left out.
    """
    second = np.sum([one for one, _ in sums.values()], axis=0)
    first = np.sum([one for _, one in sums.values()], axis=0)
    found = {}
    for member in members:
        if set(sums) != {member}:
            own = sums.get(member, (0.0, 0.0))
            others = second - own[0], first - own[1]
            found[member] = ridge_from_sums(*others, penalty, np.zeros_like(penalty))
    return found


def covariance_of(precision: Floats, prior: Floats) -> Floats:
    """Inverse of a precision matrix.

    It is that of the prior if the precision is not positive definite: more was then retracted than
    learned.
    """
    factor, failed = dpotrf(precision, lower=0)
    if failed:
        factor, _ = dpotrf(prior, lower=0)
    inverse, _ = dpotri(factor, lower=0)
    upper = np.triu(inverse)
    found: Floats = upper + np.triu(upper, 1).T
    return found


def share_of_prior(weight: Floats, counted: Floats) -> Floats:
    """Share of a prior mean in the posterior one, by its weight in outcomes.

    The posterior mean is share x prior mean + (1 - share) x mean of the outcomes.
    """
    return weight / (weight + counted)


def rate_variance(prior: Floats, rate: Floats, share: Floats) -> Floats:
    """Variance p (1 - p) of single outcomes 0 and 1; p mixes a prior rate and that of outcomes.

    Parameters
    ----------
    prior : shape (n,)
    rate : shape (n,)
        NaN where there are no outcomes.
    share : shape (n,)
        See `share_of_prior`.
    """
    known = np.where(np.isnan(rate), prior, rate)
    p = np.clip(share * prior + (1 - share) * known, TINY, 1 - TINY)
    found: Floats = p * (1 - p)
    return found


def upper_triangles(matrices: Floats) -> Floats:
    """Upper triangles of symmetric matrices, shape (n, width (width + 1) / 2)."""
    found: Floats = matrices[:, *np.triu_indices(matrices.shape[-1])]
    return found


def from_upper_triangles(triangles: Floats) -> Floats:
    """Symmetric matrices, shape (n, width, width); inverse of `upper_triangles`."""
    width = int(np.sqrt(2 * triangles.shape[1]))
    upper = np.triu_indices(width)
    matrices = np.zeros((len(triangles), width, width))
    matrices[:, *upper] = triangles
    matrices[:, upper[1], upper[0]] = triangles
    return matrices
