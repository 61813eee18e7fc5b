"""One file describes a business: its attributes, events, and what churn and intent mean there.

Everything else in the house is the same for every business; `domains/grocery.yaml` is the
worked example.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.yaml_file import load_yaml

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Days = Annotated[float, Field(gt=0, le=3660, allow_inf_nan=False)]


# Columns of our own, beside attributes and beside the properties of events.
RESERVED = ("customer_id", "identifiers", "event_timestamp", "state")
EVENT_COLUMNS = ("event_id", "customer_id", "type", "occurred_at", "channel")


def slug(value: str) -> str:
    """A category value as part of a feature's name."""
    return "".join(c if c.isalnum() else "_" for c in value.lower())


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attribute(_Frozen):
    """A slow fact about a customer. List ``values`` by size, if they have one: models use it."""

    type: Literal["number", "category"]
    values: tuple[str, ...] = ()
    description: str = ""

    @model_validator(mode="after")
    def _categories_list_their_values(self) -> Self:
        if (self.type == "category") != bool(self.values):
            raise ValueError("values: some for type category, none for another type")
        if len({slug(value) for value in self.values}) < len(self.values):
            raise ValueError("values: texts that differ in letters or digits")
        return self


class Property(Attribute):
    """A detail of an event. A number is summed, a category is counted, if it is ``remembered``."""

    type: Literal["number", "category", "text"]  # type: ignore[assignment]
    min: float | None = None
    max: float | None = None
    required: bool = False
    remembered: bool = True


class EventType(_Frozen):
    """A kind of event: where in a journey it happens and how we come to know of it."""

    description: str
    journey: Name
    stage: Literal[
        "awareness", "discovery", "interest", "consideration", "action", "use", "advocacy"
    ]
    touchpoint: Literal["internal", "external", "peripheral"]
    signal: Literal["direct", "passive"]
    properties: dict[Name, Property] = {}


class Churn(_Frozen):
    """With ``event`` in the last ``active_days``, without in the next ``silent_days``."""

    event: Name
    active_days: Days
    silent_days: Days


class Intent(_Frozen):
    """What the customer wants next: ``property`` of the next ``event`` within ``within_days``."""

    event: Name
    property: Name
    active_days: Days
    within_days: Days


class Moments(_Frozen):
    """When we ask "and what happened next?", in the calendar of the original data."""

    first: date
    last: date
    every_days: Annotated[int, Field(ge=1)]
    test_from: date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.first < self.test_from <= self.last:
            raise ValueError("test_from: a day after first and not after last")
        return self


class Domain(_Frozen):
    """A whole business, as read from its YAML file."""

    name: Name
    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$")]
    channels: Annotated[tuple[Name, ...], Field(min_length=1)]
    attributes: dict[Name, Attribute] = {}
    events: Annotated[dict[Name, EventType], Field(min_length=1)]
    half_lives_days: Annotated[tuple[Days, ...], Field(min_length=1)] = (7, 28, 112)
    churn: Churn | None = None
    intent: Intent | None = None
    moments: Moments | None = None

    @model_validator(mode="after")
    def _names_that_exist(self) -> Self:
        for label, definition in (("churn", self.churn), ("intent", self.intent)):
            if definition and definition.event not in self.events:
                raise ValueError(f"{label}.event: one of {', '.join(self.events)}")
        if self.intent:
            known = self.events[self.intent.event].properties.get(self.intent.property)
            if known is None or known.type != "category":
                raise ValueError(f"intent.property: a category of {self.intent.event}")
        if list(self.half_lives_days) != sorted(set(self.half_lives_days)):
            raise ValueError("half_lives_days: numbers that rise")
        for name in RESERVED:
            if name in self.attributes:
                raise ValueError(f"attributes.{name}: another name; this one is ours")
        for event, described in self.events.items():
            for name in EVENT_COLUMNS:
                if name in described.properties:
                    raise ValueError(
                        f"events.{event}.properties.{name}: another name; this one is ours"
                    )
        return self

    @property
    def intents(self) -> tuple[str, ...]:
        """The classes that the intent model tells apart."""
        if self.intent is None:
            return ()
        return self.events[self.intent.event].properties[self.intent.property].values


def load_domain(path: Path) -> Domain:
    """Read a domain file.

    Raises
    ------
    InvalidDomain
        If it breaks a rule; names file, line, key and remedy.
    """
    return load_yaml(path, Domain)
