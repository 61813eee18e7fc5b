"""Types of the catalogue's rules: groups, contact policy, arbitration, budgets, pacing.

Every rule of the contact policy has a `Scope`. The scope says which contacts a rule counts and
which candidates it can remove. A part of the scope that is left out means all.
"""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from features.business.yaml_file import Frozen, Name
from features.business.yaml_mistakes import Mistake, Mistakes
from features.nearest_names import did_you_mean

_ZONES = available_timezones()
Kind = Literal["promotion", "retention", "service", "other"]
Direction = Literal["inbound", "outbound"]
Money = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
SignedMoney = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
WindowDays = Annotated[float, Field(gt=0, le=366)]
Condition = Annotated[str, Field(min_length=1)]


class ContextKey(Frozen):
    """A fact that a channel may send with a request, such as the page.

    Conditions name it ``context_<key>``.
    """

    type: Literal["number", "text", "truth"]
    description: str = ""


class Purpose(Frozen):
    """A purpose for which consent is needed; ``unless_said`` holds until the customer decides.

    ``given``, the default, is opt-out; ``withdrawn`` is opt-in.
    """

    unless_said: Literal["given", "withdrawn"] = "given"
    description: str = ""


class Group(Frozen):
    """A group of actions that the contact policy treats alike.

    While a problem is open, `Suspension` removes each ``promotion`` and keeps ``service`` actions.
    A customer who has left gets no ``promotion`` and no ``retention``, see `Action`.
    """

    kind: Kind = "other"
    purpose: Name | None = None  # for which consent is needed
    description: str = ""


class Scope(Frozen):
    """The channels, groups, actions, kinds and direction to which a rule applies."""

    channels: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    actions: tuple[Name, ...] = ()
    kinds: tuple[Kind, ...] = ()
    direction: Direction | None = None


class Cap(Scope):
    """A cap allows at most so many contacts in a rolling window.

    ``{at_most: 3, days: 7, groups: [offers]}`` caps all offers together.
    ``{at_most: 1, days: 30, each: [action]}`` caps each action by itself.
    ``{at_most: 2, days: 1, direction: outbound, per: account}`` caps the whole account.
    """

    at_most: Annotated[int, Field(ge=0, le=1_000_000)]
    days: WindowDays
    each: tuple[Literal["channel", "group", "action"], ...] = ()
    per: Literal["customer", "account"] = "customer"


