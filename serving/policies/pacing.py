"""Spreads a day's volume or budget over the day: a shadow price, as a pure function of one row.

What is scarce gets a price, which is taken off the priority of the actions that use it up; the
price rises with each unit spent and falls with the time in which nothing is. So the customers
for whom an action is worth most get it, at any hour, and not those who call first. A minimum is
the same with the opposite sign: a price below 0 is a subsidy, and grows while too little is spent.

The method is online dual mirror descent (Balseiro, Lu & Mirrokni, 2023, "The Best of Many
Worlds", Algorithm 1; with gradient steps it is the adaptive pacing of Balseiro & Gur, 2019) along
a plan shaped by the day's traffic (Agarwal et al., 2014, "Budget Pacing for Targeted Online
Advertisements at LinkedIn")::

    level <- level + (units spent - units planned meanwhile) / sqrt(units learned from)
    price  = grain * sinh(level)                               kept in [-scale, CEILING * scale]

The mirror map is the hypentropy of Ghai, Hazan & Singer (2020): the price moves by steps near 0
and by percent elsewhere, so nothing needs to be known of what the action is really worth.
Plain gradient steps were rejected, as their size would have to be tuned to just that. The step
shrinks as in AdaGrad (Duchi, Hazan & Singer, 2011), but only until a day's target has been seen,
so the price can follow a business that changes.

No input or output, no clock, no chance: a row, a target and a moment give one price, for ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from features.errors import InvalidSetting

GRAIN = 1e-3  # of the scale: prices below it are as good as none, those above move by percent
CEILING = 1e4  # times the scale: a dam against overflow, no price needs to come near it
LOWEST, HIGHEST = -math.asinh(1 / GRAIN), math.asinh(CEILING / GRAIN)  # the same as levels
LAST = 0.01  # of the day: in what remains, the plan no longer quickens, or it would end infinite
LULL = 4.0  # spendings due without one, after which less and less of what was learned holds
ROUNDING = 1e-9  # of the maximum: 0.1 + 0.1 + 0.1 fits into 0.3
PIECE = timedelta(minutes=15)  # zones shift by whole quarters, so each lies in one hour


@dataclass(frozen=True, slots=True)
class TrafficProfile:
    """The days of a business, and how the traffic of a day is spread.

    Parameters
    ----------
    zone : ZoneInfo
        Where the business's midnight is. Days of 23 and 25 hours are as long as they are.
    weights : 24 numbers >= 0, optional
        The traffic expected in each hour of the local clock, in any unit; by default all hours
        alike. A profile that is far off costs value, never exactness.
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

    def moment(self, at: datetime) -> PlanTime:
        """A moment as this calendar sees it; made once for all prices of a decision."""
        if at.tzinfo is None:
            raise InvalidSetting(
                f"The moment {at.isoformat()} has no time zone.",
                expected="an aware time",
                remedy="Pass UTC times.",
            )
        day = at.astimezone(self.zone).date()
        return PlanTime(self, at, day, _gone(self.remaining(day, at)))

    def remaining(self, day: date, at: datetime) -> float:
        """The share of a day's traffic that is still to come, from 1 down to 0."""
        start, shares = _shares(self, day)
        whole, part = divmod((at - start) / PIECE, 1.0)
        if not 0 <= whole < len(shares) - 1:
            return 1.0 if whole < 0 else 0.0
        before, after = shares[int(whole)], shares[int(whole) + 1]
        return before + part * (after - before)


@dataclass(frozen=True, slots=True)
class PlanTime:
    """A moment, the business's day it belongs to, and the time of the plan gone by on that day."""

    calendar: TrafficProfile
    at: datetime
    day: date
    gone: float


@lru_cache(maxsize=64)
def _shares(calendar: TrafficProfile, day: date) -> tuple[datetime, tuple[float, ...]]:
    """A day's start, and the share of traffic to come after each quarter of an hour from there."""
    start, end = (
        datetime.combine(midnight, time(0), calendar.zone).astimezone(UTC)
        for midnight in (day, day + timedelta(days=1))
    )
    begins = [start + PIECE * piece for piece in range(math.ceil((end - start) / PIECE))]
    weights = calendar.weights or (1.0,) * 24
    traffic = [weights[begin.astimezone(calendar.zone).hour] for begin in begins]
    if not sum(traffic):  # all of it was expected in the hour that the clocks skip today
        traffic = [1.0] * len(begins)
    shares = [sum(traffic[piece:]) / sum(traffic) for piece in range(len(begins))]
    return start, (*shares, 0.0)


