"""Tests channels: switches, contacts off the preferred channel, and journeys by their first one."""

from __future__ import annotations

from typing import Any

import pytest

from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_rows
from features.analytics.views.maps.channels import Channels, channels
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING, LIFE = JourneyFilter(map="buying"), JourneyFilter()
DAY_S = 86_400
LOG: list[tuple[Any, ...]] = [
    ("a", "cart", 0.0, "app"),
    ("a", "cart", 1.0, "app"),
    ("a", "done", 2.0, "phone"),
    ("a", "cart", 3.0, "phone"),  # prefers the app by now: two events of three
    ("a", "cart", 5.0, "app"),
    ("a", "done", 6.0, "app"),
    ("b", "cart", 0.0, "phone"),
    ("b", "paid", 4.0, "app"),
]


def of_log(wanted: JourneyFilter = BUYING, as_of: float = 7.0, **more: Any) -> Channels:
    with journeys_of(small_shop(), LOG, as_of_days=as_of, **more) as data:
        return channels(data, wanted)


def test_each_contact_is_followed_by_one_on_the_same_or_another_channel() -> None:
    found = {(one.source, one.target): one for one in of_log().switches}
    assert {pair: one.n.n for pair, one in found.items()} == {
        ("app", "app"): 2,
        ("app", "phone"): 1,
        ("phone", "app"): 2,
    }
    assert found["app", "phone"].share == 1 / 3
    assert found["phone", "app"].share == 1.0
    assert found["phone", "app"].median_s == pytest.approx(2 * DAY_S, rel=0.0221)
    assert found["phone", "app"].p90_s == pytest.approx(4 * DAY_S, rel=0.0221)


def test_contacts_are_on_the_preferred_channel_or_off_it_or_nobody_knows() -> None:
    found = of_log()
    told = {
        one.channel: (one.contacts.n, one.preferred.n, one.other.n, one.unknown.n)
        for one in found.by_channel
    }
    assert told == {"app": (5, 2, 0, 3), "phone": (3, 0, 1, 2)}
    assert (found.contacts.n, found.off_preferred.n) == (8, 1)


def test_the_list_of_contacts_off_the_preferred_channel_names_both() -> None:
    with journeys_of(small_shop(), LOG, as_of_days=7.0) as data:
        (row,) = list_rows(data, channels(data, BUYING).off_preferred.rows)
    assert (row["customer_id"], row["channel"], row["preferred_channel"]) == ("a", "phone", "app")


def test_journeys_by_their_first_channel_add_up() -> None:
    found = of_log()
    told = {one.channel: (one.journeys.n, one.ended.n, one.share) for one in found.entries}
    assert told == {"app": (1, 1, 1 / 3), "phone": (2, 1, 2 / 3)}
    assert found.journeys.n == 3
    times = {one.channel: one.median_s for one in found.entries}
    assert times["app"] == pytest.approx(2 * DAY_S, rel=0.0221)
    assert times["phone"] == pytest.approx(3 * DAY_S, rel=0.0221)  # that of b is open


def test_silences_have_no_channel_and_shown_decisions_have_one() -> None:
    found = of_log(LIFE, as_of=40.0, shown={"c": [(1.0, "phone")]})
    assert {one.channel: one.contacts.n for one in found.by_channel} == {"app": 5, "phone": 4}
    assert {one.channel: one.journeys.n for one in found.entries} == {"app": 1, "phone": 2}
