"""Ridge regression: of one model per action from rows, and of any one from its sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dposv, dpotrf, dpotri

from training.arrays import Floats, Ints

# Chosen on four classification sets and six made-up ones, on seeds that no figure is of.
FEW_PARAMETERS = 2.0


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


class RidgeFit(NamedTuple):
    """A ridge regression, solved from sums; see `ridge_from_sums`.

    Attributes
    ----------
    weights : shape (width,)
        Their posterior mean.
    explained : float
        (b + D start)' weights - start' D start: the part of the squared values that is explained.
    log_determinant : float
        log det(A + D) - log det D: the larger, the freer the weights were.
    """

    weights: Floats
    explained: float
    log_determinant: float


def ridge_from_sums(second: Floats, first: Floats, penalty: Floats, start: Floats) -> RidgeFit:
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
    right = first + penalty * start
    factor, weights, failed = dposv(matrix.T, right, lower=0, overwrite_a=1)
    if failed:
        return RidgeFit(start.copy(), float(first @ start), 0.0)
    explained = float(right @ weights - penalty @ start**2)
    determinant = 2 * float(np.log(factor.diagonal()).sum()) - float(np.log(penalty).sum())
    return RidgeFit(weights, explained, determinant)


def log_evidence(unexplained: Floats, log_determinant: Floats, count: float) -> Floats:
    """Log density of the values under ridge regressions of unknown noise, but for a constant.

    A regression that follows each row explains much, and was free to; so one can be compared with
    another on the rows that both were fitted to.

    Parameters
    ----------
    unexplained, log_determinant : same shape
        Of each: the sum of the squared values less the explained part, which is > 0, and
        `RidgeFit.log_determinant`. Those of several regressions of one noise add up.
    count : float
        Number of rows.

    References
    ----------
    Bishop (2006), section 3.5.1 (evidence), at the noise that makes it largest.
    """
    found: Floats = -0.5 * (count * np.log(unexplained / count) + log_determinant)
    return found


def ridge_of_others(
    sums: Mapping[int, tuple[Floats, Floats]], members: Iterable[int], penalty: Floats
) -> dict[int, Floats]:
    """Solve for the weights of the rows of all other members, for each member of a group.

    Parameters
    ----------
    sums
        For each member with rows: A and b of `ridge_from_sums`. An only one is left out.
    """
    second = np.sum([one for one, _ in sums.values()], axis=0)
    first = np.sum([one for _, one in sums.values()], axis=0)
    found = {}
    for member in members:
        if set(sums) != {member}:
            own = sums.get(member, (0.0, 0.0))
            others = second - own[0], first - own[1]
            found[member] = ridge_from_sums(*others, penalty, np.zeros_like(penalty)).weights
    return found


def covariance_of(precision: Floats, prior: Floats) -> Floats:
    """Inverse of a precision matrix.

    It is that of the prior if the precision is not positive definite: more was then retracted than
    learned.
    """
    factor, failed = dpotrf(precision, lower=0)
    if failed:
        factor, _ = dpotrf(prior, lower=0)
    inverse, _ = dpotri(factor, lower=0)  # the upper triangle; the lower one is 0, as in factor
    found: Floats = inverse + inverse.T
    found.flat[:: len(found) + 1] *= 0.5
    return found


def posterior_variance(
    inner: Floats, along: Floats, ridge: float, level: float, constant: Floats
) -> tuple[Floats, Floats]:
    """Posterior variances along axes, divided where many parameters were fitted.

    With the effective number of parameters d the divisor is 1 + (d / `FEW_PARAMETERS`)^2. With one
    or two parameters it hardly matters: exploration by these variances is Thompson sampling. With a
    hundred of them, no action can be tried in every direction, and customers who differ try many
    directions anyway.

    Parameters
    ----------
    inner, along : shapes (k, k), (width,)
        A of `ridge_from_sums` along the first k axes, and its diagonal along all of them.
    ridge, level
        Prior precision of every weight but that of the constant, and of this one.
    constant : shape (width,)
        The constant along the axes.

    Returns
    -------
    variance, covariance : shapes (width,), (k, k)

    References
    ----------
    Effective number of parameters: Bishop (2006), section 3.5.3.
    """
    prior = ridge + (level - ridge) * constant**2
    learned = np.maximum(along, 0.0)
    fitted = 1.0 + (float((learned / (prior + learned)).sum()) / FEW_PARAMETERS) ** 2
    part = constant[: len(inner)]
    of_prior = ridge * np.eye(len(inner)) + (level - ridge) * part[:, None] * part
    return 1 / (fitted * (prior + learned)), covariance_of(of_prior + inner, of_prior) / fitted
