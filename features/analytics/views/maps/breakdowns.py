"""Journeys broken down by what was known of the customer when each began; unknown is a part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from features.analytics.histogram import median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.tables import ATTRIBUTE, HOWS
from features.analytics.views import relations
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.options import read_options
from features.analytics.views.relations import Relation
from features.errors import InvalidRequest, quoted

COLUMNS = ("persona", "account", "entry_channel", "start_day")  # and the attributes
MOST_PARTS = 400


@dataclass(frozen=True, slots=True)
class Part:
    """The journeys with one value; None: it was unknown when they began.

    Attributes
    ----------
    value : str or None
    journeys : Number
    share : float
        Of all journeys.
    how : mapping of str to Number
        The journeys by how they ended: ended, left, lapsed, open.
    median_s, p90_s : float or None
        Percentiles of the time from the first step to the last one, of journeys that ended.
    """

    value: str | None
    journeys: Number
    share: float
    how: Mapping[str, Number]
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The parts of all journeys; with ``others`` they add up to them.

    Attributes
    ----------
    map, by : str
    journeys : Number
    parts : tuple of Part
        The most frequent first; days in their order.
    others : Number
        Journeys with another value than these.
    distinct : int
        The number of different values, unknown included.
    """

    map: str
    by: str
    journeys: Number
    parts: tuple[Part, ...]
    others: Number
    distinct: int


class PartsShown(BaseModel):
    """The options of the relation `ranked`: so many values of a column are listed one by one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    shown: int = Field(ge=1, le=MOST_PARTS)


def column_of(data: JourneyData, by: str) -> str:
    """Return the column of journeys that a breakdown names.

    Raises
    ------
    InvalidRequest
        If there is no such attribute.
    """
    if by in COLUMNS:
        return by
    if by not in data.domain.attributes:
        raise InvalidRequest(
            f"by is {quoted(by)}.",
            expected=f"one of {', '.join([*COLUMNS, *data.domain.attributes][:40])}",
            remedy="Name one of them.",
        )
    return f"{ATTRIBUTE}{by}"


def ranked(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """One row for each journey; ``is_shown`` is 1 if its value is one of the most frequent."""
    known = read_options(PartsShown, options)
    plain, column = relations.journeys(data, wanted), column_of(data, known.by)
    sql = (
        f'SELECT j.*, is_shown FROM ({plain.sql}) j JOIN (SELECT "{column}" AS value, '
        f'(row_number() OVER (ORDER BY count(*) DESC, "{column}") <= {known.shown})::TINYINT '
        f"AS is_shown FROM ({plain.sql}) GROUP BY 1) r "
        f'ON j."{column}" IS NOT DISTINCT FROM r.value'
    )
    return replace(plain, name="breakdown", sql=sql, parameters=plain.parameters * 2)


def breakdown(data: JourneyData, wanted: JourneyFilter, by: str, limit: int = 50) -> Breakdown:
    """Count the journeys by what was known when each began.

    Parameters
    ----------
    by
        An attribute, ``persona``, ``account``, ``entry_channel``, or ``start_day``.
    limit
        So many values are listed one by one, at most `MOST_PARTS`.

    Raises
    ------
    InvalidRequest
        If the filter or ``by`` names something that the domain file does not have, or the limit is
        wrong.
    """
    options = {"by": by, "shown": limit}
    column = column_of(data, by)
    relation = ranked(data, wanted, options)
    found = relation.counted(data, ["is_shown", column, "how", "time_bucket"])
    values = [relation.told(data, column, value) for value in found[column].tolist()]
    number = Numbers(relations.journeys(data, wanted), wanted).number
    total, shown = int(found["n"].sum()), found["is_shown"] == 1
    places: dict[str | None, list[int]] = {}
    for place in np.flatnonzero(shown).tolist():
        places.setdefault(values[place], []).append(place)
    parts = []
    for value, rows in places.items():
        counts = _Counts(found["how"][rows], found["time_bucket"][rows], found["n"][rows])
        how = {
            name: number(counts.how(code), {column: value, "how": name})
            for code, name in enumerate(HOWS)
        }
        made = number(counts.total, {column: value})
        parts.append(Part(value, made, counts.total / total, how, *counts.times()))
    others = int(found["n"][~shown].sum())
    return Breakdown(
        map=wanted.map,
        by=by,
        journeys=number(total),
        parts=tuple(sorted(parts, key=_by_day if by == "start_day" else _by_number)),
        others=Numbers(relation, wanted, options).number(others, {"is_shown": 0}),
        distinct=len(set(values)),
    )


class _Counts(NamedTuple):
    """Journeys of a part, counted by how they ended and by their time."""

    hows: NDArray[np.integer]
    buckets: NDArray[np.integer]
    n: NDArray[np.integer]

    @property
    def total(self) -> int:
        return int(self.n.sum())

    def how(self, code: int) -> int:
        return int(self.n[self.hows == code].sum())

    def times(self) -> tuple[float | None, float | None]:
        """Return the median and the 90th percentile of the time of those that ended."""
        ended = self.hows == HOWS.index("ended")
        return median_p90_s(self.buckets[ended], self.n[ended])


def _by_day(part: Part) -> str:
    return str(part.value)


def _by_number(part: Part) -> tuple[int, bool, str]:
    return -part.journeys.n, part.value is None, str(part.value)
