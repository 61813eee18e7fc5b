"""The maps of a business and their nodes, each with a number that follows from the domain file.

So a number means the same in every file that was written for that domain, and two maps lie on each
other node by node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.analytics.tables import END, NO_TYPE, START
from features.business.domain import Domain
from features.business.event_types import EventType
from features.business.journey_rules.kinds import LIFECYCLE, MapRules
from features.business.journey_rules.node_labels import event_label, labels_of

START_LABEL, END_LABEL = "START", "END"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a map.

    Attributes
    ----------
    code : int
        Its number, unique over all maps.
    map : str
        A kind of journey, or ``lifecycle``.
    label : str
        As the domain file names it; unique on its map.
    types : tuple of str
        The types of event that have it; none for shown actions, silences and leaving.
    stage, touchpoint : str or None
        Those of its first type.
    """

    code: int
    map: str
    label: str
    types: tuple[str, ...]
    stage: str | None
    touchpoint: str | None


class MapNodes:
    """All maps of a business, with their nodes.

    Attributes
    ----------
    maps, types, channels : tuple of str
        A number in the columns is a place here.
    fingerprint : str
        Of all numbers: files that were written with another one cannot be read.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.maps = (*domain.journey_kinds, LIFECYCLE)
        self.types, self.channels = tuple(domain.events), domain.channels
        self._nodes: list[Node] = []
        self._codes: dict[tuple[str, str], int] = {}
        for name in self.maps:
            self._add_map(name)
        named = [f"{one.map} {one.label}" for one in self._nodes]
        text = "\n".join([*self.maps, *self.types, *self.channels, *named])
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]

    def map_code(self, name: str) -> int:
        """Return the number of a map."""
        return self.maps.index(name)

    def rules_of(self, name: str) -> MapRules:
        """Return how a map is drawn."""
        if name == LIFECYCLE:
            return self._domain.lifecycle.map
        return self._domain.journey_kinds[name].map

    def events_of(self, name: str) -> dict[str, EventType]:
        """Return the types of event on a map."""
        known = self._domain.events
        return {
            type_name: event
            for type_name, event in known.items()
            if name in (LIFECYCLE, event.journey)
        }

    def of_map(self, name: str) -> list[Node]:
        """List the nodes of a map, in the order of the domain file."""
        return [node for node in self._nodes if node.map == name]

    def code(self, name: str, label: str) -> int:
        """Return the number of a node of a map; also of START and END.

        Raises
        ------
        KeyError
            If the map has no such node.
        """
        if label in (START_LABEL, END_LABEL):
            return START if label == START_LABEL else END
        return self._codes[name, label]

    def label(self, code: int) -> str:
        """Return the label of a node by its number."""
        if code >= START:
            return START_LABEL if code == START else END_LABEL
        return self._nodes[code].label

    def node(self, code: int) -> Node:
        """Return a node by its number."""
        return self._nodes[code]

    def codes_named(self, name: str, step: str) -> frozenset[int]:
        """Return the nodes of a map that a step names by a label; empty if it names a type."""
        return frozenset(one.code for one in self.of_map(name) if one.label == step)

    def type_code(self, type_name: str) -> int:
        """Return the number of a type of event; `NO_TYPE` if there is none."""
        return self.types.index(type_name) if type_name in self.types else NO_TYPE

    def event_code(
        self, name: str, type_name: str, channel: str, properties: Mapping[str, Any]
    ) -> int:
        """Return the number of the node of an event on a map."""
        event, rules = self._domain.events[type_name], self.rules_of(name)
        return self._codes[name, event_label(rules, type_name, event, channel, properties)]

    def _add_map(self, name: str) -> None:
        events, rules = self.events_of(name), self.rules_of(name)
        types_of: dict[str, list[str]] = {}
        for type_name, labels in labels_of(rules, events, self.channels).items():
            for label in labels:
                types_of.setdefault(label, []).append(type_name)
        if name == LIFECYCLE:
            own = self._domain.lifecycle
            for given in (own.shown, own.silent, own.left):
                if given is not None:
                    types_of.setdefault(given, [])
        for label, types in types_of.items():
            first = events[types[0]] if types else None
            stage, touchpoint = (first.stage, first.touchpoint) if first else (None, None)
            code = len(self._nodes)
            self._codes[name, label] = code
            self._nodes.append(Node(code, name, label, tuple(types), stage, touchpoint))
