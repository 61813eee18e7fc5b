"""The ways of journeys (variants in process mining): equal ones have the same nodes in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from features.analytics.histogram import median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.tables import HOWS
from features.analytics.views import relations
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.options import read_options
from features.analytics.views.relations import Relation, node_label

MOST_WAYS = 1000


@dataclass(frozen=True, slots=True)
class Way:
    """A way, and the journeys that went it.

    Attributes
    ----------
    path : str
        Its number, a hash of its nodes in their order.
    steps : tuple of str
        The labels of its nodes.
    n : Number
        The journeys.
    share : float
        Of all journeys.
    how : mapping of str to Number
        The journeys by how they ended: ended, left, lapsed, open.
    median_s, p90_s : float or None
        Percentiles of the time from the first step to the last one, in seconds.
    """

    path: str
    steps: tuple[str, ...]
    n: Number
    share: float
    how: Mapping[str, Number]
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Ways:
    """The most frequent ways, and the number of journeys that went others.

    Attributes
    ----------
    map : str
    journeys : Number
    ways : tuple of Way
        The most frequent first.
    others : Number
        Journeys that went another way than these.
    distinct : int
        The number of different ways, of all journeys.
    """

    map: str
    journeys: Number
    ways: tuple[Way, ...]
    others: Number
    distinct: int


class WaysShown(BaseModel):
    """The options of the relation `ranked`: so many ways are listed one by one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shown: int = Field(ge=1, le=MOST_WAYS)


def ranked(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """One row for each journey; ``is_shown`` is 1 if its way is one of the most frequent."""
    shown = read_options(WaysShown, options).shown
    plain = relations.journeys(data, wanted)
    most = (
        f"SELECT path FROM ({plain.sql}) GROUP BY path ORDER BY count(*) DESC, path LIMIT {shown}"
    )
    sql = f"SELECT *, (path IN ({most}))::TINYINT AS is_shown FROM ({plain.sql})"
    return replace(plain, name="ways", sql=sql, parameters=plain.parameters * 2)


def ways(data: JourneyData, wanted: JourneyFilter, limit: int = 10) -> Ways:
    """Count the journeys by their ways.

    Parameters
    ----------
    limit
        So many ways are listed one by one, at most `MOST_WAYS`.

    Raises
    ------
    InvalidRequest
        If the filter names something that the domain file does not have, or the limit is wrong.
    """
    options = {"shown": limit}
    others = ranked(data, wanted, options)
    whole = relations.journeys(data, wanted)
    found, n_journeys, distinct = _most_frequent(data, whole, limit)
    steps = _labels(data, [example for _, _, example, *_ in found])
    times = _times(data, whole, [path for path, *_ in found])
    number = Numbers(whole, wanted).number
    listed = []
    for path, n, example, *ends in found:
        text = str(path)
        how = {
            name: number(count, {"path": text, "how": name})
            for name, count in zip(HOWS, ends, strict=True)
        }
        share = n / n_journeys
        made = number(n, {"path": text})
        listed.append(Way(text, steps[example], made, share, how, *times[path]))
    left = n_journeys - sum(one.n.n for one in listed)
    return Ways(
        map=wanted.map,
        journeys=number(n_journeys),
        ways=tuple(listed),
        others=Numbers(others, wanted, options).number(left, {"is_shown": 0}),
        distinct=distinct,
    )


def _most_frequent(
    data: JourneyData, whole: Relation, limit: int
) -> tuple[list[tuple[Any, ...]], int, int]:
    """Return path, number, one journey, and the numbers by how it ended; all journeys; all ways."""
    ends = ", ".join(f"count(*) FILTER (how = {code})" for code in range(len(HOWS)))
    rows = data.rows(
        "SELECT *, sum(n) OVER (), count(*) OVER () FROM (SELECT path, count(*) AS n, "
        f"min(journey), {ends} FROM ({whole.sql}) GROUP BY path) "
        f"ORDER BY n DESC, path LIMIT {limit}",
        whole.parameters,
    )
    if not rows:
        return [], 0, 0
    return [row[:-2] for row in rows], int(rows[0][-2]), int(rows[0][-1])


def _labels(data: JourneyData, journeys: list[int]) -> dict[int, tuple[str, ...]]:
    """Return the labels of the steps of some journeys, in their order."""
    if not journeys:
        return {}
    found: dict[int, list[str]] = {}
    listed = ", ".join(map(str, journeys))
    sql = f"SELECT journey, node FROM steps WHERE journey IN ({listed}) ORDER BY journey, seq"
    for journey, node in data.rows(sql):
        found.setdefault(journey, []).append(node_label(data, node))
    return {journey: tuple(labels) for journey, labels in found.items()}


def _times(
    data: JourneyData, whole: Relation, paths: list[int]
) -> dict[int, tuple[float | None, float | None]]:
    """Return the median and the 90th percentile of the time of some ways, in seconds."""
    if not paths:
        return {}
    listed = ", ".join(map(str, paths))
    some = replace(whole, sql=f"SELECT * FROM ({whole.sql}) WHERE path IN ({listed})")
    counted = some.counted(data, ["path", "time_bucket"])
    return {
        path: median_p90_s(
            counted["time_bucket"][counted["path"] == path], counted["n"][counted["path"] == path]
        )
        for path in paths
    }
