"""The product-limit estimate with competing risks: the share that has converted by a time.

The estimator is that of Aalen and Johansen (1978). Its variance is the one by the delta method that
lifelines and SAS use, of which Greenwood's is the case of one risk (Collett, Modelling Survival
Data in Medical Research, 3rd edition, page 411).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.intervals import normal_quantile

CENSORED, CONVERTED, STOPPED = range(3)
LARGEST_LOG = 700.0  # of which there is an exponential


@dataclass(frozen=True)
class CumulativeIncidence:
    """Shares after each time at which something happened; all arrays have shape (n_times,).

    Attributes
    ----------
    times
        In the unit of the input, rising.
    at_risk
        How many were still waiting just before that time.
    share, stopped
        The parts of all that had converted, and that had been stopped, by that time.
    variance
        Of ``share``.
    """

    times: NDArray[np.int64]
    at_risk: NDArray[np.int64]
    share: NDArray[np.float64]
    stopped: NDArray[np.float64]
    variance: NDArray[np.float64]

    def at(
        self, times: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return share, its bounds of 95 %, and the part that was stopped, by some times.

        The bounds are those of log(-log(share)), so they lie between 0 and 1. Where nobody has
        converted they are 0; where all have, they are 1.
        """
        place = np.searchsorted(self.times, times, side="right")
        share, stopped, variance = (
            np.concatenate(([0.0], values))[place]
            for values in (self.share, self.stopped, self.variance)
        )
        low, high = share.copy(), share.copy()
        some = (share > 0) & (share < 1)
        middle = np.log(-np.log(share[some]))
        spread = np.sqrt(variance[some]) / (share[some] * -np.log(share[some])) * normal_quantile()
        low[some] = np.exp(-np.exp(np.minimum(middle + spread, LARGEST_LOG)))
        high[some] = np.exp(-np.exp(middle - spread))
        return share, low, high, stopped


def cumulative_incidence(times: NDArray[np.int64], what: NDArray[np.uint8]) -> CumulativeIncidence:
    """Estimate the share that has converted by each time.

    Of one time, those that were censored were still waiting when the others converted.

    Parameters
    ----------
    times : shape (n,)
        How long each waited until it converted, was stopped, or was seen last.
    what : shape (n,)
        `CENSORED`, `CONVERTED` or `STOPPED`.
    """
    happened, place = np.unique(times, return_inverse=True)
    converted, stopped = (
        np.bincount(place[what == one], minlength=len(happened)) for one in (CONVERTED, STOPPED)
    )
    at_risk = len(times) - np.concatenate(([0], np.cumsum(np.bincount(place))))[:-1]
    both = converted + stopped
    surviving = np.cumprod(1 - both / at_risk)
    before = np.concatenate(([1.0], surviving))[:-1]
    share = np.cumsum(before * converted / at_risk)
    variance = _variance(share, before, converted, both, at_risk)
    kept = both > 0
    return CumulativeIncidence(
        happened[kept],
        at_risk[kept],
        share[kept],
        np.cumsum(before * stopped / at_risk)[kept],
        variance[kept],
    )


def _variance(
    share: NDArray[np.float64],
    before: NDArray[np.float64],
    converted: NDArray[np.int64],
    both: NDArray[np.int64],
    at_risk: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Sum (F - F_i)^2 d / (n (n - d)) + S^2 c (n - c) / n^3 - 2 (F - F_i) S c / n^2 over times i.

    The squares are multiplied out, so that one pass over the times is enough.
    """
    staying = at_risk - both
    # At the last time nobody stays, and F - F_i is 0.
    first = np.divide(
        both, at_risk * staying.astype(float), out=np.zeros(len(both)), where=staying > 0
    )
    second = before**2 * converted * (at_risk - converted) / at_risk.astype(float) ** 3
    third = before * converted / at_risk.astype(float) ** 2
    total = share**2 * np.cumsum(first) - 2 * share * np.cumsum(first * share)
    total += np.cumsum(first * share**2) + np.cumsum(second)
    total -= 2 * (share * np.cumsum(third) - np.cumsum(third * share))
    return np.asarray(np.maximum(total, 0), np.float64)
