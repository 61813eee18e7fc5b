"""The difference between the expected way of a kind of journey and the map of the real ones.

On the expected map all go along the way. Where an optional step may be left out, a node has several
next ones, and the share of each is not told. Only journeys are compared that are judged by the
version of the way.
"""

from __future__ import annotations

from math import isnan, nan

from features.analytics.journey_data import JourneyData
from features.analytics.tables import END, START
from features.analytics.views import relations
from features.analytics.views.comparisons.comparison import ComparedEdge, MapComparison, edge_order
from features.analytics.views.comparisons.difference_words import deviation_words
from features.analytics.views.comparisons.onward import ComparisonDefinition, edge_sums, onward
from features.analytics.views.comparisons.share_differences import share_intervals
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.funnels.funnel_definition import StepOrStage, matches
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.options import told_options
from features.analytics.views.promised.conformities import way_steps, ways_of
from features.analytics.views.relations import Relation, Value, node_label
from features.business.journey_rules.kinds import Expected
from features.errors import InvalidRequest, quoted

Interval = tuple[float, float, float]
Nexts = dict[int, frozenset[int]]  # of each node on the way, those that may follow


def compare_with_expected(
    data: JourneyData, wanted: JourneyFilter, version: int | None = None
) -> MapComparison:
    """Compare the transitions of journeys with their expected way.

    ``before`` is None everywhere. ``share_before`` is 1 along the way and 0 beside it; it is None
    where the way goes on to one of several nodes, and for nodes that are not on it. An edge
    ``is_changed`` if the interval of its share leaves out the expected one.

    Parameters
    ----------
    version
        That of the way; default: the last one in force.

    Raises
    ------
    InvalidRequest
        If the kind has no such way, or if the filter names something unknown.
    """
    filtered(data, wanted)  # its errors come first
    expected = _expected(data, wanted.map, version)
    nexts = _nexts(data, wanted.map, expected)
    definition = ComparisonDefinition(version=expected.version)
    relation = onward(data, wanted, definition)
    number = Numbers(relation, wanted, told_options(definition)).number
    edges = []
    for (source, target), (n, interval) in _real_edges(data, relation, nexts).items():
        labels = node_label(data, source), node_label(data, target)
        where: dict[str, Value] = {"from": labels[0], "to": labels[1], "is_in_time": 1}
        after = nexts.get(source)
        usual = None
        if after is not None and (after == {target} or target not in after):
            usual = float(target in after)
        edges.append(_edge(labels, number(n, where), usual, interval, after is not None))
    journeys, judged = relations.journeys(data, wanted), {"version": expected.version}
    count = journeys.count(data, judged)
    return MapComparison(
        map=wanted.map,
        before=None,
        after=Numbers(journeys, wanted).number(count, judged),
        edges=tuple(sorted(edges, key=edge_order)),
        tested=0,
    )


def _expected(data: JourneyData, kind: str, version: int | None) -> Expected:
    ways = [one for one in ways_of(data.domain, kind) if one.since_us <= data.as_of_us]
    found = [one for one in ways if version in (None, one.version)]
    if not found:
        known = ", ".join(str(one.version) for one in ways) or "none"
        raise InvalidRequest(
            f"version is {quoted(version)} and map is {quoted(kind)}.",
            expected=f"a version with a way: {known}",
            remedy="Write the 'way' under 'expected' of the journey in the domain file.",
        )
    return found[-1]


def _nexts(data: JourneyData, kind: str, expected: Expected) -> Nexts:
    """Return for each node on the way, and for START, the nodes that may follow."""
    steps = way_steps(data.nodes, kind, expected)
    nodes = [_nodes(data, kind, step.name) for step in steps]
    found: dict[int, set[int]] = {}
    for place, sources in enumerate([frozenset([START]), *nodes]):
        targets: set[int] = set()
        for later in range(place, len(steps)):
            targets |= nodes[later]
            if not steps[later].optional:
                break
        else:
            targets.add(END)
        for source in sources:
            found.setdefault(source, set()).update(targets)
    return {source: frozenset(targets) for source, targets in found.items()}


def _nodes(data: JourneyData, kind: str, name: str) -> frozenset[int]:
    named = matches(data, kind, "way", StepOrStage(step=name))
    types = {data.nodes.types[code] for code in named.types}
    return named.nodes | {one.code for one in data.nodes.of_map(kind) if types & {*one.types}}


def _real_edges(
    data: JourneyData, relation: Relation, nexts: Nexts
) -> dict[tuple[int, int], tuple[int, Interval]]:
    """Count the real transitions, and those of the way that nobody went."""
    sources, targets, sums = edge_sums(data, relation, relation)
    columns = (sources, targets, sums.xa, *share_intervals(sums))
    found: dict[tuple[int, int], tuple[int, Interval]] = {}
    for source, target, n, share, low, high in zip(*(one.tolist() for one in columns), strict=True):
        found[source, target] = int(n), (share, low, high)
    visited = set(sources.tolist())
    for source, after in nexts.items():
        share = 0.0 if source in visited else nan
        for target in after:
            found.setdefault((source, target), (0, (share, share, share)))
    return found


def _edge(
    labels: tuple[str, str], n: Number, usual: float | None, interval: Interval, is_on_way: bool
) -> ComparedEdge:
    share, low, high = interval
    is_known = not isnan(share)  # somebody visited the source
    difference: tuple[float, ...] | tuple[None, ...] = (None, None, None)
    if is_known and usual is not None:
        difference = share - usual, low - usual, high - usual
    return ComparedEdge(
        source=labels[0],
        target=labels[1],
        before=None,
        after=n,
        share_before=usual,
        share_after=share if is_known else None,
        difference=difference[0],
        low=difference[1],
        high=difference[2],
        p_value=None,
        adjusted=None,
        is_changed=is_known and usual is not None and not low <= usual <= high,
        words=deviation_words(*labels, interval if is_known else None, usual, is_on_way),
    )
