"""Tells what an event does to the journeys of its customer.

The fold counts journeys by it as events arrive, and the analytics cuts them by it from the ledger.
So both mean the same by a step that ends a journey, by a case, and by leaving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Literal, NamedTuple

import numpy as np

from features.business.domain import Domain
from features.business.event_types import EventType
from features.business.journey_rules.event_names import CHANNEL, TYPE, event_names
from features.business.journey_rules.kinds import JourneyKind
from features.conditions.conditions import Conditions
from features.conditions.names import Names

Step = Literal["starts", "moves", "ends"]

# Answers of a condition that are remembered. Two years of events name far fewer combinations of
# categories; amounts may name more, and the memory is then emptied.
REMEMBERED_ANSWERS = 10_000
# Open journeys of one kind of one customer that are told apart, where a kind has a case or
# promises. When another one opens, the oldest counts as lapsed at that time.
MAX_OPEN = 1_000


class StepEffect(NamedTuple):
    """The effect of one event on the journeys of its customer.

    Attributes
    ----------
    kind : str
        The kind of journey that the event belongs to.
    step : str
        ``starts`` opens a journey, ``moves`` goes on with one, ``ends`` closes one.
    case : str or None
        The value that tells apart open journeys of the kind; None if the kind has no ``case``, or
        the event no value.
    leaves : bool
        True if the customer leaves: all open journeys of all kinds are then closed.
    """

    kind: str
    step: Step
    case: str | None
    leaves: bool


@dataclass(frozen=True, slots=True)
class _TypeRules:
    """The rules for events of one type."""

    effect: StepEffect  # without case and condition
    case: str | None  # the property that names the case
    ends_when: _EndsWhen | None
    is_plain: bool  # the effect needs no property


class StepRules:
    """The effects of the events of one business, by the rules of its domain file.

    Parameters
    ----------
    domain
        Names the event types with their journeys and steps, and of each kind of journey its
        ``case`` and ``ends_when``.

    Notes
    -----
    A condition that names properties is asked only of types that have one of them. An order has no
    status, so ``status != 'late'`` does not end its delivery, although an unknown status is not
    'late'.
    """

    def __init__(self, domain: Domain) -> None:
        self._channels = frozenset(domain.channels)
        kinds = domain.journey_kinds.items()
        self._told_apart = frozenset(name for name, kind in kinds if tells_apart(kind))
        conditions = {
            name: _EndsWhen(event_names(domain.events_of(name), domain.channels), kind.ends_when)
            for name, kind in domain.journey_kinds.items()
            if kind.ends_when is not None
        }
        self._of_type = {
            name: _type_rules(name, event, domain, conditions.get(event.journey))
            for name, event in domain.events.items()
        }

    def most_open(self, kind: str) -> int | None:
        """Return how many journeys of a kind may be open at a time; None: any number.

        When another one opens, the oldest open one has lapsed at that time.
        """
        return MAX_OPEN if kind in self._told_apart else None

    def asks_properties(self, event_type: str) -> bool:
        """Return whether the effect of events of a type may depend on their properties."""
        return not self._of_type[event_type].is_plain

    def effect(
        self, event_type: str, channel: str, properties: Mapping[str, Any]
    ) -> StepEffect | None:
        """Return the effect of an event; None for a type or channel that the domain has not.

        Parameters
        ----------
        properties
            Values by name; numbers are numbers, and all others are texts.
        """
        rules = self._of_type.get(event_type)
        if rules is None or channel not in self._channels:
            return None
        if rules.is_plain:
            return rules.effect
        kind, step, _, leaves = rules.effect
        if rules.ends_when and rules.ends_when.holds(event_type, channel, properties):
            step = "ends"
        case = None if rules.case is None else case_text(properties.get(rules.case))
        return StepEffect(kind, step, case, leaves)


def tells_apart(kind: JourneyKind) -> bool:
    """Return whether each open journey of a kind is remembered: it has a case or promises."""
    return kind.case is not None or any(one.promises for one in kind.expected)


def case_text(value: Any) -> str | None:
    """Write the value that names a case; None for no value. The numbers 7 and 7.0 are one case."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value) + 0.0).removesuffix(".0")  # -0.0 + 0.0 is 0.0
    return str(value)


class _EndsWhen:
    """Evaluates the ``ends_when`` of a kind of journey, and remembers the answers."""

    def __init__(self, names: Names, text: str) -> None:
        self._conditions = Conditions(names, [text])
        used = self._conditions.names_in(0)
        self.properties = tuple(name for name in used if name not in (TYPE, CHANNEL))
        self._position, self._width = names.position, len(names.position)
        self._answers: dict[tuple[Any, ...], bool] = {}

    def holds(self, event_type: str, channel: str, properties: Mapping[str, Any]) -> bool:
        values = (event_type, channel, *[properties.get(name) for name in self.properties])
        found = self._answers.get(values)
        if found is None:
            if len(self._answers) >= REMEMBERED_ANSWERS:
                self._answers.clear()
            found = self._answers[values] = self._evaluated(values)
        return found

    def _evaluated(self, values: tuple[Any, ...]) -> bool:
        numbers, texts = np.full(self._width, nan), {TYPE: values[0], CHANNEL: values[1]}
        for name, value in zip(self.properties, values[2:], strict=True):
            if name not in self._position:
                texts[name] = None if value is None else str(value)
            elif isinstance(value, int | float) and isfinite(value):
                numbers[self._position[name]] = value
        return bool(self._conditions.holds(numbers, texts)[0])


def _type_rules(
    name: str, event: EventType, domain: Domain, ends_when: _EndsWhen | None
) -> _TypeRules:
    kind = domain.journey_kinds[event.journey]
    used = ends_when.properties if ends_when else ()
    if event.step == "ends" or (used and not any(one in event.properties for one in used)):
        ends_when = None
    effect = StepEffect(event.journey, event.step, None, name == domain.leaving_event)
    case = kind.case if kind.case in event.properties else None
    return _TypeRules(effect, case, ends_when, case is None and ends_when is None)
