"""Promises: what a customer may expect within a journey, in six templates.

Each promise is judged for each *activation*, and is then kept, broken, open or void:

    {after: ordered, comes: delivery, within_days: 3}      response: the second follows the first
    {before: delivery, comes: shipped, at_least_hours: 12} precedence: the second was there before
    {never: reopened}                                      absence, in the whole journey
    {no_more_than: 1, of: reassigned}                      at most so many in a journey
    {never: call, after: call, within_days: 7}             never again for some time
    {after: ordered, next: confirmed, within_hours: 1}     chain: it is the very next step

A step is named by the type of its event, or by its node on the map of the journey.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.business.yaml_file import Days, Frozen, Name

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000

Template = Literal["response", "precedence", "absence", "at_most", "never_again", "chain"]
StepName = Annotated[str, Field(min_length=1, max_length=200)]
Hours = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
# The keys of each template: those it needs, and those it may have beside the words and a time.
TEMPLATES: dict[Template, tuple[frozenset[str], frozenset[str]]] = {
    "response": (frozenset(("after", "comes")), frozenset(("within", "else_days"))),
    "precedence": (frozenset(("before", "comes")), frozenset(("at_least_hours", "at_least_days"))),
    "absence": (frozenset(("never",)), frozenset()),
    "at_most": (frozenset(("no_more_than", "of")), frozenset()),
    "never_again": (frozenset(("never", "after")), frozenset()),
    "chain": (frozenset(("after", "next")), frozenset()),
}
NEED_A_TIME: frozenset[Template] = frozenset(("response", "never_again", "chain"))
_WORDS_AND_TIMES = frozenset(("words", "owner", "within_days", "within_hours"))


class Promised(Frozen):
    """The time that a property of the first step tells, as a text such as 2026-11-22T10:00Z."""

    property: Name


class Promise(Frozen):
    """One promise. Which keys are given says which of the six templates it is."""

    after: StepName | None = None
    before: StepName | None = None
    comes: StepName | None = None
    next: StepName | None = None
    never: StepName | None = None
    of: StepName | None = None
    no_more_than: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    within: Promised | None = None
    within_days: Days | None = None
    within_hours: Hours | None = None
    at_least_days: Days | None = None
    at_least_hours: Hours | None = None
    else_days: Days | None = None  # where the property of `within` tells no time
    owner: str = ""
    words: str = ""

    @model_validator(mode="after")
    def _is_of_one_template(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name) not in (None, "")}
        fitting = [
            name
            for name, (needed, more) in TEMPLATES.items()
            if needed <= given and given <= needed | more | _WORDS_AND_TIMES
        ]
        if len(fitting) != 1:
            raise ValueError(
                "one of: after and comes; before and comes; never; no_more_than and of; never and "
                "after; after and next; with the times of that template"
            )
        times = [name for name in ("within", "within_days", "within_hours") if name in given]
        if len(times) > 1:
            raise ValueError(f"{times[1]}: nothing, as {times[0]} says the time")
        if fitting[0] in NEED_A_TIME and not times:
            raise ValueError("within_days: a number of days, or within_hours of hours")
        if fitting[0] == "precedence" and times:
            raise ValueError(f"{times[0]}: nothing; at_least_hours says how long before")
        if {"at_least_days", "at_least_hours"} <= given:
            raise ValueError("at_least_hours: nothing, as at_least_days says the time")
        if ("within" in given) != ("else_days" in given):
            raise ValueError("else_days: a number beside 'within', and only there")
        return self

    @property
    def template(self) -> Template:
        """The template that the keys are of."""
        if self.comes is not None:
            return "response" if self.after is not None else "precedence"
        if self.never is not None:
            return "absence" if self.after is None else "never_again"
        return "chain" if self.next is not None else "at_most"

    @property
    def time_us(self) -> int | None:
        """The time that it allows (or, of a precedence, asks for), in microseconds; None: none.

        With `within`, the time that holds where the property tells none.
        """
        for value, unit in (
            (self.within_days, DAY_US),
            (self.within_hours, HOUR_US),
            (self.at_least_days, DAY_US),
            (self.at_least_hours, HOUR_US),
            (self.else_days, DAY_US),
        ):
            if value is not None:
                return round(value * unit)
        return None

    @property
    def steps(self) -> dict[str, str]:
        """The steps that it names, by the key that names them."""
        keys = ("after", "before", "comes", "next", "never", "of")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}
