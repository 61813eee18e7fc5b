"""Budget pacing: a shadow price spreads a day's volume or budget over the day.

The shadow price is taken off the priority of the actions that use a scarce volume or budget. It
rises with each unit spent and falls with the time in which nothing is spent. So the customers for
whom an action is worth most get it, at any hour, and not those who come first. A minimum works
with the opposite sign: a price below 0 is a subsidy, and grows while too little is spent.

The method is online dual mirror descent (Balseiro, Lu & Mirrokni, 2023, "The Best of Many
Worlds", Algorithm 1; with gradient steps it is the adaptive pacing of Balseiro & Gur, 2019) in
the plan time of `TrafficProfile`::

    level <- level + (units spent - units planned meanwhile) / sqrt(units learned from)
    price  = RESOLUTION * scale * sinh(level)                  kept in [-scale, CEILING * scale]

The level is the dual variable. The mirror map is the hypentropy of Ghai, Hazan & Singer (2020):
the price moves by constant steps near 0 and by percent elsewhere, so the worth of the action need
not be known. Plain gradient steps were rejected, because their size depends on that worth. The
step shrinks as in AdaGrad (Duchi, Hazan & Singer, 2011), but only until a day's target has been
seen, so the price can follow a business that changes.

All functions are pure: the same state, target and time always give the same price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from features.errors import InvalidSetting
from features.ledger.tables import from_micros, micros
from serving.policies.plan_time import PlanTime, TrafficProfile, plan_elapsed

RESOLUTION = 1e-3  # of the scale: smaller prices have no effect, larger ones move by percent
CEILING = 1e4  # times the scale: prevents an overflow; no price needs to come near it
MIN_LEVEL, MAX_LEVEL = -math.asinh(1 / RESOLUTION), math.asinh(CEILING / RESOLUTION)
MISSED = 4.0  # spend events due without any; from then on the price forgets what it learned
ROUNDING = 1e-9  # of the maximum: 0.1 + 0.1 + 0.1 fits into 0.3


@dataclass(frozen=True, slots=True)
class DailyTarget:
    """The limits of one day for an action's volume, or for a budget that actions share.

    Parameters
    ----------
    at_most, at_least : float, >= 0, in units
        The unit is one showing for a volume, the currency for a budget. ``None`` is no limit.
    scale : float, > 0, in currency per unit
        Upper bound of what one unit is worth: for a volume the largest value x lever of the
        catalogue, for a budget that divided by the smallest cost. Only the order of magnitude
        matters. A subsidy never exceeds the scale, so an action is never pushed at a loss of more
        than the best outcome of any action, however far the minimum is out of reach.
    unit : float, > 0, in units
        Size of a typical spend event: 1 for a volume, the mean cost of its actions for a budget.

    Raises
    ------
    InvalidSetting
        If a limit, the scale or the unit is out of its range.
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
    """The stored state of one volume or budget; written only when something is spent."""

    day: date  # day of the business that `spent` belongs to
    spent: float  # on that day, in units
    price: float  # after the last spend event, per unit; below 0 is a subsidy
    at: datetime  # of the last spend event
    learned: float  # spend events that the price was learned from, a day's target at most

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> BudgetState:
        """Read a state as `as_json` writes it."""
        day, at = date.fromisoformat(state["day"]), from_micros(state["at"])
        return cls(day, state["spent"], state["price"], at, state["learned"])

    def as_json(self) -> dict[str, Any]:
        """The state as the ledger keeps it."""
        return {
            "day": self.day.isoformat(),
            "spent": self.spent,
            "price": self.price,
            "at": micros(self.at),
            "learned": self.learned,
        }


def shadow_price(state: BudgetState | None, target: DailyTarget, now: PlanTime) -> float:
    """The price of a unit now: subtract it from the priority, times the units an action spends.

    Without a state, the day begins at the scale for a maximum (only the customers worth most are
    served at first) and at 0 for a minimum. The price is kept from one day to the next; days
    without a spend event change nothing.

    Returns
    -------
    float, in [-scale, CEILING x scale], in currency per unit
        0 for a maximum that will not be reached; below 0 only while a minimum is not reached.
    """
    state, elapsed = _state_today(state, target, now)
    level = _level(state, target, elapsed)
    reached = state.spent >= (target.at_least or 0.0)
    return _price(max(level, 0.0) if reached else level, target)


def units_left(state: BudgetState | None, target: DailyTarget, now: PlanTime) -> float:
    """Units that may still be spent today; ``inf`` without a maximum."""
    if target.at_most is None:
        return math.inf
    return max(0.0, target.at_most - spent_today(state, now))


def spent_today(state: BudgetState | None, now: PlanTime) -> float:
    """Units that were spent on the day of ``now``."""
    return 0.0 if state is None or state.day < now.day else state.spent


def fits(
    state: BudgetState | None, target: DailyTarget, now: PlanTime, amount: float = 1.0
) -> bool:
    """True if ``amount`` may still be spent today; if not, the action is removed.

    The maximum is exact if reading the state, the draw and `after_spending` share one
    transaction. When several actions are drawn at once, call `after_spending` for each before the
    next one is checked.
    """
    return amount <= room(state, target, now)


