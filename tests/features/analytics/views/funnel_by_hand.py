"""Walks journeys through a funnel one by one and step by step, to check the walk by arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from features.analytics.journey_data import JourneyData
from features.analytics.tables import HOWS
from features.analytics.views.funnels.funnel_definition import FunnelDefinition, FunnelStepRule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVER = 10**18


@dataclass
class OneWalk:
    """One journey: the names (label, type) and the times of its steps, and how it ended."""

    names: list[tuple[str, str]]
    times: list[int]
    how: str
    over_us: int
    row: int = -1
    furthest: int = 0
    stopped: str | None = None
    taken: dict[int, int] = field(default_factory=dict)

    def walk(self, definition: FunnelDefinition) -> None:
        since, waiting = self.times[0], list[tuple[int, FunnelStepRule]]()
        for place, rule in enumerate(definition.steps, 1):
            if rule.optional:
                waiting.append((place, rule))
                continue
            until = EVER if rule.window_us is None else since + rule.window_us
            exclude = definition.exclude if self.furthest else ()
            came, limit = self._wait(rule.name, until, exclude)
            self._take_optional(waiting, limit, since)
            if self.stopped is not None:
                return
            self.row, self.furthest, since, waiting = came, place, self.times[came], []
            self.taken[place] = since
        self._take_optional(waiting, len(self.names), since)

    def _wait(self, name: str, until: int, exclude: Sequence[str]) -> tuple[int, int]:
        for later in range(self.row + 1, len(self.names)):
            if self.times[later] > until:
                self.stopped = "too_late"
                return -1, later
            if name in self.names[later]:
                return later, later
            if {*exclude} & {*self.names[later]}:
                self.stopped = "excluded"
                return -1, later
        self.stopped = "too_late" if until < self.over_us else self.how
        return -1, len(self.names)

    def _take_optional(
        self, waiting: Sequence[tuple[int, FunnelStepRule]], limit: int, since: int
    ) -> None:
        row = self.row
        for place, rule in waiting:
            until = EVER if rule.window_us is None else since + rule.window_us
            rows = [n for n in range(row + 1, limit) if rule.name in self.names[n]]
            if rows and self.times[rows[0]] <= until:
                row = rows[0]
                self.taken[place] = self.times[row]


def walked_by_hand(data: JourneyData, definition: FunnelDefinition) -> dict[str, tuple[Any, ...]]:
    """Return by journey the furthest step, what stopped it, the node after, and all times."""
    rows = data.rows(
        "SELECT j.journey, how, end_us, list(s.node ORDER BY seq), list(s.type ORDER BY seq), "
        "list(s.at_us ORDER BY seq) FROM journeys j JOIN steps s USING (journey) WHERE j.map = ? "
        "GROUP BY ALL",
        [data.nodes.map_code("buying")],
    )
    found = {}
    for journey, how, end_us, nodes, types, times in rows:
        labels = [data.nodes.label(node) for node in nodes]
        names = [(label, data.nodes.types[kind]) for label, kind in zip(labels, types, strict=True)]
        one = OneWalk(names, times, HOWS[how], data.as_of_us if end_us is None else end_us)
        one.walk(definition)
        after = [*labels, "END"][one.row + 1]
        told = [_told(one.taken.get(place)) for place in range(1, len(definition.steps) + 1)]
        found[str(journey)] = (one.furthest, one.stopped, after, *told)
    return found


def _told(at_us: int | None) -> str | None:
    return None if at_us is None else (EPOCH + timedelta(microseconds=at_us)).isoformat()
