"""What the catalogue may say beside its actions: groups, contact policy, arbitration, pacing.

Every rule of the contact policy has a `Scope`: which contacts it counts, and which candidates it
can remove. Left out, a part of the scope means all.
"""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from features.business.domain import Name

_ZONES = available_timezones()
Kind = Literal["promotion", "service", "other"]
Direction = Literal["inbound", "outbound"]
Money = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
SignedMoney = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
WindowDays = Annotated[float, Field(gt=0, le=366)]
Condition = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    """A part of the catalogue: nothing unknown in it, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ContextKey(Frozen):
    """Something that a channel may tell of the moment, such as the page; conditions name it
    ``context_<key>``."""

    type: Literal["number", "text", "truth"]
    description: str = ""


class Purpose(Frozen):
    """What a customer's data may be used for; what holds until they have said a word."""

    unless_said: Literal["given", "withdrawn"] = "given"
    description: str = ""


class Group(Frozen):
    """Actions that share their treatment by the contact policy.

    A ``promotion`` is out while a problem is open; a ``service`` action is in.
    """

    kind: Kind = "other"
    purpose: Name | None = None  # for which consent is needed
    description: str = ""


class Scope(Frozen):
    """Which channels, groups, actions, kinds and direction a rule speaks of."""

    channels: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    actions: tuple[Name, ...] = ()
    kinds: tuple[Kind, ...] = ()
    direction: Direction | None = None


class Cap(Scope):
    """At most so many contacts in a rolling window.

    ``{at_most: 3, days: 7, groups: [offers]}``: of all offers together.
    ``{at_most: 1, days: 30, each: [action]}``: of each action by itself.
    ``{at_most: 2, days: 1, direction: outbound, per: account}``: to the whole account.
    """

    at_most: Annotated[int, Field(ge=0, le=1_000_000)]
    days: WindowDays
    each: tuple[Literal["channel", "group", "action"], ...] = ()
    per: Literal["customer", "account"] = "customer"


class CoolDown(Scope):
    """Silence after a no, or after showings without a reaction.

    ``{after: [rejected], days: 30}``: the rejected action rests for 30 days.
    ``{after_showings: 4, days: 14, each: [group]}``: a group that was shown 4 times since the
    last reaction to it rests for 14 days after the last showing.
    """

    after: tuple[Name, ...] = ()
    after_showings: Annotated[int, Field(ge=1, le=1000)] | None = None
    days: WindowDays
    each: tuple[Literal["channel", "group", "action"], ...] = ("action",)
    per: Literal["customer", "account"] = "customer"

    @model_validator(mode="after")
    def _after_one_thing(self) -> Self:
        if bool(self.after) == (self.after_showings is not None):
            raise ValueError("after: outcomes, or after_showings: a number; one of the two")
        return self


class QuietHours(Scope):
    """Nothing between two times of the customer's day; ``from`` 21:00 ``until`` 08:00 goes over
    midnight."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    begin: time = Field(alias="from")
    until: time

    @field_validator("begin", "until")
    @classmethod
    def _of_the_clock(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("a time of the customer's clock such as '21:00', without a zone")
        return value


class Suspension(Frozen):
    """While a problem is open, these kinds of action are out."""

    kinds: tuple[Kind, ...] = ("promotion",)
    per: Literal["customer", "account"] = "account"  # account: a colleague's problem counts too


class ContactPolicyRules(Frozen):
    """Should we now?"""

    outbound: tuple[Name, ...] = ()  # channels on which we go to the customer; else they came
    caps: Annotated[tuple[Cap, ...], Field(max_length=100)] = ()
    cool_downs: Annotated[tuple[CoolDown, ...], Field(max_length=100)] = ()
    quiet_hours: Annotated[tuple[QuietHours, ...], Field(max_length=100)] = ()
    suspension: Suspension = Suspension()
    activate_within_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 24


class Clock(Frozen):
    """Whose midnight it is: of the business, and of a customer whose attribute names a zone."""

    zone: str = "UTC"
    attribute: Name | None = None

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        if zone not in _ZONES:
            raise ValueError("a time zone such as Europe/Rome")
        return zone

    @property
    def of_business(self) -> ZoneInfo:
        """The zone in which a day of the business begins."""
        return ZoneInfo(self.zone)

    def of_customer(self, named: str | None) -> ZoneInfo:
        """The zone that the customer's attribute names, or that of the business."""
        return ZoneInfo(named) if named in _ZONES else self.of_business


class ContextWeight(Frozen):
    """What an action is worth more, or less, in a situation."""

    when: Condition
    weight: Annotated[float, Field(ge=0, le=100)]
    issues: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    actions: tuple[Name, ...] = ()


class Arbitration(Frozen):
    """How actions are ranked; without a formula by
    ``acceptance * context_weight * value * lever - cost``."""

    context_weights: tuple[ContextWeight, ...] = ()
    formula: Condition | None = None


class Budget(Frozen):
    """Money for one day, shared by the actions that name it."""

    at_most: Money
    description: str = ""


class Volume(Frozen):
    """How often an action is shown in one day."""

    at_most: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    at_least: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("at_most: a number, or one for at_least")
        if self.at_most is not None and (self.at_least or 0) > self.at_most:
            raise ValueError("at_least: a number that is not above at_most")
        return self


class Pacing(Frozen):
    """How the day's volumes and budgets are spread: by time, or by 24 hourly weights."""

    hourly: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = ()

    @field_validator("hourly")
    @classmethod
    def _a_day(cls, hourly: tuple[float, ...]) -> tuple[float, ...]:
        if hourly and (len(hourly) != 24 or not sum(hourly) > 0):
            raise ValueError("24 weights, one for each hour, not all 0")
        return hourly


class ControlGroup(Frozen):
    """A stable share of customers who get a random allowed action, so that lift can be measured.

    Another ``salt`` draws another group.
    """

    share: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    salt: str = "control"
