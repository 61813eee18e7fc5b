"""The lists behind the numbers of views: all relations by name, their rows and their counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from features.analytics.histogram import NO_BUCKET, middle_us
from features.analytics.journey_data import JourneyData
from features.analytics.tables import DUE
from features.analytics.views import relations
from features.analytics.views.comparisons.onward import onward_relation
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.conversion_times import conversion_relation
from features.analytics.views.funnels.funnels import funnel_relation
from features.analytics.views.funnels.next_journeys import next_relation
from features.analytics.views.lists import ListQuery
from features.analytics.views.maps import breakdowns, channels, drawn, loops, ways
from features.analytics.views.promised.activations import activations
from features.analytics.views.promised.conformities import conformities
from features.analytics.views.relations import Relation
from features.errors import InvalidRequest, quoted

MOST_ROWS = 1000  # of one answer
Maker = Callable[[JourneyData, JourneyFilter, Mapping[str, Any]], Relation]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _plain(maker: Callable[[JourneyData, JourneyFilter], Relation]) -> Maker:
    """Make a relation that has no options."""

    def made(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
        if options:
            raise InvalidRequest(
                f"options are {quoted(dict(options))}.",
                expected="no options for this relation",
                remedy="Send the query of the list as the view returned it.",
            )
        return maker(data, wanted)

    return made


RELATIONS: dict[str, Maker] = {
    "activations": _plain(activations),
    "conformities": conformities,
    "conversion": conversion_relation,
    "customers": _plain(relations.customers),
    "funnel": funnel_relation,
    "journeys": drawn.journeys,
    "next_journeys": next_relation,
    "onward": onward_relation,
    "steps": drawn.steps,
    "transitions": drawn.transitions,
    "visited": drawn.visited,
    "ways": ways.ranked,
    "repeated_steps": _plain(loops.repeated_steps),
    "ping_pong": _plain(loops.ping_pong),
    "journeys_by_repeats": _plain(loops.journeys_by_repeats),
    "switches": _plain(channels.switches),
    "contacts": _plain(channels.contacts),
    "breakdown": breakdowns.ranked,
}


def list_rows(
    data: JourneyData, query: ListQuery, limit: int = 100, after: int = 0
) -> list[dict[str, Any]]:
    """List the rows behind a number, in a fixed order.

    Times are texts in ISO 8601 (UTC), journeys and ways are texts, nodes and channels are labels,
    and the time to the next step is in seconds.

    Parameters
    ----------
    limit
        At most `MOST_ROWS`.
    after
        The number of rows to leave out.

    Raises
    ------
    InvalidRequest
        If the query names an unknown relation, column, label or option.
    """
    if not (1 <= limit <= MOST_ROWS and after >= 0):
        raise InvalidRequest(
            f"limit is {limit} and after is {after}.",
            expected=f"a limit from 1 to {MOST_ROWS}, and 0 or more rows left out",
            remedy="Ask for fewer rows, and for the next ones with 'after'.",
        )
    found = _relation(data, query).rows(data, query.where, limit, after)
    return [_shown(row) for row in found]


def list_count(data: JourneyData, query: ListQuery) -> int:
    """Count the rows behind a number.

    Raises
    ------
    InvalidRequest
        If the query names an unknown relation, column, label or option.
    """
    return _relation(data, query).count(data, query.where)


def _relation(data: JourneyData, query: ListQuery) -> Relation:
    maker = RELATIONS.get(query.relation)
    if maker is None:
        raise InvalidRequest(
            f"relation is {quoted(query.relation)}.",
            expected=f"one of {', '.join(RELATIONS)}",
            remedy="Send the query of the list as the view returned it.",
        )
    return maker(data, query.filter, query.options)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Tell times as texts in ISO 8601, and durations in seconds."""
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("_us"):
            shown[name.removesuffix("_us")] = None if value is None else _iso(int(value))
        elif name.startswith(DUE) and isinstance(value, int):  # a time that a property told
            shown[name] = _iso(value)
        elif name == "time_bucket" and "time" in row:
            continue
        elif name.endswith("_bucket"):
            known = value is not None and int(value) != NO_BUCKET
            shown[f"{name.removesuffix('_bucket')}_s"] = (
                middle_us(int(value)) / 1e6 if known else None
            )
        elif name == "time":  # in microseconds; its bucket is not needed
            shown["time_s"] = value / 1e6
        else:
            shown[name] = value
    return shown


def _iso(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat()
