"""Random logs and filters for the identities of views, and all numbers of a view.

A log has ties in time, parallel journeys and cases, late events, customers who were merged, and
customers who were erased. At the level of a log a merge gives events to another customer, a late
event is one more event in the past, and an erasure takes all events of a customer out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import duckdb
from hypothesis import strategies as st
from pydantic import BaseModel

from features.analytics.cut.customer_cutter import CustomerCutter
from features.analytics.cut.customer_facts import CustomerFacts
from features.analytics.journey_data import JourneyData
from features.analytics.nodes import MapNodes
from features.analytics.tables import HOWS
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number
from features.business.domain import Domain
from features.customers.attribute_history import EVER, AttributeVersion
from tests.features.analytics.views.small_shop import event, small_shop
from tests.journey_logs import at_us, journeys_of

LAST_DAY = 40.0
CUSTOMERS = ("c1", "c2", "c3", "c4")
Row = tuple[str, str, float, str, dict[str, Any]]


def world() -> Domain:
    """Return a domain with parallel journeys, cases, lapses, silences, leaving and personas."""
    status = {"name": {"type": "category", "values": ["home", "offer"]}}
    ticket = {"ticket": {"type": "text", "remembered": False}}
    answer = {**ticket, "status": {"type": "category", "values": ["fine", "wait"]}}
    return small_shop(
        attributes={
            "region": {"type": "category", "values": ["north", "south"]},
            "plan": {"type": "category", "values": ["basic", "plus"]},
        },
        personas={"callers": {"when": "events_n > 5"}},
        events={
            "began": event("buying", "interest", "starts"),
            "page": event("buying", "interest", properties=status),
            "done": event("buying", "use", "ends"),
            "asked": event("help", "use", properties=ticket),
            "answered": event("help", "advocacy", properties=answer),
            "gone": event("leaving", "use", "ends"),
        },
        journeys={
            "buying": {"lapse_days": 8, "map": {"node": "name", "at_most": 20}},
            "help": {
                "lapse_days": 12,
                "case": "ticket",
                "ends_when": "status == 'fine'",
                "map": {"node": ["type", "status"], "lanes": "touchpoint"},
                "expected": {
                    "version": 1,
                    "way": ["asked", "answered: wait?", "answered: fine"],
                    "promises": {
                        "fast": {"after": "asked", "comes": "answered", "within_days": 2},
                        "known": {"before": "answered", "comes": "asked", "at_least_days": 1},
                        "done": {"never": "answered: wait"},
                        "brief": {"no_more_than": 1, "of": "asked", "within_days": 9},
                        "once": {"never": "asked", "after": "answered", "within_days": 4},
                        "then": {"after": "asked", "next": "answered: fine", "within_days": 3},
                    },
                },
            },
        },
        lifecycle={"silent_days": 5},
    )


DOMAIN = world()
CUTTER = CustomerCutter(DOMAIN)
# The region of one customer changes on day 10, and of another one nothing is known.
FACTS = {
    "c1": CustomerFacts(
        "north",
        [
            AttributeVersion(EVER, {"region": "north"}),
            AttributeVersion(at_us(10), {"region": "south", "plan": "basic"}),
        ],
    ),
    "c2": CustomerFacts("north"),
    "c3": CustomerFacts("south", [AttributeVersion(EVER, {"region": "south", "plan": "plus"})]),
}
_PAGES = ({}, {"name": "home"}, {"name": "offer"}, {"name": "gone since"})
_ASKED = ({}, {"ticket": "t1"}, {"ticket": "t2"})
_ANSWERED = tuple({"status": status} | ticket for status in ("fine", "wait") for ticket in _ASKED)
# Each type of event with each of its properties. Leaving is rare, so that journeys get long.
_HAPPENS = [
    *((kind, {}) for kind in ("began", "done") for _ in range(5)),
    *(("page", properties) for properties in _PAGES * 2),
    *(("asked", properties) for properties in _ASKED * 2),
    *(("answered", properties) for properties in _ANSWERED),
    ("gone", {}),
]
_QUARTERS = st.integers(0, int(LAST_DAY) * 4)  # of days, so many times are equal


def _rows() -> st.SearchStrategy[Row]:
    drawn = st.tuples(
        st.sampled_from(CUSTOMERS),
        st.sampled_from(_HAPPENS),
        _QUARTERS,
        st.sampled_from(DOMAIN.channels),
    )
    return drawn.map(lambda row: (row[0], row[1][0], row[2] / 4, row[3], row[1][1]))


@dataclass(frozen=True)
class RandomLog:
    """A log, and what happened to it afterwards.

    Attributes
    ----------
    rows, late : list of rows
    merged : mapping of str to str
        Customers whose events are another one's.
    erased : set of str
    shown : mapping
        Days and channels of decisions that were shown.
    """

    rows: list[Row]
    late: list[Row]
    merged: Mapping[str, str]
    erased: frozenset[str]
    shown: Mapping[str, list[tuple[float, str]]]
    as_of_days: float

    def log(self) -> list[Row]:
        """Return the events as they stand, each with its customer."""
        all_rows = [(self.owner(row[0]), *row[1:]) for row in [*self.rows, *self.late]]
        return [row for row in all_rows if row[0] not in self.erased]

    def owner(self, customer_id: str) -> str:
        """Return the customer to whom somebody's events belong."""
        return self.merged.get(customer_id, customer_id)

    def data(self, connection: duckdb.DuckDBPyConnection) -> JourneyData:
        """Cut the log."""
        shown: dict[str, list[tuple[float, str]]] = {}
        for name, decisions in self.shown.items():
            if self.owner(name) not in self.erased:
                kept = [one for one in decisions if one[0] <= self.as_of_days]
                shown.setdefault(self.owner(name), []).extend(kept)
        return journeys_of(
            DOMAIN,
            self.log(),
            self.as_of_days,
            shown,
            facts=FACTS,
            cutter=CUTTER,
            connection=connection,
        )

    def unlinked(self) -> RandomLog:
        """Take the merges back."""
        return replace(self, merged={})