@dataclass(frozen=True, slots=True)
class DailyTarget:
    """What a day should bring: of an action's volume, or of a budget that actions share.

    Parameters
    ----------
    at_most, at_least : float, >= 0, in units
        Actions for a volume, currency for a budget; ``None`` for no limit.
    scale : float, > 0, in currency per unit
        What one unit may be worth at most: for a volume the largest value x lever of the
        catalogue, for a budget that divided by the smallest cost. Only the order of magnitude
        matters. A subsidy never exceeds it, so an action is never forced upon customers at more
        than the best outcome of any action is worth, however far the minimum is out of reach.
    unit : float, > 0, in units
        What is usually spent at once: 1 for a volume, the mean cost of its actions for a budget.
    """

    at_most: float | None
    at_least: float | None
    scale: float
    unit: float = 1.0

    def __post_init__(self) -> None:
        least, most = self.at_least or 0.0, math.inf if self.at_most is None else self.at_most
        given = [bound for bound in (self.at_least, self.at_most) if bound is not None]
        if not (all(map(math.isfinite, given)) and 0 <= least <= most):
            raise InvalidSetting(
                f"A day's target is at least {self.at_least!r} and at most {self.at_most!r}.",
                expected="numbers >= 0, the first not above the second",
                remedy="Correct the volume or budget in the action catalogue.",
            )
        for name, value in (("scale", self.scale), ("unit", self.unit)):
            if not 0 < value <= 1e12:  # written so that nan fails too
                raise InvalidSetting(
                    f"{name} of a day's target is {value!r}.",
                    expected="a number above 0 and up to 1e12",
                    remedy="Take the largest value x lever as scale, the mean cost as unit.",
                )


@dataclass(frozen=True, slots=True)
class BudgetState:
    """The row that is kept of a volume or budget; written when something is spent, only then."""

    day: date  # the business's day that `spent` belongs to
    spent: float  # on that day, in units
    price: float  # after the last spending, per unit; below 0: a subsidy, until the minimum is met
    at: datetime  # of the last spending
    learned: float  # how many spendings the price was learned from, a day's target at most


def price(pace: BudgetState | None, target: DailyTarget, moment: PlanTime) -> float:
    """What a unit costs now: to be taken off the priority, times the units an action spends.

    Without a row the day began at the scale for a maximum (who is worth most comes first) and
    at 0 for a minimum. From one day to the next the price is kept; days without a row are no
    evidence and change nothing.

    Returns
    -------
    float, in [-scale, CEILING x scale], in currency per unit
        0 for a maximum that will not be reached; below 0 only while a minimum is not reached.
    """
    pace, elapsed = _today(pace, target, moment)
    level = _level(pace, target, elapsed)
    reached = pace.spent >= (target.at_least or 0.0)
    return _price(max(level, 0.0) if reached else level, target)


def left(pace: BudgetState | None, target: DailyTarget, moment: PlanTime) -> float:
    """How many units may still be spent today; ``inf`` without a maximum."""
    if target.at_most is None:
        return math.inf
    spent = 0.0 if pace is None or pace.day < moment.day else pace.spent
    return max(0.0, target.at_most - spent)


def fits(
    pace: BudgetState | None, target: DailyTarget, moment: PlanTime, amount: float = 1.0
) -> bool:
    """Whether ``amount`` may still be spent today; if not, the action is out by rule.

    Exact if row, draw and `advance` share one transaction. When several actions are drawn at
    once, advance after each, and ask again before the next.
    """
    return amount <= left(pace, target, moment) + ROUNDING * (target.at_most or 0.0)


def priced_out(priority: float, charge: float, worth: float) -> bool:
    """Whether prices leave nothing of what an action is worth to this customer.

    To be taken out by rule, because exploration tries what trails, too: of thousands of
    decisions that would spend a maximum of three on whoever calls first, at any price.

    Parameters
    ----------
    charge : float, in currency
        The sum of price x units spent over the action's volume and budgets.
    worth : float, >= 0, in currency
        The action's value x lever. Charges below GRAIN x worth take nothing out.
    """
    return charge > max(priority, GRAIN * worth)


