"""Exploration policies: exact probabilities of the actions, and a draw by them.

* `ThompsonProbabilities`: the probability that an action is the best, by means and uncertainty.
* `InverseGapWeighting`: smaller, the further an action trails the best one; by means alone.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from features.errors import InvalidSetting, NothingAllowed
from training.arrays import Bools, Floats, Indices
from training.bandit.best_of_normals import SMALLEST, probabilities_of_best

MAX_GAMMA = 1e9
MAX_CUT = 0.01  # the probabilities that are cut to 0 sum to at most this
MARGIN = 0.97  # of the bound is used; the sum of small probabilities is wrong by 2.8 % at most
FIRST = 0.1  # of the bound is used before the integral
NEGLIGIBLE = 1e-15  # an action with a smaller probability is left out even if nothing is cut


@dataclass(frozen=True, slots=True)
class InverseGapWeighting:
    """Inverse-gap weighting: an action is chosen less often, the further it trails the best one.

    With K allowed actions, expected rewards r and best action b::

        p(a) = 1 / (K + gamma * (r[b] - r[a]))     for a != b
        p(b) = 1 - (sum of the others)

    The probabilities need no posterior, and are exact: off-policy evaluation divides by them. The
    service explores by `ThompsonProbabilities` instead, which also counts the uncertainty.

    Parameters
    ----------
    gamma : float, >= 0, in 1/currency
        With 0 all allowed actions have the same probability. With 10, the worse one of two actions
        that differ by 1 has the probability 1/12.

    References
    ----------
    Foster & Rakhlin (2020), "Beyond UCB: Optimal and Efficient Contextual Bandits with
    Regression Oracles", Algorithm 1 (SquareCB); weighting after Abe & Long (1999).
    """

    gamma: float

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= MAX_GAMMA:  # written so that nan fails too
            raise InvalidSetting(
                f"gamma is {self.gamma!r}.",
                expected=f"a number from 0 to {MAX_GAMMA:g}, in 1/currency",
                remedy="Start with 20.",
            )

    def probabilities(self, expected_reward: Floats) -> Floats:
        """Compute the probability of each action.

        Parameters
        ----------
        expected_reward : shape (..., n_actions), in the domain's currency
            ``nan`` marks an action that is not allowed.

        Returns
        -------
        shape (..., n_actions)
            Sums to 1; exactly 0 for an action that is not allowed, above 0 for an allowed one.

        Raises
        ------
        NothingAllowed
            If all are ``nan``; the engine always allows `no_action`.
        """
        allowed = ~np.isnan(expected_reward)
        if not allowed.any(axis=-1).all():
            raise NothingAllowed(
                "The policy was given no allowed action.",
                expected="at least one finite expected reward",
                remedy="Allow 'no_action'.",
            )
        best = np.where(allowed, expected_reward, -np.inf).argmax(axis=-1, keepdims=True)
        gap = np.take_along_axis(expected_reward, best, axis=-1) - expected_reward
        n_allowed = allowed.sum(axis=-1, keepdims=True)
        chance = np.where(allowed, 1.0 / (n_allowed + self.gamma * gap), 0.0)
        np.put_along_axis(chance, best, 0.0, axis=-1)
        np.put_along_axis(chance, best, 1.0 - chance.sum(axis=-1, keepdims=True), axis=-1)
        return chance


@dataclass(frozen=True, slots=True)
class ThompsonProbabilities:
    """The exact choice probabilities of Thompson sampling: that each action is the best one.

    The posteriors of expected rewards are normal and independent, with means m and standard
    deviations s. Thompson sampling draws from them and takes the best, so its probabilities are not
    known. Here they are computed::

        p(a) = integral over z of  density_a(z) * product over b != a of  P(reward of b < z)

    An action is explored because it may be the best, not because it is near the best. With two
    actions of means 1 and 0 and standard deviations 0.6 and 0.8, p = (0.84, 0.16): the difference
    of their rewards is 1 +- 1.

    The smallest probabilities are cut to 0, and the others are scaled up to the sum of 1. A cut
    probability is below ``min_probability``, and all that are cut sum to at most ``max_cut``. So
    of 1,000 like actions nearly all keep their probability.

    Measured on 1,800 random cases (2 to 1,000 actions; standard deviations from 0.01 to 1, equal
    or mixed; ties; constants; one action far better) against an integral on a grid 50 times as
    fine, and on 12 of them against Monte Carlo: no probability is wrong by more than 0.0008 where
    all standard deviations are equal, and by more than 0.00014 elsewhere.

    Parameters
    ----------
    min_probability : float, from 0 to 0.1
        A probability that is not below this is never cut.
    max_cut : float, from 0 to 0.1
        Bound of the sum of what is cut. The smallest ones are cut, in order, as long as their sum
        is within the bound; equal ones are cut together or not at all.

    References
    ----------
    Thompson (1933), "On the likelihood that one unknown probability exceeds another in view of
    the evidence of two samples"; Russo et al. (2018), "A Tutorial on Thompson Sampling", section 3.
    """

    min_probability: float = 0.001
    max_cut: float = MAX_CUT

    def __post_init__(self) -> None:
        if not 0 <= self.min_probability <= 0.1:  # written so that nan fails too
            raise InvalidSetting(
                f"min_probability is {self.min_probability!r}.",
                expected="a probability from 0 to 0.1",
                remedy="0.001 excludes actions that are the best less than once in 1,000 times.",
            )
        if not 0 <= self.max_cut <= 0.1:
            raise InvalidSetting(
                f"max_cut is {self.max_cut!r}.",
                expected="a probability from 0 to 0.1",
                remedy="0.01 cuts actions that are the best less than once in 100 times in all.",
            )

    def probabilities(self, expected_reward: Floats, deviation: Floats) -> Floats:
        """Compute the probability of each action.

        Parameters
        ----------
        expected_reward : shape (n_actions,)
            ``nan`` marks an action that is not allowed.
        deviation : shape (n_actions,), >= 0, in the same unit
            Standard deviation of the expected reward; not read where an action is not allowed.

        Returns
        -------
        shape (n_actions,)
            Sums to 1; exactly 0 for an action that is not allowed or whose probability is cut.

        Raises
        ------
        NothingAllowed
            If all are ``nan``; the engine always allows `no_action`.
        """
        mean, best = expected_reward, int(expected_reward.argmax())
        if math.isnan(mean[best]):  # argmax takes nan for the greatest; here it must be the least
            mean = np.fmax(mean, -np.inf)
            best = int(mean.argmax())
        if mean[best] == -np.inf:
            raise NothingAllowed(
                "The policy was given no allowed action.",
                expected="at least one finite expected reward",
                remedy="Allow 'no_action'.",
            )
        chance = np.zeros(len(mean))
        alive, left_out = self._alive(mean, deviation, best)
        if len(alive) == 1:
            chance[best] = 1.0
            return chance
        found = probabilities_of_best(mean[alive], deviation[alive])
        found /= found.sum()
        found[_smallest(found, self.min_probability, MARGIN * self.max_cut - left_out)] = 0.0
        chance[alive] = found / found.sum()
        return chance

    def _alive(self, mean: Floats, deviation: Floats, best: int) -> tuple[Indices, float]:
        """Choose the actions of the integral, and bound the probability of those left out.

        An action is the best of all at most as often as it is better than the one with the best
        mean. By this bound most actions are cut before the integral. Most of what may be cut in
        all is kept for the others, because their probabilities are known after the integral.
        """
        apart = np.maximum(np.hypot(deviation, deviation[best]), SMALLEST)
        bound = np.fmax(ndtr((mean - mean[best]) / apart), 0.0)  # nan where it is not allowed
        limit, at_most = (
            max(self.min_probability, NEGLIGIBLE),
            max(FIRST * self.max_cut, NEGLIGIBLE),
        )
        small = _smallest(bound, limit, at_most)
        return (~small).nonzero()[0], float(bound @ small)


def _smallest(chance: Floats, limit: float, at_most: float) -> Bools:
    """Mask the smallest probabilities below a limit whose sum is within a bound.

    Those equal to the smallest one that exceeds the bound, but for rounding, are not in the mask.
    """
    small: Bools = chance < limit
    if chance @ small <= at_most:
        return small
    ascending = np.sort(chance)
    cut = int(ascending.cumsum().searchsorted(at_most, side="right"))
    small = chance < min(limit, ascending[cut] * (1 - 1e-9))
    return small


def draw(probabilities: Floats, seed: str) -> int:
    """Draw an index by the probabilities; the same ``seed`` always draws the same one.

    The hash of the seed is the uniform random number, so a decision can be replayed from its
    record. The seed must not be known to whoever chooses among several: the probabilities would
    not be those of the draw.
    """
    digest = hashlib.sha256(seed.encode()).digest()
    uniform = int.from_bytes(digest[:7], "big") / 2**56
    index = int(probabilities.cumsum().searchsorted(uniform, side="right"))
    # The sum may be below 1 by a rounding error; then it is the last allowed action.
    return min(index, int(probabilities.nonzero()[0][-1]))
