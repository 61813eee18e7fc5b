"""The map of journeys: its nodes, all transitions between them, and how long they take.

Three units are counted and never mixed: visits (of a node by a journey, each time), journeys, and
customers. Nothing is left out without its count: rare nodes are one node "other steps", rare
transitions are counted as "other ways" of the node they come from. Times come from the one
histogram.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.analytics.histogram import median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.nodes import END_LABEL, START_LABEL
from features.analytics.tables import END, HOWS, NO_CHANNEL, START
from features.analytics.views import relations
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.maps import drawn as drawn_relations
from features.analytics.views.maps.drawn import DrawnAs, drawn_codes
from features.analytics.views.maps.edge_counts import EdgeCounts
from features.analytics.views.options import read_options
from features.analytics.views.relations import OTHER_STEPS, Relation, node_label


@dataclass(frozen=True, slots=True)
class MapNode:
    """A node of a map; its place (stage and lane) is the same for every filter.

    Attributes
    ----------
    label : str
    stage : str or None
        The column of the map.
    lane : str or None
        The row: the channel of most visits in all data of the map, or the touchpoint.
    types : tuple of str
        The types of event that it stands for.
    visits : Number
    journeys : Number
        Journeys that visited it, however often.
    entries, exits : Number
        Transitions from START to it, and from it to END.
    bounces : Number
        Journeys of one step, which is this one.
    loops : Number
        Transitions from the node to itself.
    """

    label: str
    stage: str | None
    lane: str | None
    types: tuple[str, ...]
    visits: Number
    journeys: Number
    entries: Number
    exits: Number
    bounces: Number
    loops: Number


@dataclass(frozen=True, slots=True)
class MapEdge:
    """A transition of a map; the source may be START, the target END, either "other steps".

    Attributes
    ----------
    n : Number
    share : float
        Of the visits of the source; of all journeys for START.
    median_s, p90_s : float or None
        Percentiles of the time between the two steps; None from START and to END.
    """

    source: str
    target: str
    n: Number
    share: float
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class OtherWays:
    """The rare transitions from a node, counted together.

    Attributes
    ----------
    kinds : int
        The number of different transitions.
    n : Number
        All of them.
    """

    source: str
    kinds: int
    n: Number
    share: float


@dataclass(frozen=True, slots=True)
class JourneyMap:
    """A map of journeys.

    Attributes
    ----------
    map : str
    journeys, customers, steps : Number
        ``steps`` are all visits of nodes that are not hidden.
    how : mapping of str to Number
        Journeys by how they ended: ended, left, lapsed, open.
    median_s, p90_s : float or None
        Percentiles of the time from the first step to the last one, of journeys that ended.
    nodes : tuple of MapNode
        The most visited ones in all data, in the order of the domain file; then "other steps".
    bundled_nodes : tuple of str
        The labels that are drawn as "other steps".
    edges : tuple of MapEdge
        The most frequent first.
    other_ways : tuple of OtherWays
    bundled : Number
        All rare transitions. All transitions are ``transitions``: those of ``edges`` and these.
    transitions : Number
    hidden : tuple of str
    """

    map: str
    journeys: Number
    customers: Number
    steps: Number
    how: Mapping[str, Number]
    median_s: float | None
    p90_s: float | None
    nodes: tuple[MapNode, ...]
    bundled_nodes: tuple[str, ...]
    edges: tuple[MapEdge, ...]
    other_ways: tuple[OtherWays, ...]
    bundled: Number
    transitions: Number
    hidden: tuple[str, ...]


def journey_map(
    data: JourneyData,
    wanted: JourneyFilter,
    at_most: int | None = None,
    hidden: Sequence[str] = (),
    at_least: int = 1,
    most_edges: int | None = None,
) -> JourneyMap:
    """Count a map.

    Parameters
    ----------
    at_most
        So many nodes are drawn one by one; None: as many as the domain file says.
    hidden
        Labels of nodes that are left out, as if their steps had not been recorded. Journeys and
        times stay as they are.
    at_least
        Transitions that are rarer are counted together.
    most_edges
        At most so many transitions are told one by one, unless more are equally frequent; the
        others are counted together.

    Raises
    ------
    InvalidRequest
        If the filter or ``hidden`` names something that the map does not have, or a number is
        below 1.
    """
    whole = relations.journeys(data, wanted)
    rules = data.nodes.rules_of(wanted.map)
    most = rules.at_most if at_most is None else at_most
    drawn = read_options(DrawnAs, {"at_most": most, "hidden": hidden, "at_least": at_least})
    shown, others = drawn_codes(data, wanted.map, drawn)
    if not others:
        drawn = drawn.model_copy(update={"at_most": None})
    counts = EdgeCounts(data, wanted, drawn, most_edges)
    places = sorted(shown) + [OTHER_STEPS] * bool(others)
    edges, ways = _edges(data, counts)
    customers = relations.customers(data, wanted)
    how: dict[int, int] = dict(whole.counts(data, ["how"]))
    number = Numbers(whole, wanted).number
    median_s, p90_s = _times_of_ended(data, whole)
    return JourneyMap(
        map=wanted.map,
        journeys=number(sum(how.values())),
        customers=Numbers(customers, wanted).number(customers.count(data, {})),
        steps=Numbers(counts.steps, wanted, counts.options).number(counts.n() - counts.n(START)),
        how={name: number(how.get(code, 0), {"how": name}) for code, name in enumerate(HOWS)},
        median_s=median_s,
        p90_s=p90_s,
        nodes=_nodes(data, counts, places, _lanes(data, wanted.map)),
        bundled_nodes=tuple(data.nodes.label(code) for code in others),
        edges=edges,
        other_ways=ways,
        bundled=counts.number(sum(one.n.n for one in ways), {"is_rare": 1}),
        transitions=counts.number(counts.n(), {}),
        hidden=tuple(hidden),
    )


def _times_of_ended(data: JourneyData, whole: Relation) -> tuple[float | None, float | None]:
    times = whole.counted(data, ["how", "time_bucket"])
    ended = times["how"] == HOWS.index("ended")
    return median_p90_s(times["time_bucket"][ended], times["n"][ended])


def _edges(
    data: JourneyData, counts: EdgeCounts
) -> tuple[tuple[MapEdge, ...], tuple[OtherWays, ...]]:
    """Return the transitions that are drawn one by one, and the others by their source."""
    edges, rare = [], defaultdict(list)
    order = np.lexsort((counts.targets, counts.sources, -counts.counts))
    for place in order.tolist():
        source, target, n = (
            int(of[place]) for of in (counts.sources, counts.targets, counts.counts)
        )
        if n < counts.at_least:
            rare[source].append(n)
            continue
        names = node_label(data, source), node_label(data, target)
        number = counts.number(n, {"from": names[0], "to": names[1]})
        edges.append(MapEdge(*names, number, n / counts.n(source), *counts.times(place)))
    ways = []
    for source, each in rare.items():
        name, n = node_label(data, source), sum(each)
        number = counts.number(n, {"from": name, "is_rare": 1})
        ways.append(OtherWays(name, len(each), number, n / counts.n(source)))
    return tuple(edges), tuple(ways)


def _nodes(
    data: JourneyData, counts: EdgeCounts, places: Sequence[int], lanes: Mapping[int, str | None]
) -> tuple[MapNode, ...]:
    wanted, options = counts.wanted, counts.options
    by_journey = drawn_relations.visited(data, wanted, options)
    journeys: dict[int, int] = dict(by_journey.counts(data, ["node"]))
    whole = drawn_relations.journeys(data, wanted, options)
    short = replace(whole, sql=f"SELECT entry FROM ({whole.sql}) WHERE steps = 1")
    bounces: dict[int, int] = dict(short.counts(data, ["entry"]))
    visits = Numbers(counts.steps, wanted, options).number
    visited = Numbers(by_journey, wanted, options).number
    bounced = Numbers(whole, wanted, options).number
    nodes = []
    for code in places:
        label = node_label(data, code)
        known = None if code == OTHER_STEPS else data.nodes.node(code)
        nodes.append(
            MapNode(
                label=label,
                stage=known.stage if known else None,
                lane=lanes.get(code),
                types=known.types if known else (),
                visits=visits(counts.n(code), {"node": label}),
                journeys=visited(journeys.get(code, 0), {"node": label}),
                entries=counts.number(counts.n(START, code), {"from": START_LABEL, "to": label}),
                exits=counts.number(counts.n(code, END), {"from": label, "to": END_LABEL}),
                bounces=bounced(bounces.get(code, 0), {"steps": 1, "entry": label}),
                loops=counts.number(counts.n(code, code), {"from": label, "to": label}),
            )
        )
    return tuple(nodes)


def _lanes(data: JourneyData, map_name: str) -> dict[int, str | None]:
    """Return the lane of each node that somebody visited; a filter changes none."""
    rules = data.nodes.rules_of(map_name)
    if rules.lanes == "none":
        return {}
    if rules.lanes == "touchpoint":
        return {one.code: one.touchpoint for one in data.nodes.of_map(map_name)}
    all_steps = relations.steps(data, JourneyFilter(map=map_name))
    found = [
        (n, -channel, node)
        for node, channel, n in all_steps.counts(data, ["node", "channel"])
        if channel != NO_CHANNEL
    ]
    return {node: data.nodes.channels[-channel] for _, channel, node in sorted(found)}
