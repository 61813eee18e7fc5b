"""The transitions of a map, counted by source, target and time."""

from __future__ import annotations

import numpy as np

from features.analytics.histogram import NO_BUCKET, median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Numbers
from features.analytics.views.maps import drawn as drawn_relations
from features.analytics.views.maps.drawn import DrawnAs
from features.analytics.views.options import told_options


class EdgeCounts:
    """The transitions of a map, counted in one query.

    Attributes
    ----------
    sources, targets, counts : shape (n_kinds,)
        Nodes and numbers of the different transitions, in the order of the nodes.
    steps : Relation
        The visits of the nodes as they are drawn.
    at_least : int
        Transitions that are rarer are counted together.
    options : dict
        Those of the relations of this map.
    number
        Makes a `Number` of transitions.
    """

    def __init__(
        self, data: JourneyData, wanted: JourneyFilter, drawn: DrawnAs, most: int | None = None
    ) -> None:
        self.wanted = wanted
        plain = told_options(drawn.model_copy(update={"at_least": 1}))
        relation = drawn_relations.transitions(data, wanted, plain)
        found = relation.counted(data, ["from", "to", "gap_bucket"])
        both = found["from"].astype(np.int64) << 16 | found["to"].astype(np.int64)
        pairs, begins = np.unique(both, return_index=True)  # rows come in the order of the pairs
        self.sources, self.targets = pairs >> 16, pairs & 0xFFFF
        self._buckets, self._n = found["gap_bucket"], found["n"]
        self._ends = np.append(begins, len(both))
        self.counts = np.diff(np.append(0, np.cumsum(self._n))[self._ends]).astype(np.int64)
        self.at_least = max(drawn.at_least, self._rarest_of(most))
        self.options = told_options(drawn.model_copy(update={"at_least": self.at_least}))
        self.steps = drawn_relations.steps(data, wanted, self.options)
        self.number = Numbers(relation, wanted, self.options).number

    def _rarest_of(self, most: int | None) -> int:
        """Return the number that at most so many transitions have, but at least one has."""
        if most is None or len(self.counts) <= most:
            return 1
        ordered = np.sort(self.counts)[::-1]
        return int(min(ordered[most] + 1, ordered[0]))

    def n(self, source: int | None = None, target: int | None = None) -> int:
        """Count the transitions, or those from a node, to a node, or both."""
        chosen = np.ones(len(self.counts), bool)
        if source is not None:
            chosen &= self.sources == source
        if target is not None:
            chosen &= self.targets == target
        return int(self.counts[chosen].sum())

    def times(self, place: int) -> tuple[float | None, float | None]:
        """Return the median and the 90th percentile of the time of a transition, in seconds."""
        rows = slice(self._ends[place], self._ends[place + 1])
        found, counts = self._buckets[rows], self._n[rows]
        known = found != NO_BUCKET
        return median_p90_s(found[known], counts[known])