def room(state: BudgetState | None, target: DailyTarget, now: PlanTime) -> float:
    """The largest amount that `fits`."""
    return units_left(state, target, now) + ROUNDING * (target.at_most or 0.0)


def priced_out(priority: float, charge: float, worth: float) -> bool:
    """True if the prices of an action exceed its priority for this customer.

    Such an action is removed and not only ranked last: exploration also draws actions with a low
    rank. Over thousands of decisions exploration would spend a maximum of three on the first
    customers, at any price.

    Parameters
    ----------
    charge : float, in currency
        The sum of price x units spent over the action's volume and budgets.
    worth : float, >= 0, in currency
        The action's value x lever. Charges below RESOLUTION x worth remove nothing.
    """
    return charge > max(priority, RESOLUTION * worth)


def after_spending(
    state: BudgetState | None, target: DailyTarget, now: PlanTime, amount: float = 1.0
) -> BudgetState:
    """The state after ``amount`` units were spent.

    A time before the state's own (clocks of workers differ) counts as the state's own.

    Raises
    ------
    InvalidSetting
        If the amount is no number >= 0. `fits` checks the maximum, this function does not.
    """
    if not 0 <= amount < math.inf:
        raise InvalidSetting(
            f"The amount spent is {amount!r}.",
            expected="a number >= 0",
            remedy="Correct the action's cost in the catalogue.",
        )
    state, elapsed = _state_today(state, target, now)
    level = _level(state, target, elapsed)
    learned = _learned(state, target, elapsed, level) + amount / target.unit
    level += amount / target.unit / math.sqrt(max(1.0, learned))
    if target.at_most is None:
        level = min(level, 0.0)
    return BudgetState(
        day=state.day,
        spent=state.spent + amount,
        price=_price(level, target),
        at=max(now.at, state.at),
        learned=learned,
    )


def after_counting(state: BudgetState | None, now: PlanTime, amount: float) -> BudgetState:
    """The state after ``amount`` units were spent of what has no price."""
    spent, before = spent_today(state, now) + amount, state or now
    day, at = max(now.day, before.day), max(now.at, before.at)
    return BudgetState(day, spent, price=0.0, at=at, learned=0.0)


def _state_today(
    state: BudgetState | None, target: DailyTarget, now: PlanTime
) -> tuple[BudgetState, float]:
    """The state carried over to today, and the plan time that has passed since."""
    if state is None:
        first = target.scale if target.at_most is not None else 0.0
        return BudgetState(now.day, 0.0, first, now.at, learned=0.0), now.elapsed
    written = _elapsed_at(now.profile, state.day, state.at)
    if state.day == now.day:
        return state, max(0.0, now.elapsed - written)
    if state.day > now.day:  # this worker's clock is behind, just after midnight
        return state, 0.0
    rest = plan_elapsed(0.0) - written
    level = _level(state, target, rest)
    learned = _learned(state, target, rest, level)
    return BudgetState(now.day, 0.0, _price(level, target), now.at, learned), now.elapsed


@lru_cache(maxsize=1024)
def _elapsed_at(profile: TrafficProfile, day: date, at: datetime) -> float:
    """The plan time at which a state was written; cached, as many decisions read one state."""
    return plan_elapsed(profile.remaining(day, at))


def _level(state: BudgetState, target: DailyTarget, elapsed: float) -> float:
    """The level after a plan time without a spend event."""
    # A state that was written under a larger scale may hold more than this one's.
    level = max(math.asinh(state.price / (RESOLUTION * target.scale)), MIN_LEVEL)
    if level > 0:
        if target.at_most is None:  # there was a maximum when the state was written
            level = 0.0
        else:
            speed = _due(state, target.at_most, target) * _step(state, target.at_most, target)
            if speed * elapsed <= level:
                return level - speed * elapsed
            level, elapsed = 0.0, elapsed - level / speed
    least = target.at_least or 0.0
    if not least:
        return 0.0
    if state.spent >= least:  # no subsidy is due today, but tomorrow may need as much again
        return level
    # The plan aims one standard deviation of a count higher, or chance would often leave a
    # minimum a few short.
    aim = least + math.sqrt(least * target.unit)
    level -= elapsed * _due(state, aim, target) * _step(state, least, target)
    return max(level, MIN_LEVEL)


def _price(level: float, target: DailyTarget) -> float:
    return RESOLUTION * target.scale * math.sinh(min(level, MAX_LEVEL))


def _due(state: BudgetState, bound: float, target: DailyTarget) -> float:
    """The rest of a bound, in spend events."""
    return max(0.0, bound - state.spent) / target.unit


def _step(state: BudgetState, bound: float, target: DailyTarget) -> float:
    """Change of the level for each spend event, or for each that is due."""
    return 1 / math.sqrt(max(1.0, min(state.learned, bound / target.unit)))


def _learned(state: BudgetState, target: DailyTarget, elapsed: float, level: float) -> float:
    """The spend events that the price may still count as learned from, a day's target at most.

    When many spend events fell due and none came, the price was far off or there was no traffic.
    Then the price is sought again with large steps.
    """
    bound = target.at_most if target.at_most is not None and level >= 0 else target.at_least
    events = max(1.0, (bound or 0.0) / target.unit)
    missed = _due(state, bound or 0.0, target) * elapsed
    return min(state.learned, events * (MISSED / max(missed, MISSED)) ** 2)
