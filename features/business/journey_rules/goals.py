"""Personas and goals: who the customers are, and where the business wants to get."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from features.business.yaml_file import Frozen, Name

OTHERS = "others"  # the persona of customers of whom no condition holds

Measure = Literal[
    "churn",
    "nps",
    "csat",
    "ces",
    "rating",
    "spend",
    "order_value",
    "engagement",
    "promise_kept",
    "journey_completed",
    "cost_per_contact",
]


class Persona(Frozen):
    """Customers of whom ``when`` holds; the first one of the file that fits is theirs."""

    when: Annotated[str, Field(min_length=1)]
    words: str = ""


class GoalScope(Frozen):
    """The customers and journeys whose numbers a goal is about; if empty, all."""

    persona: Name | None = None
    journey: Name | None = None


class Goal(Frozen):
    """A figure to reach by a day, with figures that must not get worse meanwhile."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    measure: Measure
    of: GoalScope = GoalScope()
    start: Annotated[float, Field(alias="from", allow_inf_nan=False)]
    target: Annotated[float, Field(alias="to", allow_inf_nan=False)]
    by: date
    guard: tuple[Measure, ...] = ()
    words: str = ""

    @model_validator(mode="after")
    def _asks_for_a_change(self) -> Self:
        if self.start == self.target:
            raise ValueError("to: another number than 'from'")
        if self.measure in self.guard:
            raise ValueError(f"guard: other figures than {self.measure}, which the goal changes")
        return self
