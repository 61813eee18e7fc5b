"""Checks that expected ways and promises name steps that the journey can have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from features.business.event_types import EventType
from features.business.journey_rules.kinds import OPTIONAL, JourneyKind
from features.business.journey_rules.node_labels import labels_of
from features.business.journey_rules.promises import Promise
from features.business.yaml_mistakes import Mistakes, Where, listed
from features.nearest_names import did_you_mean

Labels = Mapping[str, tuple[str, ...]]


class Journeys(Protocol):
    """The part of a domain that `check_address` reads; `domain` imports this module."""

    @property
    def channels(self) -> tuple[str, ...]: ...
    @property
    def journey_kinds(self) -> dict[str, JourneyKind]: ...
    def events_of(self, kind: str) -> dict[str, EventType]: ...


class StepChecks:
    """Collects the mistakes of expected ways and promises.

    A step is named by its type of event, or by the label of its node on the map of the kind.
    """

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes

    def check(
        self, kind: JourneyKind, events: Mapping[str, EventType], labels: Labels, where: Where
    ) -> None:
        """Collect the mistakes of one kind of journey.

        Parameters
        ----------
        events
            The event types of the kind.
        labels
            The labels of each of these types on the map of the kind.
        where
            The keys that lead to the kind.
        """
        known = step_names(events, labels)
        for index, expected in enumerate(kind.expected):
            above = (*where, "expected", index)
            for place, step in enumerate(expected.way):
                if step not in known and step.removesuffix(OPTIONAL) not in known:
                    name = step.removesuffix(OPTIONAL)
                    self._mistakes.unknown_value((*above, "way", place), name, known)
            for name, promise in expected.promises.items():
                at = (*above, "promises", name)
                for key, step in promise.steps.items():
                    self._mistakes.unknown_value((*at, key), step, known)
                self._check_property(promise, events, labels, at)

    def _check_property(
        self, promise: Promise, events: Mapping[str, EventType], labels: Labels, where: Where
    ) -> None:
        """The time of a promise can stand in a text or a number of the event that starts it."""
        if promise.within is None or promise.after is None:
            return
        meant = types_of_step(promise.after, events, labels)
        found = {name: known for one in meant for name, known in events[one].properties.items()}
        times = [name for name, known in found.items() if known.type != "category"]
        if meant and promise.within.property not in times:
            expected = f"a text or a number of {' or '.join(meant)} that tells the time"
            near = did_you_mean([promise.within.property], times)
            self._mistakes.add((*where, "within", "property"), expected, near)


def step_names(events: Mapping[str, EventType], labels: Labels) -> tuple[str, ...]:
    """List all names of steps: the types of events, then the labels of nodes."""
    nodes = (label for name in events for label in labels.get(name, ()))
    return tuple(dict.fromkeys([*events, *nodes]))


def types_of_step(step: str, events: Mapping[str, EventType], labels: Labels) -> tuple[str, ...]:
    """List the types of events that a step of this name can be of."""
    return tuple(name for name in events if name == step or step in labels.get(name, ()))


def check_address(domain: Journeys, named: str, where: Where, mistakes: Mistakes) -> None:
    """Collect what an action addresses if it is no kind of journey, promise or step of one.

    Parameters
    ----------
    named
        A kind such as ``delivery``, or a promise, a type of event or a node of it, such as
        ``delivery.on_time``.
    where
        The keys that lead to the text in the catalogue.
    """
    name, dot, rest = named.partition(".")
    kind = domain.journey_kinds.get(name)
    if kind is None:
        expected = f"a kind of journey, one of {listed(domain.journey_kinds)}"
        near = did_you_mean([name], domain.journey_kinds)
        mistakes.add(where, f"{expected}, with or without .<promise or step> behind it", near)
    elif dot:
        events = domain.events_of(name)
        steps = step_names(events, labels_of(kind.map, events, domain.channels))
        promises = [one for expected in kind.expected for one in expected.promises]
        known = list(dict.fromkeys([*promises, *steps]))
        if rest not in known:
            expected = f"{name}. and a promise or a step of it: one of {listed(known)}"
            mistakes.add(where, expected, did_you_mean([rest], known))
