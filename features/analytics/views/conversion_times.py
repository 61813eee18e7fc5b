"""The time until journeys take a step, with those that are still open counted right.

A journey waits from its start, or from another step. Then it converts, or it ends without (a
competing risk), or it is still open at the moment up to which all is counted (censored). The share
that has converted by a day is the cumulative incidence of Aalen and Johansen (1978).
"""

from __future__ import annotations

from dataclasses import dataclass

from features.analytics.views.lists import Number


@dataclass(frozen=True)
class ConversionDay:
    """The share of journeys that have converted by a day after the beginning of the wait.

    Attributes
    ----------
    day : float
    share, low, high : float
        With its interval of 95 %.
    stopped_share : float
        The part that ended without.
    at_risk : int
        Journeys that were waiting for at least so long.
    is_complete : bool
        True if the wait of every journey has lasted so long, so none is censored before.
    """

    day: float
    share: float
    low: float
    high: float
    stopped_share: float
    at_risk: int
    is_complete: bool


@dataclass(frozen=True)
class ConversionTimes:
    """How long journeys take to a step.

    Attributes
    ----------
    journeys : Number
        Those that waited: all of the filter, or those that took the first step.
    converted, stopped, waiting : Number
        They sum to ``journeys``.
    curve : tuple of ConversionDay
        One for each day, from 0.
    complete_until_day : float or None
        Up to there no journey is censored, so the curve is the plain share; None: all of it.
    median_s, p90_s : float or None
        Seconds of those that converted, from the one histogram.
    half_by_day : float or None
        The day by which half of all have converted by the curve; None: not reached.
    """

    map: str
    journeys: Number
    converted: Number
    stopped: Number
    waiting: Number
    curve: tuple[ConversionDay, ...]
    complete_until_day: float | None
    median_s: float | None
    p90_s: float | None
    half_by_day: float | None
