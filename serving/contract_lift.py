"""Request and answer types of lift: what the policy earns more than chance."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel

from features.events import UtcTime
from serving.contract import Request

Verdict = Literal["more", "less", "unclear", "not enough", "do not trust"]


class LiftRequest(Request):
    """Of which period: decisions shown from ``since`` on and before ``until``; else of all."""

    since: UtcTime | None = None
    until: UtcTime | None = None


class ArmView(BaseModel):
    """Customers of one arm; money in the domain's currency, after the costs of showing."""

    customers: int
    decisions: int
    open_decisions: int  # whose attribution window is open: their rewards may still change
    reward: float
    reward_per_customer: float | None
    reward_per_decision: float | None


class LiftFigure(BaseModel):
    """Mean reward of a policy customer less that of a control customer, with 95 % intervals.

    ``low`` and ``high`` are Welch's interval corrected for skewness, ``welch_low`` and
    ``welch_high`` it as it is; ``percent`` is of the control's mean, null if that is not clearly
    above 0; ``per_decision`` has no interval, as decisions of a customer are not independent.
    """

    per_customer: float
    low: float
    high: float
    welch_low: float
    welch_high: float
    percent: float | None
    percent_low: float | None
    percent_high: float | None
    per_decision: float


class RatioView(BaseModel):
    """How many customers should be in the control group, and whether as many are."""

    expected_share: float
    share: float
    p_value: float
    warning: str | None


class LiftDay(BaseModel):
    """The figures up to the end of a day (UTC); null as long as there are too few customers."""

    day: date
    policy: float | None
    control: float | None
    lift: float | None
    low: float | None
    high: float | None


class LiftView(BaseModel):
    """Lift as it is known now; ``lift`` is null where ``verdict`` is "not enough"."""

    since: UtcTime | None
    until: UtcTime | None
    known_at: UtcTime
    currency: str
    verdict: Verdict
    in_words: str
    lift: LiftFigure | None
    policy: ArmView
    control: ArmView
    in_both_arms: int
    sample_ratio: RatioView | None
    remarks: list[str]
    days: list[LiftDay]
