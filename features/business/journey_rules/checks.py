"""Checks what a domain file says of journeys against its event types, channels and stages.

Each check collects its mistakes, so that all of them are reported at once. Conditions of personas
speak of features, which the fold knows; `features.journeys.personas` checks them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from features.business.event_types import EventType
from features.business.journey_rules.event_names import event_names, mixed_properties
from features.business.journey_rules.goals import OTHERS, Goal, Persona
from features.business.journey_rules.kinds import (
    LIFECYCLE,
    NODE_PARTS,
    JourneyKind,
    Lifecycle,
    MapRules,
)
from features.business.journey_rules.node_labels import (
    MAX_CHANNELS,
    MAX_KINDS,
    MAX_LABELS,
    MAX_OF_ALL_MAPS,
    OUR_LABELS,
    count_labels,
    labels_of,
)
from features.business.journey_rules.step_checks import StepChecks
from features.business.yaml_mistakes import Mistakes, Where, listed
from features.conditions.impossible import refuse_impossible
from features.errors import InvalidCondition
from features.nearest_names import did_you_mean


class JourneyDomain(Protocol):
    """A domain, which imports this module."""

    @property
    def channels(self) -> tuple[str, ...]: ...
    @property
    def stages(self) -> tuple[str, ...]: ...
    @property
    def events(self) -> dict[str, EventType]: ...
    @property
    def shared_events(self) -> tuple[str, ...]: ...
    @property
    def journeys(self) -> dict[str, JourneyKind]: ...
    @property
    def journey_kinds(self) -> dict[str, JourneyKind]: ...
    @property
    def lifecycle(self) -> Lifecycle: ...
    @property
    def personas(self) -> dict[str, Persona]: ...
    @property
    def leaving_event(self) -> str | None: ...
    @property
    def goals(self) -> dict[str, Goal]: ...
    def events_of(self, kind: str) -> dict[str, EventType]: ...


def check_journeys(domain: JourneyDomain) -> None:
    """Refuse rules of journeys, personas and goals that name what the domain does not have.

    Raises
    ------
    Mistakes
        With all of them.
    """
    mistakes = Mistakes()
    _check_numbers(domain, mistakes)
    _check_names(domain, mistakes)
    steps, number = StepChecks(mistakes), 0
    for name, kind in domain.journey_kinds.items():
        where, events = ("journeys", name), domain.events_of(name)
        if kind.case:
            known = list(dict.fromkeys(key for one in events.values() for key in one.properties))
            mistakes.unknown_value((*where, "case"), kind.case, known)
        _check_ends_when(kind, events, domain.channels, (*where, "ends_when"), mistakes)
        labels = check_map(kind.map, events, domain.channels, (*where, "map"), mistakes)
        steps.check(kind, events, labels, where)
        number += sum(map(len, labels.values()))
    if number > MAX_OF_ALL_MAPS:
        expected = f"maps with at most {MAX_OF_ALL_MAPS:,} nodes together; these make {number:,}"
        mistakes.add("journeys", expected, "Leave out names with many values.")
    where = ("lifecycle", "map")
    labels = check_map(domain.lifecycle.map, domain.events, domain.channels, where, mistakes)
    _check_lifecycle(domain, labels, mistakes)
    _check_goals(domain, mistakes)
    mistakes.refuse()


def check_map(
    rules: MapRules,
    events: Mapping[str, EventType],
    channels: tuple[str, ...],
    where: Where,
    mistakes: Mistakes,
) -> dict[str, tuple[str, ...]]:
    """Collect the mistakes of a map.

    Parameters
    ----------
    events
        The event types whose events are on the map.
    where
        The keys that lead to the map.

    Returns
    -------
    dict of str to tuple of str
        The labels of each type of event; empty if there are too many to list them.
    """
    categories = {
        name: None
        for event in events.values()
        for name, known in event.properties.items()
        if known.type == "category"
    }
    mistakes.unknown((*where, "node"), rules.node, [*NODE_PARTS, *categories])
    for name in dict.fromkeys(rules.node):
        if rules.node.count(name) > 1:
            mistakes.add((*where, "node"), f"each name once; {name} stands there twice")
    number = count_labels(rules, events, channels)
    if number > MAX_LABELS:
        expected = f"names that make at most {MAX_LABELS:,} nodes; these make up to {number:,}"
        mistakes.add((*where, "node"), expected, "Leave out a name with many values.")
        return {}
    own = labels_of(rules.model_copy(update={"names": {}}), events, channels)
    known_labels = list(dict.fromkeys(label for labels in own.values() for label in labels))
    for label in rules.names:
        if label not in known_labels:
            expected = f"the present name of a node, one of {listed(known_labels)}"
            mistakes.add((*where, "names", label), expected, did_you_mean([label], known_labels))
    labels = labels_of(rules, events, channels)
    for label in OUR_LABELS:
        if any(label in some for some in labels.values()):
            mistakes.add((*where, "names"), f"another name for the node {label}; this one is ours")
    return labels


def _check_numbers(domain: JourneyDomain, mistakes: Mistakes) -> None:
    """Collect more channels or kinds of journey than the analytics can number."""
    channels, kinds = len(domain.channels), len(domain.journey_kinds)
    if channels > MAX_CHANNELS:
        mistakes.add("channels", f"at most {MAX_CHANNELS} channels; these are {channels:,}")
    if kinds > MAX_KINDS:
        expected = f"events of at most {MAX_KINDS} kinds of journey; these name {kinds:,}"
        mistakes.add("events", expected)


def _check_lifecycle(
    domain: JourneyDomain, labels: Mapping[str, tuple[str, ...]], mistakes: Mistakes
) -> None:
    """Collect names of shown actions, silences and leaving that another node has, too.

    The leaving event may have the name of leaving. Files from before there was a lifecycle do not
    name these steps, and may have an event of such a name.
    """
    own = domain.lifecycle
    for key, label in (("shown", own.shown), ("silent", own.silent), ("left", own.left)):
        types = [name for name, some in labels.items() if label in some]
        if label in OUR_LABELS:
            mistakes.add(("lifecycle", key), "another name; this one is ours")
        elif types and own.model_fields_set and (key, types) != ("left", [domain.leaving_event]):
            expected = f"another name than that of a node of the event {types[0]}"
            mistakes.add(("lifecycle", key), expected)


def _check_names(domain: JourneyDomain, mistakes: Mistakes) -> None:
    """Collect names that are ours, stages that are not declared, and promises of two kinds."""
    if len(domain.stages) > len(set(domain.stages)):
        mistakes.add("stages", "each stage once")
    if LIFECYCLE in domain.journeys:
        ours = "another name; the map of all kinds of journeys together is called so"
        mistakes.add(("journeys", LIFECYCLE), ours)
    for name, event in domain.events.items():
        if event.journey == LIFECYCLE:
            ours = "another name; the map of all kinds of journeys together is called so"
            mistakes.add(("events", name, "journey"), ours)
        if event.stage not in domain.stages and name in domain.shared_events:
            # The stage may stand in the vocabulary, which is another file.
            expected = f"{event.stage} among them, the stage of the event {name}"
            mistakes.add("stages", expected)
        elif event.stage not in domain.stages:
            mistakes.unknown_value(("events", name, "stage"), event.stage, domain.stages)
    if OTHERS in domain.personas:
        mistakes.add(("personas", OTHERS), "another name; it is that of all other customers")
    first: dict[str, str] = {}
    for kind, described in domain.journey_kinds.items():
        for index, expected_way in enumerate(described.expected):
            for name in expected_way.promises:
                if first.setdefault(name, kind) != kind:
                    where = ("journeys", kind, "expected", index, "promises", name)
                    mistakes.add(where, f"a name that only one kind has; {first[name]} has it, too")


def _check_ends_when(
    kind: JourneyKind,
    events: Mapping[str, EventType],
    channels: tuple[str, ...],
    where: Where,
    mistakes: Mistakes,
) -> None:
    """Collect a condition that cannot be read, or that can never hold."""
    if kind.ends_when is None:
        return
    from features.conditions.expressions import Reader  # its library takes 0.4 s to import

    names = event_names(events, channels)
    try:
        term = Reader(names).condition(kind.ends_when)
        refuse_impossible(kind.ends_when, term, names)
    except InvalidCondition as error:
        for name in mixed_properties(events):  # which are no names, but may stand in a text
            if re.search(rf"\b{name}\b", error.wrong):
                kinds = "a number in one event type and a text in another"
                mistakes.add(where, f"other names than {name}, {kinds}")
                return
        mistakes.add(where, f"{error.expected}; the present one {error.wrong}", error.remedy)


def _check_goals(domain: JourneyDomain, mistakes: Mistakes) -> None:
    for name, goal in domain.goals.items():
        where = ("goals", name, "of")
        if goal.of.persona and goal.of.persona != OTHERS:
            mistakes.unknown_value((*where, "persona"), goal.of.persona, domain.personas)
        if goal.of.journey and goal.of.journey != LIFECYCLE:
            mistakes.unknown_value((*where, "journey"), goal.of.journey, domain.journey_kinds)