def random_logs(most: int = 20) -> st.SearchStrategy[RandomLog]:
    """Draw logs."""
    days = _QUARTERS.map(lambda quarters: quarters / 4)
    decisions = st.tuples(days, st.sampled_from(DOMAIN.channels))
    return st.builds(
        RandomLog,
        st.lists(_rows(), min_size=4, max_size=most),
        st.lists(_rows(), max_size=4),
        st.sampled_from([{}, {"c2": "c1"}, {"c4": "c3", "c1": "c3"}]),
        st.sampled_from([frozenset(), frozenset({"c4"}), frozenset({"c1"})]),
        st.dictionaries(st.sampled_from(CUSTOMERS), st.lists(decisions, max_size=2), max_size=2),
        st.sampled_from([LAST_DAY, 21.25, 60.0]),
    )


MAPS = ("buying", "help", "lifecycle")


def filters() -> st.SearchStrategy[JourneyFilter]:
    """Draw filters; half of them select by nothing but the map."""
    chosen = st.sampled_from(MAPS)
    either = st.fixed_dictionaries({"map": chosen}), chosen.flatmap(_choices)
    return st.one_of(*either).map(JourneyFilter.model_validate)


def _choices(name: str) -> st.SearchStrategy[dict[str, Any]]:
    days = st.integers(0, int(LAST_DAY)).map(lambda day: utc(at_us(day)))
    ends = st.lists(st.sampled_from(HOWS), max_size=3).map(tuple)
    known = [{"region": ("north",)}, {"region": (None, "south")}, {"plan": (None,)}]
    optional = {
        "since": days,
        "until": days,
        "how": ends,
        "entry_channel": st.sampled_from([("app",), ("phone", None)]),
        "case": st.sampled_from([("t1",), (None,), ("t1", None)]),
        "account": st.sampled_from([("north",), (None,), ("south", None)]),
        "persona": st.sampled_from([("callers",), ("others",)]),
        "attributes": st.sampled_from(known),
        "through": st.sampled_from(labels_of_map(name)),
    }
    return st.fixed_dictionaries({"map": st.just(name)}, optional=optional)


def utc(at: int) -> datetime:
    """Return the instant of microseconds since 1970."""
    return datetime.fromtimestamp(at / 1e6, UTC)


def labels_of_map(name: str) -> list[str]:
    """List the labels of a map of the random logs."""
    return [one.label for one in MapNodes(DOMAIN).of_map(name)]


def numbers_of(view: Any) -> Iterator[Number]:
    """Yield all numbers of a view, wherever they stand in it."""
    if isinstance(view, Number):
        yield view
    elif dataclasses.is_dataclass(view):
        for field in dataclasses.fields(view):
            yield from numbers_of(getattr(view, field.name))
    elif isinstance(view, Mapping):
        for value in view.values():
            yield from numbers_of(value)
    elif isinstance(view, tuple | list):
        for value in view:
            yield from numbers_of(value)


def shares_of(view: Any) -> Iterator[float]:
    """Yield all shares of a view, wherever they stand in it."""
    if dataclasses.is_dataclass(view) and not isinstance(view, Number):
        for field in dataclasses.fields(view):
            value = getattr(view, field.name)
            if field.name.endswith("share") and value is not None:
                yield value
            yield from shares_of(value)
    elif isinstance(view, tuple):
        for value in view:
            yield from shares_of(value)


def as_json(view: Any) -> str:
    """Write a view as JSON, with the queries of its lists."""

    def told(value: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    return json.dumps(dataclasses.asdict(view), default=told, sort_keys=True)
