"""Estimates the examination probability of each rank: how often a customer looks at a slot.

In the position-based model a customer accepts an action at rank r with probability

    P(yes at rank r) = look(r) x appeal,    look(1) = 1

where the appeal is the acceptance of the action once it was looked at. It is what the bandit
learns.

Given what was believed of an action, its rank is random: the policy draws, and the control group
draws evenly. So rates of acceptance are compared between ranks within *cells*, which are an action
on a channel with a narrow range of believed acceptance. How good an action is, and for whom,
cancels out.

Sources: Craswell et al. 2008 and Chuklin, Markov & de Rijke 2015, section 3.2 (position-based
model); Joachims, Swaminathan & Schnabel 2017 (bias of positions); Hausman, Hall & Griliches 1984
(Poisson counts with an effect of each cell).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PRIOR_WEIGHT = 1.0  # acceptances by which a rank is believed to be looked at like rank 1
OWN_WEIGHT = 1.0  # acceptances by which a channel is believed to be like all others
CELL_WIDTH = 0.25  # of the log odds of the believed acceptance
SMALLEST = 1e-6  # believed acceptances are cut to the range from this to 1 less this
ALL_CHANNELS = ""  # key of the looks of channels that have none of their own
LOWEST = np.log(1e-6)  # of the logarithm of a look
MOST_STEPS, CONVERGED = 100, 1e-10  # of Newton's method; of the log of a look

Looks = Mapping[str, tuple[float, ...]]  # by channel: look(1), look(2), and so on


class RankedShowings(NamedTuple):
    """Shown actions of decisions that showed several, as arrays.

    Attributes
    ----------
    channel, action : shape (n,), of texts
    rank : shape (n,)
        From 1.
    believed : shape (n,)
        The acceptance that was believed at the decision, if it is looked at; ``nan``: unknown.
    shown : shape (n,)
        The part of its acceptances that has come by now, in [0, 1].
    accepted : shape (n,)
        The acceptance that was reported by now; 0 for a silence.
    """

    channel: NDArray[np.str_]
    action: NDArray[np.str_]
    rank: NDArray[np.intp]
    believed: NDArray[np.float64]
    shown: NDArray[np.float64]
    accepted: NDArray[np.float64]


def look_at(looks: Looks, channel: str, rank: int) -> float:
    """Return the examination probability of a rank; 1 where nothing is known."""
    return look_of(looks_on(looks, channel), rank)


def looks_on(looks: Looks, channel: str) -> tuple[float, ...]:
    """Return the examination probabilities of a channel, or those of all channels together."""
    return looks.get(channel) or looks.get(ALL_CHANNELS, ())


def look_of(looks: Sequence[float], rank: int) -> float:
    """Return the examination probability of a rank, from 1; a rank that is not known has 1."""
    return looks[rank - 1] if rank <= len(looks) else 1.0


def looked_at_in_silence(look: float, acceptance: float) -> float:
    """Return the probability that a silent action was looked at.

    By Bayes' rule it is look (1 - a) / (1 - look a). So much a silence counts as a no.

    Parameters
    ----------
    acceptance : float
        a, the acceptance if it is looked at; ``nan``: unknown, and the result is ``look``.
    """
    if look == 1.0:
        return 1.0
    if np.isnan(acceptance):
        return look
    return look * (1 - acceptance) / (1 - look * acceptance)


def estimate_looks(showings: RankedShowings) -> Looks:
    """Estimate the examination probabilities of each channel, and of all together.

    Those of a channel are drawn towards those of all others, and those towards 1, by `fit_looks`.
    Nothing is returned for no showings.
    """
    if not len(showings.rank):
        return {}
    channels, of_channel = np.unique(showings.channel, return_inverse=True)
    _, of_action = np.unique(showings.action, return_inverse=True)
    keys = np.column_stack((of_channel, of_action, _belief_bins(showings.believed)))
    cells, of_cell = np.unique(keys, axis=0, return_inverse=True)
    shape = len(cells), int(showings.rank.max())
    shown, accepted = np.zeros(shape), np.zeros(shape)
    np.add.at(shown, (of_cell.ravel(), showings.rank - 1), showings.shown)
    np.add.at(accepted, (of_cell.ravel(), showings.rank - 1), showings.accepted)
    ones = np.ones(shape[1])
    looks = {ALL_CHANNELS: fit_looks(shown, accepted, ones, PRIOR_WEIGHT)}
    for number, channel in enumerate(channels.tolist()):
        own = cells[:, 0] == number
        others = fit_looks(shown[~own], accepted[~own], ones, PRIOR_WEIGHT)
        looks[channel] = fit_looks(shown[own], accepted[own], others, OWN_WEIGHT)
    return {channel: tuple(found.tolist()) for channel, found in looks.items()}


def fit_looks(
    shown: NDArray[np.float64],
    accepted: NDArray[np.float64],
    prior: NDArray[np.float64],
    weight: float,
) -> NDArray[np.float64]:
    """Estimate the examination probability of each rank from counts in cells.

    Acceptances are Poisson counts with the mean look(r) x appeal(cell) x shown. At the maximum of
    the posterior

        appeal(cell) = sum over r of accepted / sum over r of look(r) shown
        look(r) = (weight + sum of accepted) / (weight / prior(r) + sum of appeal(cell) shown)

    where the second sums are over cells. Without the appeals, which the first equation gives, the
    logarithm of the posterior is concave in log look; Newton's method finds its maximum. Ranks that
    no cell has in common keep their prior.

    Parameters
    ----------
    shown, accepted : shape (n_cells, n_ranks)
    prior : shape (n_ranks,)
        In (0, 1]; that of rank 1 is 1.
    weight : float, > 0
        Of the prior, in acceptances.

    Returns
    -------
    shape (n_ranks,)
        In (0, 1]; 1 for the first rank.
    """
    told = accepted.sum(axis=1)
    shown, told = shown[told > 0], told[told > 0]
    of_rank = accepted.sum(axis=0)
    logs = np.log(prior)
    for _ in range(MOST_STEPS):
        looks = np.exp(logs)
        expected = shown * looks
        total = expected.sum(axis=1, keepdims=True)
        shares = np.divide(expected, total, out=np.zeros_like(expected), where=total > 0)
        weighed = told[:, None] * shares
        drawn = weight * looks / prior
        gradient = of_rank - weighed.sum(axis=0) + weight - drawn
        curvature = np.diag(weighed.sum(axis=0) + drawn) - shares.T @ weighed
        step = np.zeros_like(logs)
        step[1:] = np.linalg.solve(curvature[1:, 1:], gradient[1:])
        # Far from the maximum a whole step may overshoot. There may be none: acceptances whose own
        # showings are too young to count say that the ranks of the others are never looked at.
        logs = np.maximum(logs + np.clip(step, -1.0, 1.0), LOWEST)
        if np.abs(step).max() < CONVERGED:
            break
    return np.minimum(np.exp(logs), 1.0)


def _belief_bins(believed: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number the cells of believed acceptances; those that are unknown are in one of their own."""
    inside = np.clip(believed, SMALLEST, 1 - SMALLEST)
    numbers = np.floor(np.log(inside / (1 - inside)) / CELL_WIDTH)
    return np.where(np.isnan(believed), np.iinfo(np.int32).min, numbers).astype(np.int64)
