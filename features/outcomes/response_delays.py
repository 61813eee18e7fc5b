"""Estimates the distribution of the delay between a showing and its acceptance.

The delays seen so far are *right-truncated*: a delay d is only seen if d <= t, where t is the time
that has passed since the showing. Late acceptances of recent showings are missing, so the share of
the seen delays below an age is too high.

Beyond what can have been seen, delays are taken to be exponential with an unknown mean, of which
every order of magnitude from `SHORTEST_MEAN_S` to the window is as likely before there are delays.
So without any, as many acceptances come between a minute and ten as between one day and ten.

Sources: Lagakos, Barraj & De Gruttola 1988 and Woodroofe 1985 (product limit for truncated data);
Lai & Ying 1991 (its first factors need enough data at risk); Chapelle 2014 (delayed feedback).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

OWN_DELAYS = 50  # from so many on, an action has a curve of its own
POOLED_DELAYS = 8  # from so many on, the pooled curve is estimated
SHORTEST_MEAN_S = 60.0
LONGEST_MEAN = 10.0  # windows: a mean so long gives a uniform curve
MEANS = 100  # that are weighed against each other


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

    Up to the age G F is the product limit, F_pl, relative to G. Beyond G a mixture of exponentials
    completes it, each with its weight w and its rate r, so that F(window) = 1:

        T(g) = sum of w (1 - exp(-r g)) / (1 - exp(-r window))
        F(g) = F_pl(g) T(G) for g <= G, else T(g)

    Attributes
    ----------
    delays : shape (n_delays,), s
        The different delays up to G, in ascending order.
    shares : shape (n_delays,)
        F_pl at each of them; it is constant until the next one.
    observable_s : float
        G, the largest age at which enough acceptances can be observed.
    window_s : float
    rates : shape (`MEANS`,), 1/s
        r of each exponential.
    weights : shape (`MEANS`,)
        w of each; their sum is 1.
    """

    delays: NDArray[np.float64]
    shares: NDArray[np.float64]
    observable_s: float
    window_s: float
    rates: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def unseen(cls, window_s: float) -> DelayCurve:
        """Return the curve without any delays."""
        rates = _rates(window_s)
        nothing = np.empty(0)
        return cls(nothing, nothing, 0.0, window_s, rates, np.full(MEANS, 1 / MEANS))

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
            return cls.unseen(window_s)
        rates = _rates(window_s)
        weights = _posterior(rates, seen)
        least = ceil(sqrt(len(seen.delays))) if least_at_risk is None else least_at_risk
        observable_s = _observable(seen, least)
        seen = seen.within(observable_s)
        different, counts = np.unique(seen.delays, return_counts=True)
        factors = 1 - counts / _at_risk(different, seen)
        shares = np.append(np.cumprod(factors[:0:-1])[::-1], 1.0)
        return cls(different, shares, observable_s, window_s, rates, weights)

    def share(self, ages: NDArray[np.float64]) -> NDArray[np.float64]:
        """F at some ages (s, shape (n,)); 1 from the end of the window on."""
        below = np.append(0.0, self.shares)[np.searchsorted(self.delays, ages, side="right")]
        observed = below * self._tail(self.observable_s)
        beyond = self._tail(np.minimum(ages, self.window_s))
        found: NDArray[np.float64] = np.where(ages < self.observable_s, observed, beyond)
        return found

    def mean_s(self) -> float:
        """The mean delay in seconds."""
        steps = np.diff(self.shares, prepend=0.0)
        observed = float(steps @ self.delays) * float(self._tail(self.observable_s))
        start, end, r = self.observable_s, self.window_s, self.rates
        # The integral of age x density from start to end.
        rest = (start + 1 / r) * np.exp(-r * start) - (end + 1 / r) * np.exp(-r * end)
        return observed + float(self.weights @ (rest / -np.expm1(-r * end)))

    def _tail(self, ages: ArrayLike) -> NDArray[np.float64]:
        """T at some ages (s), of their shape."""
        come = np.expm1(-np.multiply.outer(ages, self.rates))
        found: NDArray[np.float64] = come / np.expm1(-self.rates * self.window_s) @ self.weights
        return found


def choose_curve(own: Delays, pooled: Delays, window_s: float) -> DelayCurve:
    """Estimate an action's curve from its own delays, or from those of all actions.

    An action with fewer than `OWN_DELAYS` within its window gets the curve of the pooled delays;
    with fewer than `POOLED_DELAYS` of them it is that without delays.
    """
    for seen, least in ((own, OWN_DELAYS), (pooled, POOLED_DELAYS)):
        if len(seen.within(window_s).delays) >= least:
            return DelayCurve.fit(seen, window_s)
    return DelayCurve.unseen(window_s)


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


def _rates(window_s: float) -> NDArray[np.float64]:
    """The rates (1/s) that are possible, evenly on a logarithmic scale."""
    longest_s = LONGEST_MEAN * window_s
    return 1 / np.geomspace(min(SHORTEST_MEAN_S, window_s / MEANS), longest_s, MEANS)


def _posterior(rates: NDArray[np.float64], seen: Delays) -> NDArray[np.float64]:
    """Weigh rates by the likelihood of right-truncated exponential delays; the sum is 1.

    The density of a delay d that is at most t is r exp(-r d) / (1 - exp(-r t)).
    """
    limits, repeated = np.unique(seen.limits, return_counts=True)
    limits = np.maximum(limits, np.finfo(float).tiny)
    cut = np.log(-np.expm1(-np.multiply.outer(rates, limits))) @ repeated
    likelihood = len(seen.delays) * np.log(rates) - rates * seen.delays.sum() - cut
    weights = np.exp(likelihood - likelihood.max())
    found: NDArray[np.float64] = weights / weights.sum()
    return found
