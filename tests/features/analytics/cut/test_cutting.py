"""Journeys are cut as the plain definition says, with cases, lapses, leaving and silences."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from features.analytics.nodes import MapNodes
from features.analytics.tables import HOWS, NO_TYPE
from features.business.domain import Domain
from features.journeys import journey_steps
from tests.features.analytics.cut.plain_cutter import DAY, plain_cut
from tests.features.analytics.views.small_shop import event

WORDS = {"type": "category", "values": ["closed", "open"]}
CASED = {"no": {"type": "text"}, "state": WORDS}


def business(**changes: Any) -> Domain:
    """Two kinds: `buying`, which begins and ends by types; `help`, by cases and a condition."""
    events = {
        "begun": event("buying", "interest", "starts"),
        "looked": event("buying", "interest"),
        "paid": event("buying", "action", "ends"),
        "asked": event("help", "use", "starts", properties=CASED),
        "told": event("help", "use", properties=CASED),
        "waited": event("help", "use"),
        "gone": event("buying", "use", "ends"),
    }
    content = {"name": "cut", "currency": "eur", "channels": ["web", "app"], "events": events}
    return Domain.model_validate({**content, "half_lives_days": [7], **changes})


BUSINESSES = [
    business(),
    business(journeys={"buying": {"lapse_days": 3}, "help": {"case": "no"}}),
    business(
        journeys={
            "buying": {"lapse_days": 2},
            "help": {"case": "no", "ends_when": "state == 'closed'", "lapse_days": 5},
        },
        churn={"event": "gone", "when": "happens"},
        lifecycle={"silent_days": 3},
    ),
    business(
        journeys={"help": {"ends_when": "state == 'closed'"}},
        churn={"event": "begun", "active_days": 6, "silent_days": 4},
        lifecycle={"shown": None},
    ),
    business(lifecycle={"silent_days": 3, "left_days": 3}),
    business(
        churn={"event": "gone", "when": "happens"}, lifecycle={"silent_days": 5, "left_days": 4}
    ),
]
CUTTERS = [CustomerCutter(one) for one in BUSINESSES]
HALF_DAYS = st.integers(0, 40)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["begun", "looked", "paid", "asked", "told", "waited", "gone", "old"]),
        st.sampled_from(["web", "app", "fax"]),
        HALF_DAYS,
        st.sampled_from([{}, {"no": "1"}, {"no": "2"}, {"no": "1", "state": "closed"}]),
    ),
    max_size=14,
)


def cut(cutter, domain, events, shown, until):
    """The journeys as the plain definition tells them."""
    rows = sorted(
        (("c", name, channel, at, json.dumps(given)) for name, channel, at, given in events),
        key=lambda row: row[3],
    )
    decided = {"c": [(at, "web") for at in sorted(shown)]} if shown else {}
    journeys, rows_of_steps = cutter.tables(CustomerPasts(rows, decided, {}), until)
    nodes, steps = MapNodes(domain), dict[int, list[tuple[int, str]]]()
    for step in rows_of_steps.to_pylist():
        is_event = step["type"] != NO_TYPE
        name = nodes.types[step["type"]] if is_event else nodes.label(step["node"])
        steps.setdefault(step["journey"], []).append((step["at_us"], name))
        assert step["seq"] == len(steps[step["journey"]]) - 1
    return sorted(
        (
            nodes.maps[one["map"]],
            one["case"] or "",
            tuple(steps[one["journey"]]),
            HOWS[one["how"]],
            one["end_us"] or 0,
        )
        for one in journeys.to_pylist()
    )


@pytest.mark.parametrize("number", range(len(BUSINESSES)))
@settings(max_examples=100, deadline=None)
@given(events=EVENTS, shown=st.lists(HALF_DAYS, max_size=4), until=st.integers(5, 50))
def test_journeys_are_those_of_the_plain_definition(number, events, shown, until):
    half = DAY // 2
    past = [(name, channel, at * half, given) for name, channel, at, given in events]
    moments = [at * half for at in shown]
    found = cut(CUTTERS[number], BUSINESSES[number], past, moments, until * half)
    assert found == plain_cut(BUSINESSES[number], past, moments, until * half)


def test_what_has_lapsed_before_the_customer_left_has_lapsed_then():
    leaving = {"event": "gone", "when": "happens"}
    domain = business(journeys={"help": {"lapse_days": 2}}, churn=leaving)
    for day, how, end in ((3, "left", 3), (4, "lapsed", 3)):  # two days are no lapse yet
        events = [("asked", "web", DAY, {}), ("gone", "web", day * DAY, {})]
        found = cut(CustomerCutter(domain), domain, events, [], 9 * DAY)
        assert [one[3:] for one in found if one[0] == "help"] == [(how, end * DAY)]


def test_the_oldest_of_too_many_open_journeys_has_lapsed(monkeypatch):
    monkeypatch.setattr(journey_steps, "MAX_OPEN", 2)
    domain = business(journeys={"help": {"case": "no"}})
    events = [("asked", "web", day * DAY, {"no": str(day)}) for day in (1, 2, 3)]
    found = cut(CustomerCutter(domain), domain, events, [], 9 * DAY)
    assert [(case, how, end) for of_map, case, _, how, end in found if of_map == "help"] == [
        ("1", "lapsed", 3 * DAY),
        ("2", "open", 0),
        ("3", "open", 0),
    ]
