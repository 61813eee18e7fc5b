"""Plan time: the share of a day's expected traffic that has passed, on a logarithmic clock.

Pacing spends a day's target along the expected traffic of the day (Agarwal et al., 2014, "Budget
Pacing for Targeted Online Advertisements at LinkedIn"). In plan time, what is left of the target
falls due at a rate of 1, whatever the hour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from features.errors import InvalidSetting

TAIL = 0.01  # share of the day's traffic: from there on plan time is linear, or it would diverge
INTERVAL = timedelta(minutes=15)  # time zones shift by whole quarters, so each lies in one hour


@dataclass(frozen=True, slots=True)
class TrafficProfile:
    """The days of a business, and the expected traffic of each hour of a day.

    Parameters
    ----------
    zone : ZoneInfo
        Time zone whose midnight begins a day. A day has 23, 24 or 25 hours.
    weights : 24 numbers >= 0, optional
        The traffic expected in each hour of the local clock, in any unit; by default all hours
        alike. A wrong profile costs value, but a maximum is never exceeded.
    """

    zone: ZoneInfo
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.weights is None:
            return
        usable = all(math.isfinite(weight) and weight >= 0 for weight in self.weights)
        if len(self.weights) != 24 or not usable or not sum(self.weights) > 0:
            raise InvalidSetting(
                f"weights of the day are {list(self.weights)!r}.",
                expected="24 numbers >= 0, one for each hour, not all 0",
                remedy="Give the traffic of each hour from 0 to 23 in any unit, or leave it out.",
            )

    def plan_time(self, at: datetime) -> PlanTime:
        """The day and plan time of a moment; computed once for all prices of a decision.

        Raises
        ------
        InvalidSetting
            If the moment has no time zone.
        """
        if at.tzinfo is None:
            raise InvalidSetting(
                f"The moment {at.isoformat()} has no time zone.",
                expected="an aware time",
                remedy="Pass UTC times.",
            )
        day = at.astimezone(self.zone).date()
        return PlanTime(self, at, day, plan_elapsed(self.remaining(day, at)))

    def remaining(self, day: date, at: datetime) -> float:
        """The share of a day's traffic that is still to come, from 1 down to 0."""
        start, shares = _remaining_shares(self, day)
        whole, part = divmod((at - start) / INTERVAL, 1.0)
        if not 0 <= whole < len(shares) - 1:
            return 1.0 if whole < 0 else 0.0
        before, after = shares[int(whole)], shares[int(whole) + 1]
        return before + part * (after - before)


@dataclass(frozen=True, slots=True)
class PlanTime:
    """A moment, its day in the zone of the business, and the plan time since that day began."""

    profile: TrafficProfile
    at: datetime
    day: date
    elapsed: float


def plan_elapsed(remaining: float) -> float:
    """The plan time that has passed when a share of the day's traffic remains.

    The plan is made anew at each moment: what is left of the target, over what remains of the
    day's traffic. The integral of that rate is a logarithm, so one long step gives the same as
    many short ones.
    """
    if remaining >= TAIL:
        return -math.log(remaining)
    return -math.log(TAIL) + (TAIL - remaining) / TAIL


@lru_cache(maxsize=64)
def _remaining_shares(profile: TrafficProfile, day: date) -> tuple[datetime, tuple[float, ...]]:
    """A day's start, and the share of traffic to come after each interval from there."""
    start, end = (
        datetime.combine(midnight, time(0), profile.zone).astimezone(UTC)
        for midnight in (day, day + timedelta(days=1))
    )
    begins = [start + INTERVAL * number for number in range(math.ceil((end - start) / INTERVAL))]
    weights = profile.weights or (1.0,) * 24
    traffic = [weights[begin.astimezone(profile.zone).hour] for begin in begins]
    if not sum(traffic):  # all traffic was expected in the hour that the clocks skip on this day
        traffic = [1.0] * len(begins)
    shares = [sum(traffic[number:]) / sum(traffic) for number in range(len(begins))]
    return start, (*shares, 0.0)
