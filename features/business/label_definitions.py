"""Definitions of the labels churn and intent, and of the moments at which they are taken.

They are parts of the domain file, see `domain`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from features.business.yaml_file import Days, Frozen, Name


class Churn(Frozen):
    """The definition of churn: no event for some time, or an event.

    ``when: silent``: a customer churns who had an ``event`` in the last ``active_days`` and has
    none in the next ``silent_days``. ``when: happens``: ``event`` is the churn itself, such as a
    cancelled contract. Then each customer has one label, of the time before anybody left, and a
    customer has left from the event on until an event of ``back``; see `leaving.back_events`.
    """

    event: Name
    when: Literal["silent", "happens"] = "silent"
    back: tuple[Name, ...] = ()  # if empty, events at a stage named "action"
    active_days: Days | None = None
    silent_days: Days | None = None

    @field_validator("back", mode="before")
    @classmethod
    def _one_or_several(cls, sent: Any) -> Any:
        return (sent,) if isinstance(sent, str) else sent

    @model_validator(mode="after")
    def _silence_has_a_length(self) -> Self:
        given = self.active_days is not None, self.silent_days is not None
        if self.when == "silent" and not all(given):
            raise ValueError("active_days: a number, and one for silent_days")
        if self.when == "happens" and any(given):
            raise ValueError("when: silent, or no active_days and no silent_days")
        if self.when == "silent" and self.back:
            raise ValueError("back: nothing, unless 'when' is happens")
        if self.event in self.back:
            raise ValueError(f"back: another event than {self.event}, by which customers leave")
        return self


class Intent(Frozen):
    """The definition of intent: ``property`` of the customer's next ``event``.

    ``ask: at_moments`` labels customers with an ``event`` in the last ``active_days`` who have the
    next one within ``within_days``. ``ask: after_each`` labels each such event; if no event
    follows, the label is the class ``end``, if that is named.
    """

    event: Name
    property: Name
    ask: Literal["at_moments", "after_each"] = "at_moments"
    active_days: Days | None = None
    within_days: Days | None = None
    end: Annotated[str, Field(min_length=1, max_length=60)] | None = None

    @model_validator(mode="after")
    def _moments_have_a_length(self) -> Self:
        given = self.active_days is not None, self.within_days is not None
        if self.ask == "at_moments" and not all(given):
            raise ValueError("active_days: a number, and one for within_days")
        if self.ask == "after_each" and any(given):
            raise ValueError("ask: at_moments, or no active_days and no within_days")
        if self.ask == "at_moments" and self.end:
            raise ValueError("end: nothing, unless 'ask' is after_each")
        return self


class Moments(Frozen):
    """The moments at which labels are taken, and the split into training and test.

    Four dates test on later time: ``first``, ``last``, ``every_days`` and ``test_from``, in the
    calendar of the original data. ``test_where``, an attribute and its value, tests on some
    customers. ``folds`` tests by cross-validation, for data without time.
    """

    first: date | None = None
    last: date | None = None
    every_days: Annotated[int, Field(ge=1)] | None = None
    test_from: date | None = None
    test_where: dict[Name, str] | None = None
    folds: Annotated[int, Field(ge=2, le=100)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        dated = (self.first, self.last, self.every_days, self.test_from)
        ways = [any(dated), self.test_where is not None, self.folds is not None]
        if sum(ways) != 1:
            raise ValueError("one of: four dates, test_where, folds")
        if self.test_where is not None and len(self.test_where) != 1:
            raise ValueError("test_where: one attribute and its value")
        if any(dated) and not all(dated):
            names = ("first", "last", "every_days", "test_from")
            missing = next(name for name in names if getattr(self, name) is None)
            raise ValueError(f"{missing}: a value, for {', '.join(names)} go together")
        # All of them are set, or none.
        if (
            self.first
            and self.test_from
            and self.last
            and not (self.first < self.test_from <= self.last)
        ):
            raise ValueError("test_from: a day after first and not after last")
        return self