class CoolDown(Scope):
    """A cool-down removes an action after a negative outcome, or after showings without a reaction.

    ``{after: [rejected], days: 30}`` removes the rejected action for 30 days.
    ``{after_showings: 4, days: 14, each: [group]}`` removes a group that was shown 4 times since
    the last reaction to it, for 14 days after the last showing.
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
    """Quiet hours remove actions between two times of the customer's day.

    ``from`` 21:00 ``until`` 08:00 spans midnight. Equal times are refused, as they are either no
    time at all or a whole day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    begin: time = Field(alias="from")
    until: time

    @field_validator("begin", "until")
    @classmethod
    def _of_the_clock(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("a time of the customer's clock such as '21:00', without a zone")
        return value

    @model_validator(mode="after")
    def _some_time(self, info: ValidationInfo) -> Self:
        # The ledger keeps catalogues as JSON. Former ones must be read for replay as they were.
        if self.begin == self.until and info.mode != "json":
            raise ValueError(
                "until: another time than 'from', since the rule would never apply; for the whole "
                "day write two rules, from '00:00' until '12:00' and from '12:00' until '00:00'"
            )
        return self


class Suspension(Frozen):
    """Suspension removes these kinds of action while the customer has an open problem."""

    kinds: tuple[Kind, ...] = ("promotion",)
    per: Literal["customer", "account"] = "account"  # account: with a colleague's problem, too


class ContactPolicyRules(Frozen):
    """The contact policy decides which allowed actions may be shown now."""

    outbound: tuple[Name, ...] = ()  # on these channels the business contacts the customer
    caps: Annotated[tuple[Cap, ...], Field(max_length=100)] = ()
    cool_downs: Annotated[tuple[CoolDown, ...], Field(max_length=100)] = ()
    quiet_hours: Annotated[tuple[QuietHours, ...], Field(max_length=100)] = ()
    suspension: Suspension = Suspension()
    activate_within_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 24


class Clock(Frozen):
    """The time zones of the business and of its customers; days begin at midnight there."""

    zone: str = "UTC"
    attribute: Name | None = None

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        if zone not in _ZONES:
            near = did_you_mean([zone], sorted(_ZONES))
            raise Mistakes([Mistake((), "a time zone such as Europe/Rome", near)])
        return zone

    @property
    def of_business(self) -> ZoneInfo:
        """The time zone of the business."""
        return ZoneInfo(self.zone)

    def of_customer(self, named: str | None) -> ZoneInfo:
        """Return the zone that the customer's attribute names, else that of the business."""
        return ZoneInfo(named) if named in _ZONES else self.of_business


class ContextWeight(Frozen):
    """A weight multiplies the priority of some actions where its condition holds."""

    when: Condition
    weight: Annotated[float, Field(ge=0, le=100)]
    issues: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    actions: tuple[Name, ...] = ()


class Arbitration(Frozen):
    """The ranking of actions by priority.

    Without a formula the priority is ``added_value * context_weight * lever - cost``. Without
    effects the added value is ``acceptance * value``.
    """

    context_weights: tuple[ContextWeight, ...] = ()
    formula: Condition | None = None


class Budget(Frozen):
    """A budget is money for one day, shared by the actions that name it."""

    at_most: Money
    description: str = ""


class Volume(Frozen):
    """The least and the largest number of showings of an action in one day."""

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
    """The spread of volumes and budgets over a day: even, or by 24 hourly weights."""

    hourly: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = ()

    @field_validator("hourly")
    @classmethod
    def _a_day(cls, hourly: tuple[float, ...]) -> tuple[float, ...]:
        if hourly and (len(hourly) != 24 or not sum(hourly) > 0):
            raise ValueError("24 weights, one for each hour, not all 0")
        return hourly


Share = Annotated[float, Field(ge=0, le=0.5)]
MOST_OUTSIDE = 0.9  # of the customers, in the arms random and nobody together


class Arms(Frozen):
    """The arms of the experiment: stable shares of the customers, by a hash of the customer id.

    ``random`` gets a random action of those that eligibility and contact policy allow. ``nobody``
    gets no action but those of groups of ``kind: service``. All others get the policy. Lift is
    the difference between arms. Another ``salt`` draws other customers.
    """

    random: Share = 0.02
    nobody: Share = 0.02
    salt: str = "control"

    @model_validator(mode="after")
    def _some_get_the_policy(self) -> Self:
        if self.random + self.nobody > MOST_OUTSIDE:
            raise ValueError(f"nobody: with random together at most {MOST_OUTSIDE:g}")
        return self


class ControlGroup(Frozen):
    """The former name of the arm ``random``, which is still read; see `Arms`."""

    share: Share = 0.02
    salt: str = "control"


class ArmsOfControlGroup(Arms):
    """The arms of a catalogue that does not describe them: ``random`` is its control group.

    They are left out of its JSON, so that its fingerprint stays that of before there were arms.
    """


LEAVING = "leaving"  # as ``counts`` of a guardrail: the domain's definition of churn


class Guardrail(Frozen):
    """A guardrail switches an action off that harms, and warns if the policy as a whole does.

    ``{counts: unsubscribed}`` counts a type of event, ``{counts: leaving}`` churn, and
    ``{counts: nps_answered, at_most: 6}`` feedback with such a score. An action must not have more
    than ``limit`` times the harm of the other actions (``against: random``) or of `no_action`
    (``against: nobody``), within ``within_days`` of the decision. ``level`` bounds the probability
    that any harmless action is ever switched off.
    """

    counts: Name
    at_most: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)] | None = None
    within_days: WindowDays = 7.0
    limit: Annotated[float, Field(ge=0.1, le=100, allow_inf_nan=False)] = 1.0
    against: Literal["random", "nobody"] = "random"
    level: Annotated[float, Field(ge=1e-6, le=0.2)] = 0.02
    description: str = ""
