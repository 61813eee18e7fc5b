"""Tests the filter of all views: each field of it, and names that it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from features.analytics.cut.customer_facts import CustomerFacts
from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter, begin_us
from features.analytics.views.list_rows import list_rows
from features.analytics.views.lists import ListQuery
from features.customers.attribute_history import EVER, AttributeVersion
from features.errors import InvalidRequest
from features.ledger.tables import micros
from tests.features.analytics.views.small_shop import event, small_shop
from tests.journey_logs import at_us, journeys_of

DOMAIN = small_shop(
    attributes={"region": {"type": "category", "values": ["north", "south"]}},
    personas={"southern": {"when": "region == 'south'"}},
    events={
        "page": event("buying", "interest"),
        "cart": event("buying", "consideration"),
        "done": event("buying", "use", "ends"),
        "asked": event("help", "use", properties={"ticket": {"type": "text", "remembered": False}}),
        "gone": event("leaving", "use", "ends"),
    },
    journeys={"buying": {"lapse_days": 30}, "help": {"case": "ticket"}},
)
NORTH = AttributeVersion(EVER, {"region": "north"})
FACTS = {
    "a": CustomerFacts("acme", [NORTH]),
    "b": CustomerFacts("acme", [NORTH, AttributeVersion(at_us(5), {"region": "south"})]),
}
LOG: list[tuple[Any, ...]] = [
    ("a", "page", 0.0),
    ("a", "cart", 1.0),
    ("a", "done", 2.0),
    ("b", "page", 4.0, "phone"),
    ("b", "cart", 50.0),
    ("b", "gone", 51.0),
    ("c", "cart", 60.0),
    ("c", "asked", 1.0, "app", {"ticket": "t1"}),
    ("c", "asked", 2.0, "app", {"ticket": "t2"}),
    ("c", "asked", 3.0, "app", {}),
    ("d", "asked", 4.0, "app", {}),
]


@pytest.fixture(scope="module")
def data() -> Iterator[JourneyData]:
    with journeys_of(DOMAIN, LOG, as_of_days=61.0, facts=FACTS) as opened:
        yield opened


def starts(data: JourneyData, **chosen: Any) -> list[str]:
    """Return customers and days of start of the journeys that a filter selects."""
    wanted = JourneyFilter.model_validate({"map": "buying"} | chosen)
    rows = list_rows(data, ListQuery(relation="journeys", filter=wanted))
    begin = datetime.fromtimestamp(at_us(0) / 1e6, UTC)
    return [
        f"{row['customer_id']}{(datetime.fromisoformat(row['start']) - begin).days}" for row in rows
    ]


def day(days: float) -> datetime:
    return datetime.fromtimestamp(at_us(days) / 1e6, UTC)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["a0", "b4", "b50", "c60"]),
        ({"since": day(4)}, ["b4", "b50", "c60"]),
        ({"until": day(4)}, ["a0"]),
        ({"how": ("ended",)}, ["a0"]),
        ({"how": ("lapsed", "left")}, ["b4", "b50"]),
        ({"how": ("open",)}, ["c60"]),
        ({"entry_channel": ("phone",)}, ["b4"]),
        ({"account": ("acme",)}, ["a0", "b4", "b50"]),
        ({"account": (None,)}, ["c60"]),
        ({"attributes": {"region": ("north",)}}, ["a0", "b4"]),
        ({"attributes": {"region": ("south", None)}}, ["b50", "c60"]),
        ({"persona": ("southern",)}, ["b50"]),
        ({"through": "done"}, ["a0"]),
        ({"through": "cart", "how": ("left", "open")}, ["b50", "c60"]),
        ({"map": "help", "case": ("t1",)}, ["c1"]),
        ({"map": "help", "case": (None, "t2")}, ["c2", "d4"]),
    ],
)
def test_a_filter_selects_journeys(
    data: JourneyData, chosen: dict[str, Any], expected: list[str]
) -> None:
    assert starts(data, **chosen) == expected


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"map": "selling"}, "map is 'selling'. Expected one of buying, help, leaving, lifecycle."),
        ({"entry_channel": ("fax",)}, "entry_channel is 'fax'. Expected one of app, phone."),
        ({"attributes": {"age": ("7",)}}, "attributes is 'age'. Expected one of region."),
        ({"persona": ("rich",)}, "persona is 'rich'. Expected one of southern, others."),
        ({"through": "asked"}, "through is 'asked'. Expected one of page, cart, done."),
    ],
)
def test_a_filter_refuses_names_that_the_domain_has_not(
    data: JourneyData, chosen: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        starts(data, **chosen)
    assert str(caught.value) == f"{says} Name one of them."


def test_no_channel_is_not_the_first_one(data: JourneyData) -> None:
    """The first step of all these journeys has a channel."""
    assert starts(data, entry_channel=("app",))
    assert starts(data, entry_channel=(None,)) == []


def test_a_filter_selects_whole_journeys(data: JourneyData) -> None:
    """PostHog issue 37524: a filter of one step hits all steps of paths."""
    wanted = JourneyFilter(map="buying", through="cart")
    steps = list_rows(data, ListQuery(relation="steps", filter=wanted))
    assert [row["node"] for row in steps] == ["page", "cart", "done", "cart", "cart"]


def test_a_filter_that_would_be_repeated_with_each_number_is_short(data: JourneyData) -> None:
    assert starts(data, map="help", case=[f"t{n}" for n in range(100)]) == ["c1", "c2"]
    with pytest.raises(InvalidRequest, match="filter has 5,0.. signs as JSON. Expected at most"):
        starts(data, map="help", case=["t1", "x" * 5000])


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_day_is_that_of_the_clock_of_the_business(
    data: JourneyData, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setattr(data, "zone", zone)
    local = day(4).astimezone(ZoneInfo(zone)).date()
    rows = list_rows(data, ListQuery(relation="journeys", filter=JourneyFilter(map="buying")))
    [told] = [row["start_day"] for row in rows if row["start"] == day(4).isoformat()]
    assert told == local.isoformat()
    assert "b4" in starts(data, since=told) and "b4" not in starts(data, until=told)
    assert "b4" not in starts(data, since=(local + timedelta(days=1)).isoformat())


def test_a_day_begins_at_its_midnight() -> None:
    first = datetime(2026, 3, 29, tzinfo=UTC)  # summer time begins in Rome
    assert begin_us(first.date(), "UTC") == begin_us(first, "Europe/Rome") == micros(first)
    assert begin_us(first.date(), "Europe/Rome") == micros(first - timedelta(hours=1))
    after = first.date() + timedelta(days=1)
    assert begin_us(after, "Europe/Rome") == micros(first + timedelta(hours=22))
    assert begin_us(date(1, 1, 1), "Asia/Tokyo") < begin_us(date(9999, 12, 31), "Asia/Tokyo")
