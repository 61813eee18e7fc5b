"""The time until journeys take a step, with those that are still open counted right.

A journey waits from its start, or from another step. Then it converts, or it ends without (a
competing risk), or it is still open at the moment up to which all is counted (censored). The share
that has converted by a time is estimated by `cumulative_incidence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from features.analytics.histogram import bucket_sql, median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.tables import HOWS
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.funnels.cumulative_incidence import (
    CENSORED,
    CONVERTED,
    STOPPED,
    cumulative_incidence,
)
from features.analytics.views.funnels.funnel_definition import Matches, StepOrStage, matches
from features.analytics.views.funnels.funnel_walk import NEVER, first_after
from features.analytics.views.journey_arrays import journey_arrays
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.options import read_options, told_options
from features.analytics.views.relations import Coded, Relation
from features.business.journey_rules.promises import DAY_US

STATES = ("waiting", "converted", "stopped")  # each at the place of its number
MOST_POINTS = 120  # of a curve
# Between two points of a curve: minutes to months.
APART_DAYS = (1 / 1440, 5 / 1440, 1 / 24, 0.25, 1.0, 7.0, 28.0, 364.0, 3640.0, 36_400.0)


class ConversionDefinition(BaseModel):
    """From where journeys wait for what.

    Without ``since`` they wait from their start, and their first step may be the one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: StepOrStage
    since: StepOrStage | None = None


@dataclass(frozen=True)
class ConversionDay:
    """The share of journeys that have converted by a day after the beginning of the wait.

    Attributes
    ----------
    day : float
    share, low, high : float
        With its interval of 95 %.
    stopped_share : float
        The part that ended without.
    at_risk : int
        Journeys that have waited for longer than that.
    is_complete : bool
        False if some journey is open and has not waited so long yet: the share is an estimate.
    """

    day: float
    share: float
    low: float
    high: float
    stopped_share: float
    at_risk: int
    is_complete: bool


@dataclass(frozen=True)
class ConversionTimes:
    """Tells how long journeys take to a step.

    Attributes
    ----------
    journeys : Number
        Those that waited: all of the filter, or those that took the first step.
    converted, stopped, waiting : Number
        They sum to ``journeys``.
    curve : tuple of ConversionDay
        In equal distances from 0, until the last journey converted.
    complete_until_day : float or None
        Up to there no journey is censored, so the curve is the plain share; None: all of it.
    median_s, p90_s : float or None
        Seconds of those that converted, from the one histogram.
    half_by_day : float or None
        The day by which half of all have converted by the curve; None: not reached.
    """

    map: str
    journeys: Number
    converted: Number
    stopped: Number
    waiting: Number
    curve: tuple[ConversionDay, ...]
    complete_until_day: float | None
    median_s: float | None
    p90_s: float | None
    half_by_day: float | None


def conversion_times(
    data: JourneyData, wanted: JourneyFilter, definition: ConversionDefinition
) -> ConversionTimes:
    """Estimate the share of journeys that have taken a step by each day.

    Raises
    ------
    InvalidRequest
        If the filter or the definition names something that the map does not have.
    """
    relation = _relation(data, wanted, definition)
    numbers = Numbers(relation, wanted, told_options(definition))
    counts = dict(relation.counts(data, ["state"]))
    converted, stopped, waiting = (
        numbers.number(counts.get(state, 0), {"state": state})
        for state in ("converted", "stopped", "waiting")
    )
    waits = relation.counted(data, ["wait_bucket"], "count(*) FILTER (state = 'converted') AS n")
    curve, complete_us, half_us = _curve(relation)
    return ConversionTimes(
        wanted.map,
        numbers.number(sum(counts.values())),
        converted,
        stopped,
        waiting,
        curve,
        None if complete_us is None else complete_us / DAY_US,
        *median_p90_s(waits["wait_bucket"], waits["n"]),
        None if half_us is None else half_us / DAY_US,
    )


def conversion_relation(
    data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]
) -> Relation:
    """Return one row for each journey that waited; at_us is when it began to wait.

    The columns are state (one of `STATES`) and until_us: when it converted, ended without, or was
    seen last.

    Raises
    ------
    InvalidRequest
        If the options are no `ConversionDefinition`, or if a name is unknown.
    """
    return _relation(data, wanted, read_options(ConversionDefinition, options))


def _relation(
    data: JourneyData, wanted: JourneyFilter, definition: ConversionDefinition
) -> Relation:
    filtered(data, wanted)  # its errors come first
    to = matches(data, wanted.map, "to", definition.to)
    since = None
    if definition.since is not None:
        since = matches(data, wanted.map, "since", definition.since)
    arrays = journey_arrays(data, wanted, Matches.either([to, *([since] if since else [])]))
    row, begin = arrays.first - 1, arrays.start_us
    if since is not None:
        row, begin = first_after(arrays.at_us, arrays.rows_of(since), row, arrays.after)
    waited = begin != NEVER
    row, begin, after = row[waited], begin[waited], arrays.after[waited]
    table = arrays.table.filter(pa.array(waited))
    came_us = first_after(arrays.at_us, arrays.rows_of(to), row, after)[1]
    is_open = arrays.how[waited] == HOWS.index("open")
    state = np.where(came_us != NEVER, CONVERTED, np.where(is_open, CENSORED, STOPPED))
    until = np.where(came_us != NEVER, came_us, arrays.closed_us(data.as_of_us)[waited])
    columns = {
        "journey": table["journey"],
        "customer_id": table["customer_id"],
        "at_us": pa.array(begin),
        "how": table["how"],
        "state": pa.DictionaryArray.from_arrays(pa.array(state.astype(np.uint8)), pa.array(STATES)),
        "until_us": pa.array(until),
    }
    sql = f"SELECT *, {bucket_sql('(until_us - at_us)')} AS wait_bucket FROM computed"
    coded: dict[str, Coded] = {"journey": "number", "how": "how"}
    return Relation("conversion", sql, (), coded, wanted.map, computed=pa.table(columns))


def _curve(
    relation: Relation,
) -> tuple[tuple[ConversionDay, ...], int | None, int | None]:
    """Return the points, the shortest wait of an open journey, and when half have converted."""
    table = relation.computed
    assert table is not None
    waits = table["until_us"].to_numpy() - table["at_us"].to_numpy()
    state = table["state"].combine_chunks().indices.to_numpy()
    estimate = cumulative_incidence(waits, state)
    converted, open_waits = waits[state == CONVERTED], waits[state == CENSORED]
    complete_us = int(open_waits.min()) if len(open_waits) else None
    half = np.flatnonzero(estimate.share >= 0.5)
    half_us = int(estimate.times[half[0]]) if len(half) else None
    last = int(converted.max()) / DAY_US if len(converted) else 0.0
    apart = next(days for days in APART_DAYS if last <= days * MOST_POINTS)
    days = np.arange(ceil(last / apart) + 1) * apart
    at_us = np.round(days * DAY_US).astype(np.int64)
    beyond = len(waits) - np.searchsorted(np.sort(waits), at_us, side="right")
    is_complete = at_us <= (NEVER if complete_us is None else complete_us)
    columns = (days, *estimate.at(at_us), beyond, is_complete)
    rows = zip(*(values.tolist() for values in columns), strict=True)
    return tuple(ConversionDay(*row) for row in rows), complete_us, half_us
