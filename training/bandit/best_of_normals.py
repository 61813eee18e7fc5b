"""The probability of each of some independent normal variables to be the greatest of them.

Two variables have a closed form. For more, the integral is computed on few nodes, because it
stands in the path of a decision among 1,000 actions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from training.arrays import Floats

BELOW, ABOVE = 4.0, 6.0  # reach of a normal density around its mean, in standard deviations
CELL = 0.5  # width of a cell of the integral, in the smallest standard deviation that is left there
SMALLEST_RATIO = 1e-5  # of the largest standard deviation; narrower densities need no finer cells
SMALLEST = 1e-300  # replaces smaller probabilities before the logarithm


def _distances() -> Floats:
    """Distances of the nodes from the floor of the integral, in smallest standard deviations.

    A density with standard deviation s that begins below the floor has ended at a distance of
    2 x BELOW x s. So at a distance d only densities with s > d / (2 x BELOW) are left, and the
    cells may grow with d. All densities that begin below the floor end within the last distance.
    """
    reach = 2 * BELOW
    growth = 1 + CELL / reach
    wide = math.log((BELOW + ABOVE) / SMALLEST_RATIO / reach) / math.log(growth)
    even = np.arange(0, reach, CELL)
    return np.concatenate((even, reach * growth ** np.arange(math.ceil(wide) + 2)))


DISTANCES = _distances()


def probabilities_of_best(mean: Floats, sd: Floats) -> Floats:
    """Probability of each of some independent normal variables to be the greatest.

    Of several constants (sd 0) with the same value, each gets the same part.
    """
    if len(mean) == 2:
        return _probabilities_of_two(mean.tolist(), sd.tolist())
    floor = (mean - BELOW * sd).max()  # the greatest is above it, whichever it is
    if sd.min() > 0:
        return _probabilities_above(mean, sd, floor)[0]
    certain = sd == 0
    chance = np.zeros(len(mean))
    floor = max(floor, float(mean[certain].max()))
    none_above = 1.0
    if not certain.all():
        chance[~certain], none_above = _probabilities_above(mean[~certain], sd[~certain], floor)
    best = certain & (mean == floor)
    chance[best] = none_above / max(1, best.sum())
    return chance


def _probabilities_of_two(mean: Sequence[float], sd: Sequence[float]) -> Floats:
    """Probability of each of two normal variables to be the greater: their difference is normal."""
    apart = math.hypot(*sd) * math.sqrt(2)
    ahead = (mean[0] - mean[1]) / apart if apart else 0.0  # two constants left over: they are equal
    return np.array([math.erfc(-ahead) / 2, math.erfc(ahead) / 2])


def _probabilities_above(mean: Floats, sd: Floats, floor: float) -> tuple[Floats, float]:
    """Probability that each is the greatest and above ``floor``, and that none is above it.

    With distribution functions F(a) and their product F, the distribution function of the
    greatest, p(a) is the integral of F d(log F(a)). It is summed over cells between nodes: of the
    probability that the greatest is in a cell, each variable gets the part that its log F(a) has
    in the rise of log F. This is exact where the parts do not change within a cell. The error
    falls with the square of the cells' width, so the sum over cells twice as wide, which needs no
    further node, removes most of it (Richardson extrapolation).
    """
    narrowest = max(float(sd.min()), SMALLEST_RATIO * float(sd.max()))
    top = float((mean + ABOVE * sd).max())
    count = int(DISTANCES.searchsorted((top - floor) / narrowest)) + 1
    count += 1 - count % 2  # an even number of cells, so that two and two can be joined
    nodes = floor + narrowest * DISTANCES[:count]
    below = (nodes[:, None] - mean) / sd
    ndtr(below, out=below)
    np.maximum(below, SMALLEST, out=below)
    logs = np.log(below, out=below)
    log_none = logs.sum(axis=1)
    none = np.exp(log_none)
    weight = _node_weights(log_none, none) * (4 / 3)
    weight[::2] -= _node_weights(log_none[::2], none[::2]) / 3
    return np.maximum(weight @ logs, 0.0), float(none[0])


def _node_weights(log_none: Floats, none: Floats) -> Floats:
    """Weight of each node's log F(a) in the sum over cells, which is rearranged by nodes."""
    rise = log_none[1:] - log_none[:-1]
    part = (none[1:] - none[:-1]) / np.maximum(rise, SMALLEST)
    weight = np.zeros(len(none))
    weight[1:] = part
    weight[:-1] -= part
    return weight
