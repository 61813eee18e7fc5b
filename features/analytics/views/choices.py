"""The values that the filter of journeys can have: what a page offers to choose from."""

from __future__ import annotations

from dataclasses import dataclass

from features.analytics.nodes import MapNodes
from features.analytics.tables import HOWS
from features.business.domain import Domain
from features.business.journey_rules.goals import OTHERS


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """The values that `JourneyFilter` can have.

    Attributes
    ----------
    maps : tuple of str
        The kinds of journeys, and the lifecycle.
    channels, personas, hows : tuple of str
        Personas are empty if the domain file names none.
    attributes : dict
        The values of each attribute that is a category.
    """

    maps: tuple[str, ...]
    channels: tuple[str, ...]
    personas: tuple[str, ...]
    hows: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]


def filter_choices(domain: Domain, nodes: MapNodes) -> FilterChoices:
    """List the values that the filter can have for a business."""
    return FilterChoices(
        maps=nodes.maps,
        channels=domain.channels,
        personas=(*domain.personas, OTHERS) if domain.personas else (),
        hows=HOWS,
        attributes={name: one.values for name, one in domain.attributes.items() if one.values},
    )
