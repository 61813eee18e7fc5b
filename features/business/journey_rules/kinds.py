"""Kinds of journeys: when they end, how they are drawn, and how they are expected to go."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from features.business.journey_rules.promises import Promise, StepName
from features.business.yaml_file import Days, Frozen, Name

LIFECYCLE = "lifecycle"  # the map of all that happens to a customer; no kind has its name
# What beside a property of the kind `category` a node may be named by.
NODE_PARTS = ("type", "channel", "stage", "touchpoint")
OPTIONAL = "?"  # after a step of the expected way


class MapRules(Frozen):
    """The rules by which the map of a journey is drawn.

    A node is named by the values of ``node``: ``type``, ``channel``, ``stage``, ``touchpoint``, or
    properties that are categories. An event without any of these properties is named by its type.
    ``names`` gives nodes other names. ``at_most`` nodes are drawn; the others are counted together.
    """

    node: Annotated[tuple[Name, ...], Field(min_length=1, max_length=4)] = ("type",)
    lanes: Literal["channel", "touchpoint", "none"] = "channel"
    at_most: Annotated[int, Field(ge=2, le=60)] = 30
    names: dict[str, Annotated[str, Field(min_length=1, max_length=80)]] = {}

    @field_validator("node", mode="before")
    @classmethod
    def _one_or_several(cls, sent: Any) -> Any:
        return (sent,) if isinstance(sent, str) else sent


class Expected(Frozen):
    """One version of how a journey is meant to go: its way, and its promises.

    A journey is judged by the version in force when it began; ``since`` is a day in UTC.
    """

    version: Annotated[int, Field(ge=1, le=1_000_000_000)]
    since: date = date(1970, 1, 1)
    way: Annotated[tuple[StepName, ...], Field(max_length=100)] = ()
    promises: dict[Name, Promise] = {}

    @property
    def since_us(self) -> int:
        """The instant from which it is in force, microseconds since 1970."""
        return round(datetime.combine(self.since, datetime.min.time(), UTC).timestamp() * 1e6)


class JourneyKind(Frozen):
    """A kind of journey: something that a customer wants to get done.

    A journey is open from its first event until an event that ``ends`` it, or of which
    ``ends_when`` is true, or until it had no event for ``lapse_days``. While a ``problem`` is open,
    the contact policy suspends promotions. ``case`` names a property that keeps journeys apart
    which are open at the same time.
    """

    problem: bool = False
    lapse_days: Days | None = None
    description: str = ""
    owner: str = ""
    part_of: Name | None = None
    case: Name | None = None
    ends_when: Annotated[str, Field(min_length=1)] | None = None
    map: MapRules = MapRules()
    expected: tuple[Expected, ...] = ()

    @field_validator("expected", mode="before")
    @classmethod
    def _one_or_several(cls, sent: Any) -> Any:
        return (sent,) if isinstance(sent, dict) else sent

    @model_validator(mode="after")
    def _versions_follow(self) -> Self:
        numbers = [one.version for one in self.expected]
        days = [one.since for one in self.expected]
        if numbers != sorted(set(numbers)) or days != sorted(set(days)):
            raise ValueError("expected: versions and their 'since' that rise")
        return self

    def expected_at(self, at_us: int) -> Expected | None:
        """Return the version in force at an instant, microseconds since 1970; None if none was."""
        found = [one for one in self.expected if one.since_us <= at_us]
        return found[-1] if found else None


class Lifecycle(Frozen):
    """The map of a customer's life with the business: all events, shown actions, and silences.

    ``shown`` names the step of a decision that was shown; null leaves decisions out. A customer is
    ``silent`` after ``silent_days`` without an event, and has ``left`` by the leaving event of the
    domain, or after ``left_days`` without the event of ``churn`` (without ``churn``: any event).
    """

    map: MapRules = MapRules()
    shown: StepName | None = "shown"
    silent: StepName = "silent"
    left: StepName = "left"
    silent_days: Days | None = None  # default: `silent_days` of churn, or 28
    left_days: Days | None = None  # default: `active_days` of churn; without one nobody leaves so

    @model_validator(mode="after")
    def _three_names(self) -> Self:
        if self.silent in (self.left, self.shown):
            raise ValueError("silent: another name than those of 'left' and 'shown'")
        if self.left == self.shown:
            raise ValueError("left: another name than that of 'shown'")
        return self
