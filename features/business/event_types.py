"""Event types and attributes: what a business knows of its customers, as the domain file says."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from features.business.yaml_file import Frozen, Name
from features.business.yaml_mistakes import Mistakes

# The stages of a domain file that lists no own ones.
STAGES = ("awareness", "discovery", "interest", "consideration", "action", "use", "advocacy")
# The scale of each score, as the field has agreed on it.
SCALES = {"nps": (0.0, 10.0), "csat": (1.0, 5.0), "ces": (1.0, 7.0), "rating": (1.0, 5.0)}


class Attribute(Frozen):
    """A fact about a customer that changes slowly.

    The order of ``values`` matters: models read the position of a value as a number. List them by
    size, if they have one.
    """

    type: Literal["number", "category"]
    values: tuple[str, ...] = ()
    description: str = ""
    read: bool = True  # by models; false for a fact that is only stored, such as a test split

    @model_validator(mode="after")
    def _categories_list_their_values(self) -> Self:
        if (self.type == "category") != bool(self.values):
            raise ValueError("values: some for type category, none for another type")
        mistakes, before = Mistakes(), set[str]()
        for index, value in enumerate(self.values):
            if not value.strip():
                expected = "a text; an empty cell of a table says that the value is unknown"
                mistakes.add(("values", index), expected, "Delete it.")
            elif value in before:
                mistakes.add(("values", index), "each value once", "Delete one of the two.")
            before.add(value)
        mistakes.refuse()
        return self


class Property(Attribute):
    """A property of an event. If ``remembered``, a number is summed and a category is counted."""

    type: Literal["number", "category", "text"]  # type: ignore[assignment]
    min: float | None = None
    max: float | None = None
    required: bool = False
    remembered: bool = True
    measures: Literal["spend", "nps", "csat", "ces", "rating"] | None = None

    @model_validator(mode="after")
    def _measures_on_its_scale(self) -> Self:
        if self.measures and self.type != "number":
            raise ValueError("measures: nothing, unless the type is number")
        low, high = SCALES.get(self.measures or "", (self.min, self.max))
        if self.min != low:
            raise ValueError(f"min: {low:g}, where the scale of {self.measures} begins")
        if self.max != high:
            raise ValueError(f"max: {high:g}, where the scale of {self.measures} ends")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("max: a number that is not below min")
        return self


class EventType(Frozen):
    """A type of event: its journey and stage, its touchpoint, and its properties."""

    description: str
    journey: Name
    stage: Name  # one of `Domain.stages`
    step: Literal["starts", "moves", "ends"] = "moves"  # its effect on the journey
    touchpoint: Literal["internal", "external", "peripheral"]  # ours, shared, or of others
    signal: Literal["direct", "passive"]  # the customer tells us, or shows us
    consent: Literal["given", "withdrawn"] | None = None
    properties: dict[Name, Property] = {}

    @model_validator(mode="after")
    def _consent_has_a_purpose(self) -> Self:
        if self.consent and "purpose" not in self.properties:
            raise ValueError("consent: a property 'purpose' beside it")
        return self

    @model_validator(mode="after")
    def _measures_a_thing_once(self) -> Self:
        measured = [known.measures for known in self.properties.values() if known.measures]
        if len(measured) > len(set(measured)):
            raise ValueError("properties: each thing measured once")
        return self
