"""The directions of the feature space along which effects are told apart.

With hundreds of features and few customers who leave, an effect that is free in each of them is
noise. So each action gets one direction: the features by how clearly its effect changes with them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from training.arrays import Floats

TINY = 1e-9


def least_statistic(by_chance: float, n_features: int) -> float:
    """Return the t-statistic that so many of the features exceed by chance, at least 0."""
    share = min(by_chance / max(n_features, 1), 1.0)
    return -float(ndtri(share / 2))


class DirectionSums:
    """Marginal moments of the effect of each action with each element of a vector.

    References
    ----------
    Fan & Lv (2008), "Sure independence screening for ultrahigh dimensional feature space"; Bair,
    Hastie, Paul & Tibshirani (2006), "Prediction by supervised principal components".
    """

    def __init__(self, n_actions: int, width: int) -> None:
        self._moments, self._weights, self._squares = np.zeros((3, n_actions, width))

    def add(self, vectors: Floats, centred: Floats, label: Floats, weight: Floats) -> None:
        """Add decisions.

        Parameters
        ----------
        vectors : shape (n, width)
        centred : shape (n, n_actions)
            See `effect_blocks.centred_indicators`.
        label : shape (n,)
            With mean 0 over all decisions.
        weight : shape (n,)
        """
        weighted = centred * weight[:, None]
        signal = weighted * label[:, None]
        self._moments += signal.T @ vectors
        self._weights += (weighted * centred).T @ vectors
        self._squares += np.square(signal).T @ np.square(vectors)

    def directions(self, least: float, at_most: int) -> Floats:
        """Return one direction of length 1 for each action whose effect varies clearly.

        The moments are those of the effect less its mean: the mean effect alone makes moments with
        the features by which an action was drawn more often.

        Parameters
        ----------
        least : float
            t-statistics are lowered by it towards 0; features below it do not enter.
        at_most : int
            Directions, those with the largest t-statistic.

        Returns
        -------
        shape (width, n_directions)
        """
        mean = self._moments[:, :1] / np.maximum(self._weights[:, :1], TINY)
        t = (self._moments - mean * self._weights) / np.sqrt(self._squares + TINY)
        t[:, 0] = 0.0  # of the level, which each action has anyway
        shrunk = np.sign(t) * np.maximum(np.abs(t) - least, 0.0)
        strength = np.abs(shrunk).max(axis=1, initial=0.0)
        chosen = np.argsort(-strength, kind="stable")[:at_most]
        kept = np.sort(chosen[strength[chosen] > 0])
        found = shrunk[kept]
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.ascontiguousarray((found / np.maximum(lengths, TINY)).T)


def standard_basis(parts: Floats, vectors: Floats) -> Floats:
    """Scale directions so that a customer's vector is 1, then elements of mean 0 and variance 1.

    Parameters
    ----------
    parts : shape (width, n)
        Directions; those that do not vary are left out.
    vectors : shape (n_customers, width)
        Each begins with 1.

    Returns
    -------
    shape (width, 1 + n_varying)
        ``vectors @ basis`` are the scaled vectors.
    """
    along = vectors @ parts
    center, scale = along.mean(axis=0), along.std(axis=0)
    varies = scale > TINY * np.maximum(1.0, np.abs(center))
    basis = np.zeros((len(parts), 1 + int(varies.sum())))
    basis[0, 0] = 1.0
    basis[:, 1:] = parts[:, varies] / scale[varies]
    basis[0, 1:] -= center[varies] / scale[varies]
    return basis
