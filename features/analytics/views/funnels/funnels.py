"""Funnels: how many journeys take some steps in their order, what stops the others, and when.

Journeys are counted by their start: those that the filter selects enter the funnel, whenever they
took its steps. Of each journey one number is kept, its furthest required step. So the journeys that
reached a step are those that reached the next one and those that something stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.analytics.histogram import buckets, median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.funnels.funnel_definition import (
    FunnelDefinition,
    FunnelStepRule,
    Matches,
    matches,
)
from features.analytics.views.funnels.funnel_walk import (
    NEVER,
    STOPS,
    THROUGH,
    Walked,
    WalkedJourneys,
    WalkedStep,
    walk,
)
from features.analytics.views.journey_arrays import JourneyArrays, journey_arrays
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.options import read_options, told_options
from features.analytics.views.relations import Coded, Relation


@dataclass(frozen=True)
class FunnelStep:
    """A step of a funnel.

    Attributes
    ----------
    name : str
        Its node, type of event, or stage.
    optional : bool
        True if journeys go on without it; nothing stops there.
    reached : Number
        Journeys that took it.
    share : float or None
        The part of all journeys that took it; None if there are none.
    stopped : mapping
        What stopped the journeys that took this required step and not the next one: a number for
        each of `STOPS`. ``ended``, ``left``, ``lapsed``: the journey was over before the window
        was. ``open``: it may still go on. ``too_late``: the window was over first. ``excluded``: an
        excluded step came first. Empty for the last required step and for optional ones.
    next_instead : tuple of (label, Number)
        Where those went next, the most frequent first; END: nowhere. Its sum is that of
        ``stopped``.
    median_s, p90_s : float or None
        Seconds since the required step before it, or since the start of the journey.
    """

    name: str
    optional: bool
    reached: Number
    share: float | None
    stopped: Mapping[str, Number]
    next_instead: tuple[tuple[str, Number], ...]
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True)
class Funnel:
    """Journeys along the steps of a funnel.

    Attributes
    ----------
    journeys : Number
        All journeys of the filter.
    stopped, next_instead
        Those of the journeys that did not take the first required step; see `FunnelStep`.
    steps : tuple of FunnelStep
    median_s, p90_s : float or None
        Seconds from the first required step to the last one, of the journeys that took all.
    """

    map: str
    journeys: Number
    stopped: Mapping[str, Number]
    next_instead: tuple[tuple[str, Number], ...]
    steps: tuple[FunnelStep, ...]
    median_s: float | None
    p90_s: float | None


def funnel(data: JourneyData, wanted: JourneyFilter, definition: FunnelDefinition) -> Funnel:
    """Count journeys along the steps of a funnel.

    Raises
    ------
    InvalidRequest
        If the filter or the definition names something that the map does not have.
    """
    relation, walked = _walked(data, wanted, definition)
    numbers = Numbers(relation, wanted, told_options(definition))
    stopped = _Stopped(data, relation, numbers, definition)
    total = relation.count(data, {})
    steps = []
    for place, rule in enumerate(definition.steps, 1):
        where = {f"reached_{place}": 1}
        reached = numbers.number(relation.count(data, where), where)
        times = walked.times[place - 1], walked.since[place - 1]
        steps.append(
            FunnelStep(
                rule.name,
                rule.optional,
                reached,
                reached.n / total if total else None,
                *stopped.after(place),
                *_median_and_p90(*times),
            )
        )
    first, last = definition.required[0], definition.required[-1]
    whole = _median_and_p90(walked.times[last - 1], walked.times[first - 1])
    return Funnel(wanted.map, numbers.number(total), *stopped.after(0), tuple(steps), *whole)


def funnel_relation(
    data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]
) -> Relation:
    """Return one row for each journey of a funnel; at_us is its start.

    The columns are furthest (place of the last required step that it took; 0: none), stopped (one
    of `STOPS`; null: nothing), next (the node after that step), and for each place of a step
    reached_1 (0 or 1) and step_1_us (when; null: never).

    Raises
    ------
    InvalidRequest
        If the options are no `FunnelDefinition`, or if a name is unknown.
    """
    return _walked(data, wanted, read_options(FunnelDefinition, options))[0]


def _walked(
    data: JourneyData, wanted: JourneyFilter, definition: FunnelDefinition
) -> tuple[Relation, Walked]:
    filtered(data, wanted)  # its errors come first
    rules = [
        (matches(data, wanted.map, f"steps.{place}", rule), rule)
        for place, rule in enumerate(definition.steps)
    ]
    excluded = [
        matches(data, wanted.map, f"exclude.{place}", FunnelStepRule(step=name))
        for place, name in enumerate(definition.exclude)
    ]
    barred = Matches.either(excluded)
    arrays = journey_arrays(data, wanted, Matches.either([barred, *(found for found, _ in rules)]))
    steps = [
        WalkedStep(arrays.rows_of(found), rule.window_us, rule.optional) for found, rule in rules
    ]
    journeys = WalkedJourneys(
        arrays.first,
        arrays.after,
        arrays.at_us,
        arrays.start_us,
        arrays.how,
        arrays.closed_us(data.as_of_us),
    )
    walked = walk(journeys, steps, arrays.rows_of(barred))
    return _relation(wanted.map, arrays, walked), walked


def _relation(map_name: str, arrays: JourneyArrays, walked: Walked) -> Relation:
    columns = {
        "journey": arrays.table["journey"],
        "customer_id": arrays.table["customer_id"],
        "at_us": arrays.table["start_us"],
        "how": arrays.table["how"],
        "furthest": pa.array(walked.furthest),
        "stopped": pa.DictionaryArray.from_arrays(
            pa.array(walked.stopped, mask=walked.stopped == THROUGH), pa.array(STOPS)
        ),
        "next": pa.array(arrays.node_after(walked.row)),
    }
    reached = []
    for place, times in enumerate(walked.times, 1):
        name = f"step_{place}_us"
        columns[name] = pa.array(times, mask=times == NEVER)
        reached.append(f"({name} IS NOT NULL)::INTEGER AS reached_{place}")
    sql = f"SELECT *, {', '.join(reached)} FROM computed"
    coded: dict[str, Coded] = {"journey": "number", "how": "how", "next": "node"}
    return Relation("funnel", sql, (), coded, map_name, computed=pa.table(columns))


class _Stopped:
    """Counts what stopped journeys after each place, and where they went."""

    def __init__(
        self,
        data: JourneyData,
        relation: Relation,
        numbers: Numbers,
        definition: FunnelDefinition,
    ) -> None:
        self._numbers, self._before_last = numbers, (0, *definition.required)[:-1]
        self._stops = {
            (place, stop): n for place, stop, n in relation.counts(data, ["furthest", "stopped"])
        }
        self._nexts = [
            (place, relation.told(data, "next", node), n)
            for place, node, n in relation.counts(data, ["furthest", "next"])
        ]

    def after(self, place: int) -> tuple[dict[str, Number], tuple[tuple[str, Number], ...]]:
        if place not in self._before_last:
            return {}, ()
        stopped = {
            stop: self._numbers.number(
                self._stops.get((place, stop), 0), {"furthest": place, "stopped": stop}
            )
            for stop in STOPS
        }
        found = sorted((-n, label) for furthest, label, n in self._nexts if furthest == place)
        nexts = (
            (label, self._numbers.number(-n, {"furthest": place, "next": label}))
            for n, label in found
        )
        return stopped, tuple(nexts)


def _median_and_p90(
    times: NDArray[np.int64], since: NDArray[np.int64]
) -> tuple[float | None, float | None]:
    took = times != NEVER
    found, counts = np.unique(buckets(times[took] - since[took]), return_counts=True)
    return median_p90_s(found, counts)
