"""Answers requests for views of journeys, from data of one version."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from features.analytics.journey_data import MEMORY, JourneyData
from features.analytics.pictures.drawn_views import DRAWN, draw_view
from features.analytics.upkeep.opened import not_counted, opened_journeys, waiting_customers
from features.analytics.upkeep.overview import read_overview
from features.analytics.views.choices import filter_choices
from features.analytics.views.comparisons.comparison import compare_maps
from features.analytics.views.comparisons.expected_map import compare_with_expected
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.conversion_times import conversion_times
from features.analytics.views.funnels.funnel_definition import (
    FunnelDefinition,
    stages_funnel,
    way_funnel,
)
from features.analytics.views.funnels.funnels import funnel
from features.analytics.views.funnels.next_journeys import next_journeys
from features.analytics.views.list_rows import list_count, list_rows
from features.analytics.views.maps.breakdowns import breakdown
from features.analytics.views.maps.channels import channels
from features.analytics.views.maps.journey_map import journey_map
from features.analytics.views.maps.loops import loops
from features.analytics.views.maps.ways import ways
from features.analytics.views.promised.conformance import conformance
from features.analytics.views.promised.conformities import ways_of
from features.analytics.views.promised.promises import promises
from features.business.domain import Domain
from features.clock import monotonic_s
from features.errors import InvalidRequest, Overloaded
from features.ledger.ledger import Ledger
from features.ledger.tables import from_micros, micros
from serving.contract.journeys import JourneysAnswer, JourneysRequest

Views = Mapping[str, Callable[[JourneyData, JourneysRequest], Any]]


def _map(data: JourneyData, asked: JourneysRequest) -> Any:
    return journey_map(
        data,
        asked.filter,
        at_most=asked.at_most,
        hidden=asked.hidden,
        most_edges=asked.most_edges,
    )


def _ways(data: JourneyData, asked: JourneysRequest) -> Any:
    return ways(data, asked.filter, asked.limit)


def _funnel(data: JourneyData, asked: JourneysRequest) -> Any:
    return funnel(data, asked.filter, asked.funnel or default_funnel(data, asked.filter.map))


def default_funnel(data: JourneyData, name: str) -> FunnelDefinition:
    """Return the funnel along the expected way of a map; over its stages, if it has none."""
    expected = ways_of(data.domain, name)
    return way_funnel(data, name, expected[-1]) if expected else stages_funnel(data, name)


def _promises(data: JourneyData, asked: JourneysRequest) -> Any:
    return promises(data, asked.filter)


def _times(data: JourneyData, asked: JourneysRequest) -> Any:
    assert asked.times is not None  # the request was checked
    return conversion_times(data, asked.filter, asked.times)


def _compare(data: JourneyData, asked: JourneysRequest) -> Any:
    if not isinstance(asked.against, JourneyFilter):
        return compare_with_expected(data, asked.filter)
    return compare_maps(data, asked.against, asked.filter)


VIEWS: Views = {
    "map": _map,
    "ways": _ways,
    "funnel": _funnel,
    "promises": _promises,
    "compare": _compare,
    "loops": lambda data, asked: loops(data, asked.filter),
    "channels": lambda data, asked: channels(data, asked.filter),
    "breakdown": lambda data, asked: breakdown(data, asked.filter, asked.by or ""),
    "times": _times,
    "next": lambda data, asked: next_journeys(data, asked.filter, asked.next),
    "conformance": lambda data, asked: conformance(data, asked.filter),
}
MOST_EVENTS = 2_000_000  # from which journeys of a past day are built for one request
# A request is answered so soon after it came, or refused: one caller cannot keep the others waiting
# for longer. The server ends a request after 10 s.
WITHIN_S = 8.0
PAGE = ("map", "funnel", "ways", "promises")


def answer_journeys(
    asked: JourneysRequest, data: JourneyData, now: datetime, waiting: int = 0
) -> JourneysAnswer:
    """Compute one view, or the four of the page.

    Parameters
    ----------
    waiting
        Customers with events that the data do not hold yet.

    Raises
    ------
    InvalidRequest
        If the request names something that the domain file does not have.
    """
    names = PAGE if asked.view == "page" else (asked.view,)
    found: dict[str, Any] = {}
    if asked.list is not None:
        found["rows"] = list_rows(data, asked.list, asked.limit, asked.after)
        found["total"] = list_count(data, asked.list)
    else:
        found = {name: VIEWS[name](data, asked) for name in names}
    return JourneysAnswer(
        view=asked.view,
        filter=asked.list.filter if asked.list else asked.filter,
        as_of=from_micros(data.as_of_us),
        age_s=max((micros(now) - data.as_of_us) / 1e6, 0.0),
        waiting=waiting,
        data_version=data.version,
        zone=data.zone,
        drawn={
            name: draw_view(data.domain, found[name])
            for name in found
            if asked.picture and name in DRAWN
        },
        choices=filter_choices(data.domain, data.nodes) if asked.view == "page" else None,
        known_at=asked.known_at,
        erased=data.erased,
        **found,
    )


def look_at_journeys(
    asked: JourneysRequest,
    ledger: Ledger,
    domain: Domain,
    home: Path,
    now: datetime,
    zone: str = "UTC",
    ends_s: float = math.inf,
) -> JourneysAnswer:
    """Answer a request from the files that the process beside the server keeps up to date.

    Parameters
    ----------
    zone : str
        The time zone of the business, in which days begin and end.
    ends_s : float
        When the answer is of no use any more, by the monotonic clock, in seconds.

    Raises
    ------
    InvalidRequest
        See `answer_journeys`; also if `known_at` has not passed, or needs too many events.
    NotCounted
        If the journeys were never counted.
    Overloaded
        If the answer takes too long, or too much memory.
    """
    if asked.known_at is not None and asked.known_at > now:
        raise InvalidRequest(
            f"known_at is {asked.known_at.isoformat()}, which has not passed yet.",
            expected="a time that has passed",
            remedy="Leave it out for the journeys of now.",
        )
    if asked.view == "overview":
        return answer_overview(asked, ledger, domain, now)
    try:
        try:
            return _from_files(asked, ledger, domain, home, now, zone, ends_s)
        except duckdb.IOException:  # an erasure has just written the files anew
            return _from_files(asked, ledger, domain, home, now, zone, ends_s)
    except TimeoutError as error:
        raise _too_slow(asked) from error
    except duckdb.OutOfMemoryException as error:
        raise _too_large() from error
    except duckdb.IOException as error:  # and once more
        raise _replaced() from error


def _from_files(
    asked: JourneysRequest,
    ledger: Ledger,
    domain: Domain,
    home: Path,
    now: datetime,
    zone: str,
    ends_s: float,
) -> JourneysAnswer:
    if monotonic_s() > ends_s:  # it has waited for others
        raise TimeoutError
    at = asked.known_at
    with opened_journeys(ledger, domain, home, at, MOST_EVENTS, ends_s=ends_s, now=now) as data:
        data.zone = zone
        waiting = 0 if asked.known_at else waiting_customers(ledger)
        with data.within(min(ends_s - monotonic_s(), threading.TIMEOUT_MAX)):
            return answer_journeys(asked, data, now, waiting)


def _too_slow(asked: JourneysRequest) -> Overloaded:
    option = " --known-at" if asked.known_at else ""
    return Overloaded(
        f"The view {asked.view} was not ready within {WITHIN_S:g} s.",
        expected="a view of fewer journeys, or a server with less to do",
        remedy=f"Narrow the filter, ask again later, or use 'nba journeys{option}'.",
    )


def _too_large() -> Overloaded:
    return Overloaded(
        f"The answer needs more memory than {MEMORY}.",
        expected="a view of fewer journeys, or a list with fewer rows left out",
        remedy="Narrow the filter.",
    )


def _replaced() -> Overloaded:
    return Overloaded(
        "The files of journeys were replaced while they were read.",
        expected="files that stay as they are for some seconds",
        remedy="Send the same again.",
    )


def answer_overview(
    asked: JourneysRequest, ledger: Ledger, domain: Domain, now: datetime
) -> JourneysAnswer:
    """Answer from the counts in the ledger, without the files.

    Raises
    ------
    InvalidRequest
        If it is asked for a past day, or for some journeys only.
    NotCounted
        If the journeys were never counted.
    """
    if asked.known_at is not None:
        raise InvalidRequest(
            "known_at does not go with the view overview, which has the counts of now.",
            expected="another view",
            remedy="Ask for the page of a map.",
        )
    if asked.filter != JourneyFilter(map=asked.filter.map):
        raise InvalidRequest(
            "filter does not go with the view overview, which has all journeys.",
            expected="another view",
            remedy="Ask for the page of a map, or leave the filter out.",
        )
    found = read_overview(ledger, domain)
    if found is None:
        raise not_counted()
    return JourneysAnswer(
        view="overview",
        filter=asked.filter,
        as_of=from_micros(found.as_of_us),
        age_s=max((micros(now) - found.as_of_us) / 1e6, 0.0),
        waiting=waiting_customers(ledger),
        data_version=found.version,
        overview=found,
    )
