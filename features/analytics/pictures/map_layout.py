"""Places of the nodes of a map: they follow from the domain file, and are the same for each filter.

A stage is a block of columns and a lane is a block of rows, so two maps of one kind of journey lie
on each other node by node. The steps of the expected way stand in the first row of their block, in
their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

from features.analytics.views.maps.journey_map import MapNode
from features.analytics.views.relations import OTHER_STEPS_LABEL
from features.business.domain import Domain
from features.business.journey_rules.kinds import LIFECYCLE, OPTIONAL

# The blocks beside the stages: shown decisions, steps that the map counts together, and silences.
DECISIONS, OTHERS, AWAY = "decisions", "others", "away"
ROWS = 4  # of a block, before it gets another column


@dataclass(frozen=True, slots=True)
class Block:
    """Columns or rows that belong together.

    Attributes
    ----------
    title : str
        A stage, or a lane.
    first, size : int
        The first of its columns or rows, and how many it has.
    """

    title: str
    first: int
    size: int


@dataclass(frozen=True)
class MapLayout:
    """The places of the nodes of one map.

    Attributes
    ----------
    stages, lanes : tuple of Block
        From the left, and from the top.
    places : dict
        Column and row of each node, by its label.
    way : tuple of str
        The nodes of the expected way that no journey may leave out, in their order.
    """

    stages: tuple[Block, ...]
    lanes: tuple[Block, ...]
    places: dict[str, tuple[int, int]]
    way: tuple[str, ...] = ()

    @property
    def columns(self) -> int:
        """The number of columns between START and END."""
        return self.stages[-1].first + self.stages[-1].size if self.stages else 1

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.lanes[-1].first + self.lanes[-1].size if self.lanes else 1


def lay_out(domain: Domain, map_name: str, nodes: Sequence[MapNode]) -> MapLayout:
    """Place the nodes of a map, which are the same for each filter.

    Parameters
    ----------
    nodes
        Those of `JourneyMap`, in the order of the domain file.
    """
    way = _way(domain, map_name, nodes)
    stage_of = {one.label: _stage(domain, one) for one in nodes}
    lane_of = {one.label: one.lane or "" for one in nodes}
    order = (DECISIONS, *domain.stages, OTHERS, AWAY)
    stages = [name for name in order if name in stage_of.values()]
    order = (*domain.channels, "internal", "external", "peripheral", "")
    lanes = [name for name in order if name in lane_of.values()]
    cells: dict[tuple[str, str], list[str]] = {
        (stage, lane): [] for stage in stages for lane in lanes
    }
    # The steps of the expected way come first, then the others as in the domain file.
    for label in sorted(stage_of, key=lambda label: way.get(label, len(stage_of) + 1)):
        cells[stage_of[label], lane_of[label]].append(label)
    widths = [max(_width(cells[stage, lane], way) for lane in lanes) for stage in stages]
    heights = [
        max(
            ceil(len(cells[stage, lane]) / size) for stage, size in zip(stages, widths, strict=True)
        )
        for lane in lanes
    ]
    columns, rows = _blocks(stages, widths), _blocks(lanes, heights)
    places = {
        label: (column.first + at % column.size, row.first + at // column.size)
        for column in columns
        for row in rows
        for at, label in enumerate(cells[column.title, row.title])
    }
    return MapLayout(columns, rows, places, tuple(sorted(way, key=way.__getitem__)))


def _way(domain: Domain, map_name: str, nodes: Sequence[MapNode]) -> dict[str, int]:
    """Number the nodes that no expected journey leaves out; the way names nodes or types."""
    kind = None if map_name == LIFECYCLE else domain.journey_kinds[map_name]
    expected = kind.expected[-1].way if kind and kind.expected else ()
    steps = {step: at for at, step in enumerate(expected) if not step.endswith(OPTIONAL)}
    named = {
        one.label: [steps[name] for name in (one.label, *one.types) if name in steps]
        for one in nodes
    }
    return {label: min(at) for label, at in named.items() if at}


def _stage(domain: Domain, node: MapNode) -> str:
    if node.label == OTHER_STEPS_LABEL:
        return OTHERS
    if node.stage is not None:
        return node.stage
    return DECISIONS if node.label == domain.lifecycle.shown else AWAY


def _width(labels: Sequence[str], way: Mapping[str, int]) -> int:
    rows = max(ROWS, round(sqrt(len(labels))))
    return max(1, ceil(len(labels) / rows), sum(label in way for label in labels))


def _blocks(titles: Sequence[str], sizes: Sequence[int]) -> tuple[Block, ...]:
    first, blocks = 0, []
    for title, size in zip(titles, sizes, strict=True):
        blocks.append(Block(title, first, size))
        first += size
    return tuple(blocks)
