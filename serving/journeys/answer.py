"""Answers requests for views of journeys, from data of one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from features.analytics.opened import opened_journeys, waiting_customers
from features.analytics.pictures.curve_picture import curve_picture
from features.analytics.pictures.funnel_picture import funnel_picture
from features.analytics.pictures.ways_picture import ways_picture

from features.analytics.journey_data import JourneyData
from features.analytics.pictures.map_picture import map_picture
from features.analytics.pictures.promises_picture import promises_picture
from features.analytics.views.breakdowns import breakdown
from features.analytics.views.channels import channels
from features.analytics.views.comparison import compare, compare_with_expected
from features.analytics.views.conformance import conformance
from features.analytics.views.conversion_times import conversion_times
from features.analytics.views.funnel_definition import stages_funnel
from features.analytics.views.funnels import funnel
from features.analytics.views.journey_map import journey_map
from features.analytics.views.list_rows import list_count, list_rows
from features.analytics.views.loops import loops
from features.analytics.views.next_journeys import next_journeys
from features.analytics.views.promises import promises
from features.analytics.views.ways import ways
from features.business.domain import Domain
from features.ledger.ledger import Ledger
from features.ledger.tables import from_micros, micros
from serving.contract.journeys import JourneysAnswer, JourneysRequest

Views = Mapping[str, Callable[[JourneyData, JourneysRequest], Any]]


def _map(data: JourneyData, asked: JourneysRequest) -> Any:
    return journey_map(data, asked.filter, at_most=asked.at_most, hidden=asked.hidden)


def _ways(data: JourneyData, asked: JourneysRequest) -> Any:
    return ways(data, asked.filter, asked.limit)


def _funnel(data: JourneyData, asked: JourneysRequest) -> Any:
    definition = asked.funnel or stages_funnel(data, asked.filter.map)
    return funnel(data, asked.filter, definition)


def _promises(data: JourneyData, asked: JourneysRequest) -> Any:
    return promises(data, asked.filter)


def _compare(data: JourneyData, asked: JourneysRequest) -> Any:
    if isinstance(asked.against, str):
        return compare_with_expected(data, asked.filter)
    assert asked.against is not None  # the request was checked
    return compare(data, asked.filter, asked.against)


VIEWS: Views = {
    "map": _map,
    "ways": _ways,
    "funnel": _funnel,
    "promises": _promises,
    "compare": _compare,
    "loops": lambda data, asked: loops(data, asked.filter),
    "channels": lambda data, asked: channels(data, asked.filter),
    "breakdown": lambda data, asked: breakdown(data, asked.filter, asked.by or ""),
    "times": lambda data, asked: conversion_times(data, asked.filter, asked.to or ""),
    "next": lambda data, asked: next_journeys(data, asked.filter, asked.within_days),
    "conformance": lambda data, asked: conformance(data, asked.filter),
}
MOST_EVENTS = 300_000  # from which one request builds the journeys of a past day
PAGE = ("map", "funnel", "ways", "promises")
PICTURES: Mapping[str, Callable[[Any], str]] = {
    "map": map_picture,
    "funnel": funnel_picture,
    "ways": ways_picture,
    "promises": promises_picture,
    "times": curve_picture,
}


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
    drawn = [name for name in found if asked.picture and name in PICTURES]
    return JourneysAnswer(
        view=asked.view,
        filter=asked.list.filter if asked.list else asked.filter,
        as_of=from_micros(data.as_of_us),
        age_s=max((micros(now) - data.as_of_us) / 1e6, 0.0),
        waiting=waiting,
        data_version=data.version,
        known_at=asked.known_at,
        erased=data.erased,
        pictures={name: PICTURES[name](found[name]) for name in drawn},
        **found,
    )


def look_at_journeys(
    asked: JourneysRequest, ledger: Ledger, domain: Domain, home: Path, now: datetime
) -> JourneysAnswer:
    """Answer a request from the files that the process beside the server keeps up to date.

    Raises
    ------
    InvalidRequest
        See `answer_journeys`; also if `known_at` is too long ago to be built for one request.
    NotCounted
        If the journeys were never counted.
    """
    with opened_journeys(ledger, domain, home, asked.known_at, at_most_events=MOST_EVENTS) as data:
        return answer_journeys(asked, data, now, waiting_customers(ledger))
