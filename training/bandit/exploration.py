"""Exploration policies: exact probabilities of the actions, and a draw by them.

* `ThompsonProbabilities`: the probability that an action is the best, by means and uncertainty.
* `InverseGapWeighting`: smaller, the further an action trails the best one; by means alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from features.errors import InvalidSetting, NothingAllowed
from training.arrays import Floats

MAX_GAMMA = 1e9
REACH = 4.0  # standard deviations; the tail beyond it has a probability of 3e-5 and is left out
NODES = np.linspace(-REACH, REACH, 13)  # where each action's density is evaluated
CELL = 0.25  # of the smallest standard deviation; one node in such a cell is enough
STEPS = np.arange(65.0)  # if so many cells cover the range, their ends are the nodes
SMALLEST = 1e-30  # replaces smaller probabilities, so that one can divide by it


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

    Parameters
    ----------
    min_probability : float, from 0 to 0.1
        A smaller probability becomes exactly 0. So every probability above 0 is at least this,
        which bounds the importance weights of off-policy evaluation.

    References
    ----------
    Thompson (1933), "On the likelihood that one unknown probability exceeds another in view of
    the evidence of two samples"; Russo et al. (2018), "A Tutorial on Thompson Sampling", section 3.
    """

    min_probability: float = 0.001

    def __post_init__(self) -> None:
        if not 0 <= self.min_probability <= 0.1:  # written so that nan fails too
            raise InvalidSetting(
                f"min_probability is {self.min_probability!r}.",
                expected="a probability from 0 to 0.1",
                remedy="0.001 excludes actions that are the best less than once in 1,000 times.",
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
            Sums to 1; each is 0 or at least ``min_probability``, but for rounding.

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
        # An action is the best of all at most as often as it is better than the one with the best
        # mean. So most actions can be left out before the integral.
        apart = np.hypot(deviation, deviation[best])
        alive = (mean[best] - mean <= _furthest(self.min_probability) * apart).nonzero()[0]
        if len(alive) == 1:
            chance[best] = 1.0
            return chance
        found = _chances_of_best(mean[alive], deviation[alive])
        found[found < min(self.min_probability, found.max())] = 0.0
        chance[alive] = found / found.sum()
        return chance


@lru_cache(maxsize=8)
def _furthest(min_probability: float) -> float:
    """The distance at which an action is still better with ``min_probability``.

    It is that between the two means, in standard deviations of the difference.
    """
    return min(-float(ndtri(min_probability)), 2 * REACH)


def _chances_of_best(mean: Floats, sd: Floats) -> Floats:
    """Probability of each of some independent normal variables to be the greatest.

    Of several constants (sd 0) with the same value, each gets the same part.
    """
    if len(mean) == 2:
        return _chances_of_two(mean.tolist(), sd.tolist())
    floor = (mean - REACH * sd).max()  # the greatest is above it, whichever it is
    if sd.min() > 0:
        return _chances_above(mean, sd, floor)[0]
    certain = sd == 0
    chance = np.zeros(len(mean))
    floor = max(floor, float(mean[certain].max()))
    none_above = 1.0
    if not certain.all():
        chance[~certain], none_above = _chances_above(mean[~certain], sd[~certain], floor)
    best = certain & (mean == floor)
    chance[best] = none_above / max(1, best.sum())
    return chance


def _chances_of_two(mean: Sequence[float], sd: Sequence[float]) -> Floats:
    """Probability of each of two normal variables to be the greater: their difference is normal."""
    apart = math.hypot(*sd) * math.sqrt(2)
    ahead = (mean[0] - mean[1]) / apart if apart else 0.0  # two constants left over: they are equal
    return np.array([math.erfc(-ahead) / 2, math.erfc(ahead) / 2])


def _chances_above(mean: Floats, sd: Floats, floor: float) -> tuple[Floats, float]:
    """Probability that each is the greatest and above ``floor``, and that none is above it.

    The integral is a sum over cells between nodes. A variable's own probability of a cell is exact;
    that of the others to be below it is the mean of those at both ends. Measured on random normals
    of 24 actions: no probability is wrong by more than 0.0011 where deviations differ (0.2 to 1.5),
    and by more than 0.006 where they hardly do (0.7 to 0.9).
    """
    nodes = _nodes(mean, sd, floor)
    below = np.maximum(ndtr((nodes[:, None] - mean) / sd), SMALLEST)
    none_above = below.prod(axis=1)
    others = none_above[:, None] / below
    chance: Floats = ((below[1:] - below[:-1]) * (others[1:] + others[:-1])).sum(axis=0) / 2
    return chance, float(none_above[0])


def _nodes(mean: Floats, sd: Floats, floor: float) -> Floats:
    """Points at which the integrand is evaluated, from the floor up; dense where a density is."""
    step, top = CELL * float(sd.min()), float((mean + REACH * sd).max())
    if top - floor <= step * STEPS[-2]:
        return floor + step * STEPS[: 2 + int((top - floor) / step)]
    nodes = (mean[:, None] + sd[:, None] * NODES).ravel()
    nodes = np.concatenate(([floor], nodes[nodes > floor]))
    nodes.sort()
    cell = np.floor((nodes - floor) / step)
    kept = np.ones(len(nodes), dtype=bool)  # the last node too, or its cell would be missing
    kept[1:-1] = cell[1:-1] != cell[:-2]
    return nodes[kept]


def draw(probabilities: Floats, decision_id: str) -> int:
    """Draw an index by the probabilities; the same ``decision_id`` always draws the same one.

    The hash of the id is the uniform random number. So a decision can be replayed from its record,
    and a repeated request cannot draw twice.
    """
    digest = hashlib.sha256(decision_id.encode()).digest()
    uniform = int.from_bytes(digest[:7], "big") / 2**56
    index = int(probabilities.cumsum().searchsorted(uniform, side="right"))
    # The sum may be below 1 by a rounding error; then it is the last allowed action.
    return min(index, int(probabilities.nonzero()[0][-1]))
