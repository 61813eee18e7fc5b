"""Request and answer types of the lift: what the policy earns more than the control group."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import BaseModel, Field, model_validator

from features.journeys.events import UtcTime
from serving.contract.requests import Request


class LiftRequest(Request):
    """Of which time; without it, of all time."""

    since: UtcTime | None = Field(None, examples=["2026-11-01T00:00:00Z"])
    until: UtcTime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and not self.since < self.until:
            raise ValueError("until is not after since; send a later one, or none")
        return self


class ArmView(BaseModel):
    """One arm: its customers, their decisions, and what they brought, in the domain's currency."""

    customers: int
    decisions: int
    reward_per_customer: float | None
    reward_per_decision: float | None


class LiftOfDay(BaseModel):
    """The lift of all that was shown up to a day."""

    day: date
    value: float
    low: float
    high: float


class SampleRatio(BaseModel):
    """Whether the arms are as large as the catalogue says; null where nobody was decided for."""

    expected_control: float
    found_control: float | None
    p_value: float | None
    trusted: bool


class LiftView(BaseModel):
    """What a customer brings more under the policy than under random allowed actions.

    ``low`` and ``high`` are Welch's 95 % interval corrected for skewness, ``welch_low`` and
    ``welch_high`` the plain one. ``relative`` is in parts of the control's mean, null where that is
    not clearly above 0. ``per_decision`` is an aside: decisions of a customer hang together, so it
    has no interval.
    """

    currency: str
    policy: ArmView
    control: ArmView
    in_both: int  # customers seen in both arms, after a merge: counted in neither
    open: int  # decisions whose outcomes may still come; counted with what is known
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
    remarks: list[str]  # what to bear in mind, in sentences
    days: list[LiftOfDay]
    forgotten_actions: list[str]  # no more in the catalogue: they count 0
