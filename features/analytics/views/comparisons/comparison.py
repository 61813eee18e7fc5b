"""The difference of two maps: two periods, or two kinds of customers.

The share of a transition is its part of the visits of the node it comes from; see `onward` for the
visits, and `share_differences` for what is taken for chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

from features.analytics.journey_data import JourneyData
from features.analytics.views import relations
from features.analytics.views.comparisons.difference_words import difference_words
from features.analytics.views.comparisons.onward import ComparisonDefinition, edge_sums, onward
from features.analytics.views.comparisons.share_differences import (
    FALSE_DISCOVERIES,
    adjusted_p_values,
    share_differences,
)
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.options import told_options
from features.analytics.views.relations import Value, node_label
from features.errors import InvalidRequest, quoted


@dataclass(frozen=True)
class ComparedEdge:
    """A transition on both maps.

    Attributes
    ----------
    source, target : str
        Labels, also START and END.
    before, after : Number or None
        Transitions on each map; None: that map is the expected way.
    share_before, share_after : float or None
        The part of the visits of the source that went on to the target; None: it had no visits.
    difference, low, high : float or None
        ``share_after - share_before`` with its interval of 95 %; None if it cannot be told.
    p_value, adjusted : float or None
        Of no difference; and adjusted for the number of transitions (Benjamini and Yekutieli).
        None: too few customers or transitions to test it.
    is_changed : bool
        True if ``adjusted`` is at most 5 %.
    words : str
        The difference in a sentence.
    """

    source: str
    target: str
    before: Number | None
    after: Number
    share_before: float | None
    share_after: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    adjusted: float | None
    is_changed: bool
    words: str


@dataclass(frozen=True)
class MapComparison:
    """Two maps that lie on each other.

    Attributes
    ----------
    before, after : Number or None
        Journeys on each map; None: that map is the expected way.
    edges : tuple of ComparedEdge
        All transitions of both maps: the changed ones first, by the size of the difference.
    tested : int
        Transitions that were tested.
    """

    map: str
    before: Number | None
    after: Number
    edges: tuple[ComparedEdge, ...]
    tested: int


def compare_maps(
    data: JourneyData,
    before: JourneyFilter,
    after: JourneyFilter,
    definition: ComparisonDefinition | None = None,
) -> MapComparison:
    """Compare the transitions of two filters of one map.

    Raises
    ------
    InvalidRequest
        If the filters are of two maps, or name something that the domain file does not have.
    """
    if before.map != after.map:
        raise InvalidRequest(
            f"map is {quoted(before.map)} before and {quoted(after.map)} after.",
            expected="the same map in both filters",
            remedy="Compare journeys of one kind, or lifecycles.",
        )
    definition = definition or ComparisonDefinition()
    sides = onward(data, before, definition), onward(data, after, definition)
    sources, targets, sums = edge_sums(data, *sides)
    found = share_differences(sums)
    columns = (
        *(sums.xb, sums.xa, found.share_b, found.share_a, found.difference, found.low, found.high),
        *(found.p_value, adjusted_p_values(found.p_value)),
    )
    options = told_options(definition)
    number_b = Numbers(sides[0], before, options).number
    number_a = Numbers(sides[1], after, options).number
    edges = []
    for source, target, *values in zip(sources, targets, *columns, strict=True):
        labels = node_label(data, int(source)), node_label(data, int(target))
        where: dict[str, Value] = {"from": labels[0], "to": labels[1], "is_in_time": 1}
        counts = number_b(values[0], where), number_a(values[1], where)
        edges.append(_edge(labels, counts, [_known(value) for value in values[2:]]))
    return MapComparison(
        map=after.map,
        before=_journeys(data, before),
        after=_journeys(data, after),
        edges=tuple(sorted(edges, key=edge_order)),
        tested=sum(edge.p_value is not None for edge in edges),
    )


def _edge(
    labels: tuple[str, str], counts: tuple[Number, Number], values: list[float | None]
) -> ComparedEdge:
    share_b, share_a, difference, low, high, p_value, adjusted = values
    is_changed = adjusted is not None and adjusted <= FALSE_DISCOVERIES
    interval = None
    if difference is not None and low is not None and high is not None:
        interval = difference, low, high
    return ComparedEdge(
        source=labels[0],
        target=labels[1],
        before=counts[0],
        after=counts[1],
        share_before=share_b,
        share_after=share_a,
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        adjusted=adjusted,
        is_changed=is_changed,
        words=difference_words(*labels, interval, adjusted is not None, is_changed),
    )


def _journeys(data: JourneyData, wanted: JourneyFilter) -> Number:
    relation = relations.journeys(data, wanted)
    return Numbers(relation, wanted).number(relation.count(data, {}))


def _known(value: float) -> float | None:
    return None if isnan(value) else float(value)


def edge_order(edge: ComparedEdge) -> tuple[bool, float, int]:
    """Sort the changed edges first, by the size of the difference, then the frequent ones."""
    size = abs(edge.difference or 0) if edge.is_changed else 0.0
    return not edge.is_changed, -size, -edge.after.n
