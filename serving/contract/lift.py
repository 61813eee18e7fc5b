"""Request and answer types of `/v1/lift`: what the policy earns, by intention to treat.

All customers of an arm count from the day on which they were first met, with all their value and
their leaving, whether credited to an action or not.
"""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import BaseModel, Field, model_validator

from features.journeys.events import UtcTime
from serving.contract.credited_lift import CreditedLift
from serving.contract.requests import Request


class LiftRequest(Request):
    """A period whose days count; without it, all days count. It limits no customers.

    The days are those of UTC with the dates of the period on the clock of the business.
    """

    since: UtcTime | None = Field(None, examples=["2026-11-01T00:00:00Z"])
    until: UtcTime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and not self.since < self.until:
            raise ValueError("until is not after since; send a later one, or none")
        return self


class ArmView(BaseModel):
    """The customers of one arm; means of a customer, in the domain's currency.

    ``value`` is ``margin`` less ``cost`` less ``lost``. ``lost`` is the remaining value of those
    who left. Means and shares are null without customers.
    """

    arm: str
    share: float  # planned, by the catalogue
    customers: int
    value: float | None
    margin: float | None
    cost: float | None
    lost: float | None
    left: float | None  # share who left (in the period, if there is one) and are not back


class DifferenceView(BaseModel):
    """A mean of one arm less that of another, with two 95 % intervals.

    ``low`` and ``high`` hold at all looks together, so they may be read every day. ``planned_low``
    and ``planned_high`` hold for one look whose day was fixed beforehand. ``smallest`` and
    ``planned_smallest`` are the smallest differences that so many customers show in 80 % of the
    cases, by each interval. Null: not enough customers yet.
    """

    value: float
    low: float | None
    high: float | None
    planned_low: float | None
    planned_high: float | None
    smallest: float | None
    planned_smallest: float | None


class LiftOfDay(BaseModel):
    """The lift up to the end of a day, with the interval that holds on all days together.

    Days are those of UTC.
    """

    day: date
    value: float
    low: float
    high: float


class PairView(BaseModel):
    """One arm less another: the value of a customer, and the share who left.

    ``lift`` is adjusted for what customers brought before they were met (CUPED), so that it is not
    quite the difference of the means of the arms. ``relative`` is the lift divided by the mean of
    the arm ``against``; null unless that mean is clearly above 0. Its bounds hold at all looks.
    ``explained`` is the share of the variance that the value before explains and that is removed.
    ``informative`` is the number of customers that carry the variance, in the arm that has fewer.
    """

    arm: str
    against: str
    lift: DifferenceView | None
    left: DifferenceView | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    explained: float | None
    informative: int
    verdict: str
    days: list[LiftOfDay]


class SampleRatio(BaseModel):
    """The check that the arms are as large as the catalogue says; null without customers."""

    expected: dict[str, float]  # share of each arm
    found: dict[str, float]
    p_value: float | None
    trusted: bool


class LiftView(BaseModel):
    """The lift: what a customer brings under the policy more than in another arm.

    ``pairs`` has the policy against nobody, the policy against random, and random against nobody;
    pairs with an arm whose share is 0 are left out. ``credited`` compares credited rewards only.
    """

    currency: str
    objective: str  # what counts as value, in words
    horizon_days: float
    arms: list[ArmView]  # policy, random, nobody
    pairs: list[PairView]
    sample_ratio: SampleRatio
    merged_across_arms: int  # customers with keys of several arms; counted in the arm of their id
    verdict: str
    remarks: list[str]  # limits of the figures, in sentences
    credited: CreditedLift