def advance(
    pace: BudgetState | None, target: DailyTarget, moment: PlanTime, amount: float = 1.0
) -> BudgetState:
    """The row after ``amount`` units were spent.

    A moment before the row's own (clocks of workers differ) counts as the row's own.

    Raises
    ------
    InvalidSetting
        If the amount is no number >= 0. Whether it fits is for `fits` to say.
    """
    if not 0 <= amount < math.inf:
        raise InvalidSetting(
            f"The amount spent is {amount!r}.",
            expected="a number >= 0",
            remedy="Correct the action's cost in the catalogue.",
        )
    pace, elapsed = _today(pace, target, moment)
    level = _level(pace, target, elapsed)
    learned = _remembered(pace, target, elapsed, level) + amount / target.unit
    level += amount / target.unit / math.sqrt(max(1.0, learned))
    if target.at_most is None:
        level = min(level, 0.0)
    return BudgetState(
        day=pace.day,
        spent=pace.spent + amount,
        price=_price(level, target),
        at=max(moment.at, pace.at),
        learned=learned,
    )


def _today(
    pace: BudgetState | None, target: DailyTarget, moment: PlanTime
) -> tuple[BudgetState, float]:
    """The row as the day finds it, and the time of the plan gone by since then."""
    calendar = moment.calendar
    if pace is None:
        first = target.scale if target.at_most is not None else 0.0
        return BudgetState(moment.day, 0.0, first, moment.at, learned=0.0), moment.gone
    gone = _gone_by(calendar, pace.day, pace.at)
    if pace.day == moment.day:
        return pace, max(0.0, moment.gone - gone)
    if pace.day > moment.day:  # just after midnight, by a clock that is behind
        return pace, 0.0
    rest = _gone(0.0) - gone
    level = _level(pace, target, rest)
    learned = _remembered(pace, target, rest, level)
    return BudgetState(moment.day, 0.0, _price(level, target), moment.at, learned), moment.gone


@lru_cache(maxsize=1024)
def _gone_by(calendar: TrafficProfile, day: date, at: datetime) -> float:
    """The time of the plan gone by when a row was written: many decisions find the same rows."""
    return _gone(calendar.remaining(day, at))


def _gone(remaining: float) -> float:
    """The time of the plan, in which what is left falls due at a rate of 1.

    The plan is made anew at each moment: what is left, over what remains of the day's traffic.
    Its integral is a logarithm, so one long step gives what many short ones would.
    """
    if remaining >= LAST:
        return -math.log(remaining)
    return -math.log(LAST) + (LAST - remaining) / LAST


def _level(pace: BudgetState, target: DailyTarget, elapsed: float) -> float:
    """How far the price, as a level, has fallen since the row was written."""
    # A row that was written under a larger scale may hold more than this one's.
    level = max(math.asinh(pace.price / (GRAIN * target.scale)), LOWEST)
    if level > 0:
        if target.at_most is None:  # there was one when the row was written
            level = 0.0
        else:
            speed = _due(pace, target.at_most, target) * _step(pace, target.at_most, target)
            if speed * elapsed <= level:
                return level - speed * elapsed
            level, elapsed = 0.0, elapsed - level / speed
    least = target.at_least or 0.0
    if not least:
        return 0.0
    if pace.spent >= least:  # no subsidy is due today, but tomorrow may need as much again
        return level
    # The plan aims one standard deviation of a count higher, or chance would often leave a
    # minimum a few short.
    aim = least + math.sqrt(least * target.unit)
    level -= elapsed * _due(pace, aim, target) * _step(pace, least, target)
    return max(level, LOWEST)


def _price(level: float, target: DailyTarget) -> float:
    return GRAIN * target.scale * math.sinh(min(level, HIGHEST))


def _due(pace: BudgetState, bound: float, target: DailyTarget) -> float:
    """What is left of a bound, in spendings."""
    return max(0.0, bound - pace.spent) / target.unit


def _step(pace: BudgetState, bound: float, target: DailyTarget) -> float:
    """By how much the level moves for each spending, or for each that is due."""
    return 1 / math.sqrt(max(1.0, min(pace.learned, bound / target.unit)))


def _remembered(pace: BudgetState, target: DailyTarget, elapsed: float, level: float) -> float:
    """How much of what was learned still holds.

    A day's target at most. When many spendings fell due and none came, the price was far off or
    nobody called; either way it is then sought with the large steps of a beginner.
    """
    bound = target.at_most if target.at_most is not None and level >= 0 else target.at_least
    spendings = max(1.0, (bound or 0.0) / target.unit)
    missed = _due(pace, bound or 0.0, target) * elapsed
    return min(pace.learned, spendings * (LULL / max(missed, LULL)) ** 2)
