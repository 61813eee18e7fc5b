"""Request and answer types of `/v1/lift`: mean reward of the policy less the control group."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import BaseModel, Field, model_validator

from features.journeys.events import UtcTime
from serving.contract.requests import Request


class LiftRequest(Request):
    """A period; without it, all decisions count."""

    since: UtcTime | None = Field(None, examples=["2026-11-01T00:00:00Z"])
    until: UtcTime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and not self.since < self.until:
            raise ValueError("until is not after since; send a later one, or none")
        return self


class ArmView(BaseModel):
    """One arm: its customers, decisions and mean rewards, in the domain's currency."""

    customers: int
    decisions: int
    reward_per_customer: float | None
    reward_per_decision: float | None


class LiftOfDay(BaseModel):
    """The lift of all decisions up to a day, with its interval.

    Days begin at midnight on the clock of the business (`clock` in the catalogue, else UTC).
    """

    day: date
    value: float
    low: float
    high: float


class SampleRatio(BaseModel):
    """The check that the arms are as large as the catalogue says; null without decisions."""

    expected_control: float
    found_control: float | None
    p_value: float | None
    trusted: bool


class LiftView(BaseModel):
    """The lift: reward per customer under the policy less that under random allowed actions.

    ``low`` and ``high`` are Welch's 95 % interval corrected for skewness, ``welch_low`` and
    ``welch_high`` the uncorrected one. ``relative`` is the lift divided by the control's mean; it
    is null unless that mean is clearly above 0. ``per_decision`` has no interval, because the
    decisions of a customer are correlated.
    """

    currency: str
    policy: ArmView
    control: ArmView
    in_both: int  # customers in both arms after a merge; they are counted in neither
    open: int  # decisions whose attribution window is open; known outcomes count
    lift: float | None
    low: float | None
    high: float | None
    welch_low: float | None
    welch_high: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    per_decision: float | None
    sample_ratio: SampleRatio
    verdict: str
    remarks: list[str]  # limits of the figures, in sentences
    days: list[LiftOfDay]
    forgotten_actions: list[str]  # no longer in the catalogue; their reward counts as 0
