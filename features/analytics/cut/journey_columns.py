"""Writes cut journeys of many customers into columns; see `tables` for the columns."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from features.analytics.cut.cut_journey import CutJourney, Step
from features.analytics.histogram import NO_BUCKET, buckets
from features.analytics.nodes import MapNodes
from features.analytics.tables import (
    ATTRIBUTE,
    DUE,
    END,
    EVENT,
    HOWS,
    NO_CHANNEL,
    NO_TYPE,
    journeys_schema,
    steps_schema,
    told_promises,
)
from features.business.domain import Domain
from features.business.journey_rules.goals import OTHERS

JOURNEY_BITS = 20  # of the number of a journey: its place among those of the customer
# Attributes and persona of a customer at a time, microseconds since 1970.
AsOf = Callable[[int], tuple[Mapping[str, str], str]]


def customer_number(customer_id: str) -> int:
    """Return the upper 44 bits of the numbers of a customer's journeys."""
    digest = hashlib.blake2b(customer_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> JOURNEY_BITS


def nothing_known(at_us: int) -> tuple[Mapping[str, str], str]:
    """Return no attributes, and the persona of others, for every time."""
    return {}, OTHERS


def told_us(value: Any) -> int | None:
    """Read the time that a property tells, in microseconds since 1970; None if it tells none.

    It is a text such as 2026-11-22T10:00:00+01:00, or a number of seconds since 1970.
    """
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return None if at.tzinfo is None else round(at.timestamp() * 1e6)
        return round(float(value) * 1e6)
    except (TypeError, ValueError, OverflowError):
        return None


class JourneyColumns:
    """Collects the journeys of customers, and makes the two tables of them."""

    def __init__(self, domain: Domain, nodes: MapNodes) -> None:
        self._domain, self._nodes = domain, nodes
        self._channels = {name: index for index, name in enumerate(nodes.channels)}
        self._types = {name: index for index, name in enumerate(nodes.types)}
        self._maps = {name: index for index, name in enumerate(nodes.maps)}
        self._told = told_promises(domain)
        self.journeys_schema, self.steps_schema = journeys_schema(domain), steps_schema(domain)
        self._journeys: dict[str, list[Any]] = {name: [] for name in self.journeys_schema.names}
        self._steps: dict[str, list[Any]] = {name: [] for name in self.steps_schema.names}

    def add(
        self,
        customer_id: str,
        account: str | None,
        journeys: Sequence[CutJourney],
        as_of: AsOf = nothing_known,
    ) -> None:
        """Add the journeys of one customer, in their order.

        Parameters
        ----------
        as_of
            Tells the attributes and the persona of the customer at the start of each journey.
        """
        number = customer_number(customer_id) << JOURNEY_BITS
        preferred = _Preferred(journeys, self._channels)
        for place, journey in enumerate(journeys):
            attributes, persona = as_of(journey.start_us)
            steps, kind = journey.steps, self._domain.journey_kinds.get(journey.map)
            expected = kind.expected_at(journey.start_us) if kind else None
            row = {
                "journey": number | place,
                "customer_id": customer_id,
                "account": account,
                "map": self._maps[journey.map],
                "case": journey.case,
                "start_us": journey.start_us,
                "end_us": journey.end_us,
                "last_us": steps[-1].at_us,
                "how": HOWS.index(journey.how),
                "entry": steps[0].node,
                "exit": steps[-1].node,
                "steps": len(steps),
                "events": sum(step.what == EVENT for step in steps),
                "path": journey.path,
                "entry_channel": self._channel(steps[0]),
                "preferred_channel": preferred.at(journey.start_us),
                "persona": persona,
                "version": expected.version if expected else None,
                "due_us": journey.due_us,
            }
            row |= {f"{ATTRIBUTE}{name}": attributes.get(name) for name in self._domain.attributes}
            for name, value in row.items():
                self._journeys[name].append(value)
            self._add_steps(number | place, customer_id, journey)

    def _add_steps(self, number: int, customer_id: str, journey: CutJourney) -> None:
        columns, last = self._steps, len(journey.steps) - 1
        kind = self._domain.journey_kinds.get(journey.map)
        expected = kind.expected_at(journey.start_us) if kind else None
        for seq, step in enumerate(journey.steps):
            columns["journey"].append(number)
            columns["customer_id"].append(customer_id)
            columns["map"].append(self._maps[journey.map])
            columns["seq"].append(seq)
            columns["node"].append(step.node)
            columns["next_node"].append(END if seq == last else journey.steps[seq + 1].node)
            columns["at_us"].append(step.at_us)
            gap = None if seq == last else journey.steps[seq + 1].at_us - step.at_us
            columns["gap_bucket"].append(gap)
            columns["channel"].append(self._channel(step))
            columns["what"].append(step.what)
            columns["type"].append(NO_TYPE if step.type is None else self._types[step.type])
            for name in self._told:
                promise = expected.promises.get(name) if expected else None
                within = promise.within if promise else None
                value = (step.properties or {}).get(within.property) if within else None
                columns[f"{DUE}{name}"].append(told_us(value))

    def _channel(self, step: Step) -> int:
        return NO_CHANNEL if step.channel is None else self._channels[step.channel]

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Return journeys and steps, and begin anew."""
        gaps = self._steps["gap_bucket"]
        known = np.array([gap is not None for gap in gaps], bool)
        found = np.full(len(gaps), NO_BUCKET, np.uint16)
        found[known] = buckets(np.array([gap for gap in gaps if gap is not None], np.int64))
        steps = {**self._steps, "gap_bucket": found}
        made = (
            pa.table(self._journeys, schema=self.journeys_schema),
            pa.table(steps, schema=self.steps_schema),
        )
        self._journeys = {name: [] for name in self._journeys}
        self._steps = {name: [] for name in self._steps}
        return made


class _Preferred:
    """The channel of most of a customer's events before a time."""

    def __init__(self, journeys: Sequence[CutJourney], channels: Mapping[str, int]) -> None:
        events = sorted(
            (step.at_us, channels[step.channel])
            for journey in journeys
            if journey.map == "lifecycle"
            for step in journey.steps
            if step.what == EVENT and step.channel is not None
        )
        self._events, self._taken = events, 0
        self._counts: Counter[int] = Counter()

    def at(self, at_us: int) -> int:
        """Return the channel before a time; the times of the calls rise."""
        while self._taken < len(self._events) and self._events[self._taken][0] < at_us:
            self._counts[self._events[self._taken][1]] += 1
            self._taken += 1
        most = self._counts.most_common(2)
        if not most or (len(most) == 2 and most[0][1] == most[1][1]):
            return NO_CHANNEL
        return most[0][0]
