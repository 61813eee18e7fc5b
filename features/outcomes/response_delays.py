"""Estimates the distribution of the delay between a showing and its acceptance.

The delays seen so far are *right-truncated*: a delay d is only seen if d <= t, where t is the time
that has passed since the showing. Late acceptances of recent showings are missing, so the share of
the seen delays below an age is too high.

Sources: Lagakos, Barraj & De Gruttola 1988 and Woodroofe 1985 (product limit for truncated data);
Lai & Ying 1991 (its first factors need enough data at risk); Chapelle 2014 (delayed feedback).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OWN_DELAYS = 50  # from so many on, an action has a curve of its own
POOLED_DELAYS = 8  # from so many on, the pooled curve is estimated
SHORTEST_S = 1e-6  # a mean delay of 0 s has no finite rate
HALVINGS = 60  # of the interval that holds the rate


class Delays(NamedTuple):
    """Right-truncated delays in seconds.

    Attributes
    ----------
    delays : shape (n,), s
    limits : shape (n,), s
        The longest delay of each that could have been seen.
    """

    delays: NDArray[np.float64]
    limits: NDArray[np.float64]

    def within(self, limit_s: float) -> Delays:
        """Return the delays that are seen if no delay above a limit can be seen."""
        limits = np.minimum(self.limits, limit_s)
        seen = self.delays <= limits
        return Delays(self.delays[seen], limits[seen])


@dataclass(frozen=True)
class DelayCurve:
    """F(g): the share of an action's acceptances that come by age g, in seconds after showing.

    Up to the age G F is the product limit, F_pl, relative to G. Beyond G an exponential of rate r
    completes it, so that F(window) = 1:

        F(g) = F_pl(g) (1 - exp(-r G)) / (1 - exp(-r window))    for g <= G
        F(g) = (1 - exp(-r g)) / (1 - exp(-r window))            for g > G

    With r = 0 both quotients are taken in the limit: G / window and g / window.

    Attributes
    ----------
    delays : shape (n_delays,), s
        The different delays up to G, in ascending order.
    shares : shape (n_delays,)
        F_pl at each of them; it is constant until the next one.
    observable_s : float
        G, the largest age at which enough acceptances can be observed.
    window_s : float
    rate : float, 1/s
        r; 0 if the delays do not tell a rate.
    """

    delays: NDArray[np.float64]
    shares: NDArray[np.float64]
    observable_s: float
    window_s: float
    rate: float

    @classmethod
    def uniform(cls, window_s: float) -> DelayCurve:
        """Return F(g) = g / window, the curve without any delays."""
        return cls(np.empty(0), np.empty(0), 0.0, window_s, 0.0)

    @classmethod
    def fit(cls, seen: Delays, window_s: float, least_at_risk: int | None = None) -> DelayCurve:
        """Estimate the curve from right-truncated delays.

        F_pl(x) is the product over the delays d_j > x of 1 - n_j / R_j, where n_j acceptances have
        the delay d_j, and R_j = #{i: d_i <= d_j <= t_i} are at risk. Where a single acceptance is
        at risk, its factor is 0 and so is everything below; the longest delays often are such. So
        G is the largest t_i at which at least ``least_at_risk`` acceptances are at risk.

        Parameters
        ----------
        seen
            The limits are cut at the window here, and a delay above its limit is left out.
        least_at_risk
            By default the square root of the number of delays.
        """
        seen = seen.within(window_s)
        if not len(seen.delays):
            return cls.uniform(window_s)
        rate = _truncated_rate(seen)
        least = ceil(sqrt(len(seen.delays))) if least_at_risk is None else least_at_risk
        observable_s = _observable(seen, least)
        seen = seen.within(observable_s)
        different, counts = np.unique(seen.delays, return_counts=True)
        factors = 1 - counts / _at_risk(different, seen)
        shares = np.append(np.cumprod(factors[:0:-1])[::-1], 1.0)
        return cls(different, shares, observable_s, window_s, rate)

    def share(self, ages: NDArray[np.float64]) -> NDArray[np.float64]:
        """F at some ages (s, shape (n,)); 1 from the end of the window on."""
        below = np.append(0.0, self.shares)[np.searchsorted(self.delays, ages, side="right")]
        observed = below * self._tail(self.observable_s)
        beyond = np.array([self._tail(age) for age in np.minimum(ages, self.window_s)])
        found: NDArray[np.float64] = np.where(ages < self.observable_s, observed, beyond)
        return found

    def mean_s(self) -> float:
        """The mean delay in seconds."""
        steps = np.diff(self.shares, prepend=0.0)
        observed = float(steps @ self.delays) * self._tail(self.observable_s)
        start, end, r = self.observable_s, self.window_s, self.rate
        if r == 0:
            return observed + (end**2 - start**2) / (2 * end)
        rest = (start + 1 / r) * np.exp(-r * start) - (end + 1 / r) * np.exp(-r * end)
        return observed + float(rest / -np.expm1(-r * end))

    def _tail(self, age: float) -> float:
        """The exponential distribution of the tail, cut at the window."""
        if self.rate == 0:
            return age / self.window_s
        return float(np.expm1(-self.rate * age) / np.expm1(-self.rate * self.window_s))


def choose_curve(own: Delays, pooled: Delays, window_s: float) -> DelayCurve:
    """Estimate an action's curve from its own delays, or from those of all actions.

    An action with fewer than `OWN_DELAYS` within its window gets the curve of the pooled delays;
    with fewer than `POOLED_DELAYS` of them it is uniform.
    """
    for seen, least in ((own, OWN_DELAYS), (pooled, POOLED_DELAYS)):
        if len(seen.within(window_s).delays) >= least:
            return DelayCurve.fit(seen, window_s)
    return DelayCurve.uniform(window_s)


def _at_risk(ages: NDArray[np.float64], seen: Delays) -> NDArray[np.float64]:
    """Count the acceptances with delay <= age <= limit, for each age."""
    came = np.searchsorted(np.sort(seen.delays), ages, side="right")
    ended = np.searchsorted(np.sort(seen.limits), ages, side="left")
    return (came - ended).astype(np.float64)


def _observable(seen: Delays, least: int) -> float:
    """Return the largest limit at which enough acceptances are at risk; else the largest of all."""
    candidates = np.unique(seen.limits)
    enough = candidates[_at_risk(candidates, seen) >= least]
    return float(enough[-1] if len(enough) else candidates[-1])


def _truncated_rate(seen: Delays) -> float:
    """The maximum likelihood rate of right-truncated exponential delays; 0 if it is not positive.

    It solves sum(1 / r - t_i / (exp(r t_i) - 1)) = sum(d_i). The left side falls from half the sum
    of the limits at r = 0, and lies below n / r.
    """
    n = len(seen.delays)
    total = max(float(seen.delays.sum()), SHORTEST_S * n)
    if total >= seen.limits.sum() / 2:
        return 0.0
    low, high = 0.0, n / total
    with np.errstate(over="ignore"):
        for _ in range(HALVINGS):
            rate = (low + high) / 2
            expected = n / rate - float((seen.limits / np.expm1(rate * seen.limits)).sum())
            low, high = (rate, high) if expected > total else (low, rate)
    return (low + high) / 2
