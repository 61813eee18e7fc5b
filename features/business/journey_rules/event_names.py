"""The names that a condition on an event may use, such as the ``ends_when`` of a journey.

They are the ``type`` and the ``channel`` of the event, and the properties that the event types of
the kind have. A category or a text is a text in a condition, and a number is a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from features.business.event_types import EventType, Property
from features.conditions.names import Names
from features.conditions.terms import Kind

TYPE, CHANNEL = "type", "channel"  # the names that are no properties
EXPECTED = "a property of an event of this kind of journey, or type, or channel"


def event_names(events: Mapping[str, EventType], channels: Sequence[str]) -> Names:
    """Collect the names, their kinds, and the values and bounds that the domain file declares.

    Parameters
    ----------
    events
        The event types of one kind of journey, by name. A property that is a number in one of them
        and a text in another one is left out; `mixed_properties` lists these.
    """
    kinds: dict[str, Kind] = {TYPE: "text", CHANNEL: "text"}
    values: dict[str, tuple[str, ...]] = {TYPE: tuple(events), CHANNEL: tuple(channels)}
    ranges: dict[str, tuple[float, float]] = {}
    mixed = mixed_properties(events)
    for name, all_of_it in _properties(events).items():
        if name in mixed:
            continue
        kinds[name] = _kind(all_of_it[0])
        if all(one.type == "category" for one in all_of_it):
            values[name] = tuple(dict.fromkeys(text for one in all_of_it for text in one.values))
        if kinds[name] == "number":
            low = min(-inf if one.min is None else one.min for one in all_of_it)
            high = max(inf if one.max is None else one.max for one in all_of_it)
            ranges[name] = low, high
    return Names(kinds, values, ranges, EXPECTED)


def mixed_properties(events: Mapping[str, EventType]) -> tuple[str, ...]:
    """List the properties that are a number in one event type and a text in another one."""
    found = _properties(events).items()
    return tuple(name for name, all_of_it in found if len({_kind(one) for one in all_of_it}) > 1)


def _properties(events: Mapping[str, EventType]) -> dict[str, list[Property]]:
    found: dict[str, list[Property]] = {}
    for event in events.values():
        for name, known in event.properties.items():
            found.setdefault(name, []).append(known)
    return found


def _kind(known: Property) -> Kind:
    return "number" if known.type == "number" else "text"
