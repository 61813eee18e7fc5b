"""Tells what each event does to the journeys of its customer, and the labels of its two steps.

For most types of event all of it follows from type and channel, so it is computed once. The
properties of an event are read from their JSON only if its node, its case, ``ends_when`` or the
time of a promise asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from features.analytics.cut.journey_log import StepLabel, StepLabels
from features.analytics.nodes import MapNodes
from features.analytics.tables import EVENT
from features.business.domain import Domain
from features.business.journey_rules.kinds import LIFECYCLE
from features.business.journey_rules.node_labels import node_properties
from features.journeys.journey_steps import Step, StepRules

REMEMBERED = 10_000  # pairs of labels by the values that name their nodes


class EventEffect(NamedTuple):
    """The effect of an event on the journeys of its customer.

    Attributes
    ----------
    kind : int
        The kind of journey, by its number among the maps.
    step, case, leaves
        As of `journey_steps.StepEffect`.
    label, life_label : int
        Numbers of the labels of its steps on the map of the kind, and of the lifecycle.
    keeps : bool
        True if the customer counts as present for some time from it on.
    told : dict or None
        Its properties if a promise reads a time from them.
    """

    kind: int
    step: Step
    case: str | None
    leaves: bool
    label: int
    life_label: int
    keeps: bool
    told: dict[str, Any] | None


class EventReader:
    """Computes the effects of the events of one type on one channel.

    Attributes
    ----------
    effect : EventEffect or None
        The same for all of them; None if their properties have to be read.
    """

    def __init__(self, rules: EventReaders, type_name: str, channel: str) -> None:
        self._rules, self._type, self._channel = rules, type_name, channel
        event = rules.domain.events[type_name]
        names = [
            *node_properties(rules.nodes.rules_of(event.journey), event),
            *node_properties(rules.nodes.rules_of(LIFECYCLE), event),
        ]
        self._names = tuple(dict.fromkeys(names))
        self._is_told = not rules.told[event.journey].isdisjoint(event.properties)
        self._labels: dict[tuple[Any, ...], tuple[int, int]] = {}
        asks = names or self._is_told or rules.steps.asks_properties(type_name)
        self.effect = None if asks else self._effect({})

    def read(self, properties: str | bytes) -> EventEffect:
        """Compute the effect of one event from its properties (JSON)."""
        return self._effect(from_json(properties))

    def _effect(self, properties: dict[str, Any]) -> EventEffect:
        effect = self._rules.steps.effect(self._type, self._channel, properties)
        assert effect is not None  # type and channel are known
        values = tuple([properties.get(name) for name in self._names])
        labels = self._labels.get(values)
        if labels is None:
            if len(self._labels) >= REMEMBERED:
                self._labels.clear()
            labels = self._labels[values] = self._numbers(effect.kind, properties)
        keeps = self._type == self._rules.keeps if self._rules.keeps else True
        told = properties if self._is_told else None
        kind = self._rules.kinds[effect.kind]
        return EventEffect(kind, effect.step, effect.case, effect.leaves, *labels, keeps, told)

    def _numbers(self, kind: str, properties: Mapping[str, Any]) -> tuple[int, int]:
        nodes = self._rules.nodes
        channel, of_type = nodes.channels.index(self._channel), nodes.type_code(self._type)
        kind_label, life_label = (
            self._rules.labels.number(
                StepLabel(
                    nodes.map_code(name),
                    nodes.event_code(name, self._type, self._channel, properties),
                    channel,
                    EVENT,
                    of_type,
                )
            )
            for name in (kind, LIFECYCLE)
        )
        return kind_label, life_label


class EventReaders(dict[tuple[str, str], EventReader | None]):
    """The readers of events by type and channel; None for those that the domain has not.

    Attributes
    ----------
    kinds : dict
        The numbers of the kinds of journey.
    keeps : str or None
        The type of event without which a customer leaves in the course of time; None: any type.
    told : dict
        By kind, the properties from which promises read a time.
    """

    def __init__(self, domain: Domain, nodes: MapNodes, labels: StepLabels) -> None:
        super().__init__()
        self.domain, self.nodes, self.labels = domain, nodes, labels
        self.steps = StepRules(domain)
        self.kinds = {name: nodes.map_code(name) for name in domain.journey_kinds}
        churn = domain.churn
        self.keeps = churn.event if churn and domain.leaving_event is None else None
        self.told = {
            name: {
                promise.within.property
                for expected in kind.expected
                for promise in expected.promises.values()
                if promise.within is not None
            }
            for name, kind in domain.journey_kinds.items()
        }

    def __missing__(self, key: tuple[str, str]) -> EventReader | None:
        type_name, channel = key
        known = type_name in self.domain.events and channel in self.domain.channels
        self[key] = EventReader(self, type_name, channel) if known else None
        return self[key]
