"""Linear heads: what sums over outcomes say of each action, and how sure that is.

* `solve` turns sums into a `Head`, the posterior of Bayesian ridge regression.
* `LiveHead` follows one outcome after another without solving anew; it equals `solve`.

How sure: the variance of a mean takes a matrix for each action, too much to be published every few
seconds and to be multiplied at every decision. So the matrices are kept on one common basis, on
which they are nearly diagonal: the principal axes of all vectors that were learned from. Measured
on eight sets of real data, exploring by the exact variance earned no more (0.838 and 0.838).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dger

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """Weights of each action and their variances, per unit of noise.

    Attributes
    ----------
    weights : shape (n_actions, width)
        Posterior mean.
    variance : shape (n_actions, width)
        Posterior variance along each axis of ``basis``, for a noise of variance 1.
    basis : shape (width, width)
        Orthonormal; its columns are the axes.
    ridge : float
        How many outcomes the prior is worth of an action that is not known yet.
    """

    weights: Floats
    variance: Floats
    basis: Floats
    ridge: float = 1.0

    def mean(self, vectors: Floats) -> Floats:
        """Shape (n, n_actions), from vectors of shape (n, width)."""
        found: Floats = vectors @ self.weights.T
        return found

    def spread(self, vectors: Floats) -> Floats:
        """Variance of `mean` for a noise of variance 1, shape (n, n_actions)."""
        found: Floats = (vectors @ self.basis) ** 2 @ self.variance.T
        return found

    def noisier(self, noise: Floats) -> Head:
        """The same, of actions whose outcomes vary by ``noise``, shape (n_actions,)."""
        return replace(self, variance=self.variance * noise[:, None])

    def rearranged(self, taken: NDArray[np.intp]) -> Head:
        """The actions of these indices; -1 is one of which nothing is known."""
        width = len(self.basis)
        weights = np.vstack([self.weights, np.zeros(width)])[taken]
        variance = np.vstack([self.variance, np.full(width, 1 / self.ridge)])[taken]
        return replace(self, weights=weights, variance=variance)


def basis_of(second: Floats) -> Floats:
    """Principal axes of everything learned from, given A of each action (n, width, width)."""
    _, basis = np.linalg.eigh(second.sum(axis=0))
    return basis


def solve(second: Floats, first: Floats, penalty: Floats, prior: Floats, basis: Floats) -> Head:
    """The posterior of each action: weights = (A + D)^-1 (b + D prior).

    Parameters
    ----------
    second : shape (n_actions, width, width)
        A = sum of c v v' over an action's outcomes.
    first : shape (n_actions, width)
        b = sum of c y v.
    penalty : shape (n_actions, width)
        The diagonal of D: how many outcomes each prior weight is worth.
    prior : shape (n_actions, width)
        Weights before any outcome.

    References
    ----------
    Bishop (2006), "Pattern Recognition and Machine Learning", section 3.3.
    """
    weights = np.empty_like(first)
    variance = np.empty_like(first)
    for index, (a, d) in enumerate(zip(second, penalty, strict=True)):
        factor = cho_factor(a + np.diag(d))
        weights[index] = prior[index] + cho_solve(factor, first[index] - a @ prior[index])
        variance[index] = 1.0 / (np.einsum("ij,ij->j", basis, a @ basis) + d @ basis**2)
    return Head(weights, variance, basis, float(penalty.max(initial=1.0)))


class LiveHead:
    """A head that learns outcome by outcome; rank-one updates of the inverse of A + D.

    References
    ----------
    Sherman & Morrison (1950), "Adjustment of an Inverse Matrix Corresponding to a Change in One
    Element of a Given Matrix".
    """

    def __init__(
        self, second: Floats, first: Floats, penalty: Floats, prior: Floats, basis: Floats
    ) -> None:
        self.head = solve(second, first, penalty, prior, basis)
        unit = np.eye(second.shape[1])
        self._inverse = np.stack(
            [cho_solve(cho_factor(a + np.diag(d)), unit) for a, d in zip(second, penalty)]  # noqa: B905
        )

    def absorb(self, action: int, vector: Floats, error: float, count: float) -> None:
        """Learn that ``action`` fell short of what followed by ``error``, counted ``count`` > 0."""
        inverse = self._inverse[action]
        step = inverse @ vector
        reach = 1.0 / count + step @ vector
        self.head.weights[action] += step * (error / reach)
        # In place: the inverse is symmetric, so its transpose is the layout that BLAS wants.
        dger(-1.0 / reach, step, step, a=inverse.T, overwrite_a=1)
        along = self.head.basis.T @ vector
        variance = self.head.variance[action]
        self.head.variance[action] = variance / (1.0 + count * along**2 * variance)
