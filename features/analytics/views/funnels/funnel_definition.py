"""A funnel has steps in their order, with windows, optional ones, and exclusions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.analytics.journey_data import JourneyData
from features.analytics.tables import NO_TYPE
from features.analytics.views import relations
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.promised.conformities import way_steps
from features.business.journey_rules.kinds import Expected
from features.business.journey_rules.promises import DAY_US, HOUR_US, Hours, StepName
from features.business.yaml_file import Days
from features.errors import InvalidRequest, quoted

MOST_STEPS = 50  # as many as a business has stages


class StepOrStage(BaseModel):
    """A step of journeys: a node of the map, a type of event, or a stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: StepName | None = None
    stage: StepName | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.step is None) == (self.stage is None):
            raise ValueError("a 'step' or a 'stage', not both")
        return self

    @property
    def name(self) -> str:
        """Its step, or its stage."""
        return self.step or self.stage or ""


class FunnelStepRule(StepOrStage):
    """One step of a funnel.

    Its window runs from the last required step before it, or from the start of the journey. A
    journey goes on without an ``optional`` step.
    """

    within_hours: Hours | None = None
    within_days: Days | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if self.within_hours is not None and self.within_days is not None:
            raise ValueError("steps: 'within_hours' or 'within_days', not both")
        return self

    @property
    def window_us(self) -> int | None:
        """Its window in microseconds; None: it has none."""
        if self.within_hours is not None:
            return round(self.within_hours * HOUR_US)
        return None if self.within_days is None else round(self.within_days * DAY_US)


class FunnelDefinition(BaseModel):
    """Steps that a journey takes in this order, with anything between them but ``exclude``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Annotated[tuple[FunnelStepRule, ...], Field(min_length=1, max_length=MOST_STEPS)]
    exclude: Annotated[tuple[StepName, ...], Field(max_length=MOST_STEPS)] = ()

    @model_validator(mode="after")
    def _can_be_gone_through(self) -> Self:
        if all(rule.optional for rule in self.steps):
            raise ValueError("steps: at least one that is not optional")
        waiting: list[str] = []
        for rule in self.steps:
            if rule.optional:
                waiting.append(rule.name)
                continue
            if rule.name in waiting:  # the first such step is the required one, so it never counts
                raise ValueError("steps: an optional step has another name than the required next")
            waiting = []
        return self

    @property
    def required(self) -> tuple[int, ...]:
        """The places of the required steps, from 1."""
        return tuple(place for place, rule in enumerate(self.steps, 1) if not rule.optional)


@dataclass(frozen=True)
class Matches:
    """The steps of journeys that a name means: those with some nodes, or of some types."""

    nodes: frozenset[int]
    types: frozenset[int]

    @classmethod
    def either(cls, several: Iterable[Matches]) -> Matches:
        """Return what any of several names means."""
        listed = list(several)
        nodes = frozenset(code for one in listed for code in one.nodes)
        return cls(nodes, frozenset(code for one in listed for code in one.types))

    def rows(self, node: NDArray[np.uint16], type: NDArray[np.uint16] | None) -> NDArray[np.int64]:
        """Return the places of the steps that match, in their order, shape (n_matches,).

        Parameters
        ----------
        node, type : shape (n_steps,)
            The columns of `tables`; the type may be None if ``types`` is empty.
        """
        found = _marked(self.nodes)[node]
        if self.types and type is not None:
            found |= _marked(self.types)[type]
        return np.flatnonzero(found)


def matches(data: JourneyData, map_name: str, field: str, rule: StepOrStage) -> Matches:
    """Find the steps that a rule names on a map.

    Raises
    ------
    InvalidRequest
        If the map has no such step or stage; the error names ``field``.
    """
    nodes, events = data.nodes, data.nodes.events_of(map_name)
    if rule.stage is not None:
        labelled: frozenset[int] = frozenset()
        wanted = {name for name, event in events.items() if event.stage == rule.stage}
        known = list(dict.fromkeys(event.stage for event in events.values()))
    else:
        labelled = nodes.codes_named(map_name, rule.name)
        wanted = {rule.name} & events.keys()
        known = list(dict.fromkeys([*(one.label for one in nodes.of_map(map_name)), *events]))
    if not labelled and not wanted:
        raise InvalidRequest(
            f"{field} is {quoted(rule.name)}.",
            expected=f"a {'step' if rule.stage is None else 'stage'} of the map "
            f"{quoted(map_name)}: {', '.join(known[:40])}",
            remedy="Name one of them.",
        )
    carriers = [one for one in nodes.of_map(map_name) if wanted & {*one.types}]
    whole = frozenset(one.code for one in carriers if wanted >= {*one.types})
    if all(one.code in whole | labelled for one in carriers):  # the nodes alone tell it
        return Matches(labelled | whole, frozenset())
    return Matches(labelled | whole, frozenset(nodes.type_code(name) for name in wanted))


def stages_funnel(data: JourneyData, map_name: str) -> FunnelDefinition:
    """Return the funnel over the stages of a map, in the domain's order.

    A stage that nobody has reached yet is optional: it is told with 0, and stops nobody.
    """
    events = data.nodes.events_of(map_name)
    there = {event.stage for event in events.values()}
    stages = [one for one in data.domain.stages if one in there]
    counted = relations.steps(data, JourneyFilter(map=map_name)).counts(data, ["type"])
    types = {data.nodes.types[code] for code, _ in counted if code != NO_TYPE}
    reached = {event.stage for name, event in events.items() if name in types} or {*stages}
    rules = (FunnelStepRule(stage=one, optional=one not in reached) for one in stages)
    return FunnelDefinition(steps=tuple(rules))


def way_funnel(data: JourneyData, map_name: str, expected: Expected) -> FunnelDefinition:
    """Return the funnel along the first steps of an expected way."""
    steps = way_steps(data.nodes, map_name, expected)[:MOST_STEPS]
    rules = (FunnelStepRule(step=step.name, optional=step.optional) for step in steps)
    return FunnelDefinition(steps=tuple(rules))


def _marked(codes: frozenset[int]) -> NDArray[np.bool_]:
    marked = np.zeros(1 << 16, bool)
    marked[list(codes)] = True
    return marked
