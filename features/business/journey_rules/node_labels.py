"""The labels of the nodes of a map: the label of an event, and all labels that events can have.

With ``map: {node: [topic, channel]}`` a call about bills has the label ``bills: phone``. The domain
alone says which labels there are, so each has a fixed code. An event has always one of the labels
that `labels_of` lists for its type, whatever values were once accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from features.business.event_types import EventType
from features.business.journey_rules.kinds import NODE_PARTS, MapRules

BETWEEN = ": "  # the parts of a label
MAX_LABELS = 1000  # of one map
MAX_OF_ALL_MAPS = 60_000  # together; the number of a node has two bytes
# The number of a channel and of a map has one byte; one number says that there is no channel, and
# one map is that of the lifecycle.
MAX_CHANNELS = MAX_KINDS = 255
OUR_LABELS = ("START", "END", "other steps")  # of every map


def other_label(name: str) -> str:
    """Name the values of a property that the domain file does not list (any more)."""
    return f"other {name}"


def node_properties(rules: MapRules, event: EventType) -> tuple[str, ...]:
    """List the properties of the type of event that name its nodes, in the order of ``node``."""
    named = (name for name in rules.node if name not in NODE_PARTS)
    return tuple(
        name for name in named if (at := event.properties.get(name)) and at.type == "category"
    )


def event_label(
    rules: MapRules, type_name: str, event: EventType, channel: str, properties: Mapping[str, Any]
) -> str:
    """Name the node of an event.

    The values that ``node`` asks for are joined in its order. A part that the event lacks is left
    out. If it lacks all properties that ``node`` asks for, its type is its label. At last ``names``
    gives the label another name.

    Parameters
    ----------
    channel
        One of the channels of the domain.
    properties
        Those of the event; a value that is not declared is named ``other <property>``.
    """
    known = node_properties(rules, event)
    values = {
        name: _declared(event, name, str(properties[name]))
        for name in known
        if properties.get(name) is not None
    }
    return _renamed(rules, type_name, _parts(type_name, event, channel) | values)


def labels_of(
    rules: MapRules, events: Mapping[str, EventType], channels: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """List the labels that events of each type can have, in the order of the domain file.

    The values of a property come in their order, then ``other <property>``, then the label without
    that property. Two types may have a label in common: then the map has one node of both.
    """
    return {
        name: tuple(dict.fromkeys(_labels(rules, name, event, channels)))
        for name, event in events.items()
    }


def count_labels(rules: MapRules, events: Mapping[str, EventType], channels: Sequence[str]) -> int:
    """Bound the number of labels from above, without listing them: values times values."""
    total = 0
    for event in events.values():
        number = len(channels) if "channel" in rules.node else 1
        for name in node_properties(rules, event):
            number *= len(event.properties[name].values) + 2
        total += number
    return total


def _labels(
    rules: MapRules, type_name: str, event: EventType, channels: Sequence[str]
) -> Iterator[str]:
    choices: dict[str, tuple[str | None, ...]] = {
        name: (*event.properties[name].values, other_label(name), None)
        for name in node_properties(rules, event)
    }
    used = channels if "channel" in rules.node else channels[:1]
    # The values of the first name in `node` change last, as in a list that is sorted by it.
    names = [name for name in rules.node if name == "channel" or name in choices]
    for values in product(*(used if name == "channel" else choices[name] for name in names)):
        chosen = {name: one for name, one in zip(names, values, strict=True) if one is not None}
        yield _renamed(rules, type_name, _parts(type_name, event, "") | chosen)


def _parts(type_name: str, event: EventType, channel: str) -> dict[str, str]:
    """Tell the parts that are no properties, by their names in `NODE_PARTS`."""
    values = (type_name, channel, event.stage, event.touchpoint)
    return dict(zip(NODE_PARTS, values, strict=True))


def _declared(event: EventType, name: str, value: str) -> str:
    return value if value in event.properties[name].values else other_label(name)


def _renamed(rules: MapRules, type_name: str, found: Mapping[str, str]) -> str:
    asked = [name for name in rules.node if name not in NODE_PARTS]
    parts = [found[name] for name in rules.node if name in found]
    label = BETWEEN.join(parts) if not asked or any(name in found for name in asked) else type_name
    return rules.names.get(label, label)
