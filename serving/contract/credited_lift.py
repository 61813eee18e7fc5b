"""Answer types of the credited rewards in `/v1/lift`: the policy's less those of the random arm."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel


class CreditedArm(BaseModel):
    """One arm: its customers, decisions and mean rewards, in the domain's currency."""

    customers: int
    decisions: int
    reward_per_customer: float | None
    reward_per_decision: float | None


class CreditedDay(BaseModel):
    """The lift of all decisions up to a day, with its interval.

    Days begin at midnight on the clock of the business (`clock` in the catalogue, else UTC).
    """

    day: date
    value: float
    low: float
    high: float


class CreditedRatio(BaseModel):
    """The check that the arms are as large as the catalogue says; null without decisions."""

    expected_random: float
    found_random: float | None
    p_value: float | None
    trusted: bool


class CreditedLift(BaseModel):
    """The credited reward of a customer under the policy less that under random allowed actions.

    Only outcomes that were credited to a shown action count. Who would have bought anyway counts as
    a success, and who left costs nothing: so this is not what the policy earns.

    ``low`` and ``high`` are Welch's 95 % interval corrected for skewness, ``welch_low`` and
    ``welch_high`` the uncorrected one. ``relative`` is the lift divided by the mean of the random
    arm; it is null unless that mean is clearly above 0. ``per_decision`` has no interval, because
    the decisions of a customer are correlated.
    """

    currency: str
    policy: CreditedArm
    random: CreditedArm
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
    sample_ratio: CreditedRatio
    verdict: str
    remarks: list[str]  # limits of the figures, in sentences
    days: list[CreditedDay]
    forgotten_actions: list[str]  # no longer in the catalogue; their reward counts as 0
