"""The columns of journeys and steps say what happened: numbers, versions, told times, gaps."""

from __future__ import annotations

import pytest

from features.analytics.cut.journey_columns import customer_number, told_us
from features.analytics.histogram import NO_BUCKET, buckets
from features.analytics.tables import END, NO_TYPE
from tests.features.analytics.views.small_shop import event, small_shop
from tests.journey_logs import BEGIN_US, at_us, journeys_of

PROMISE = {"after": "paid", "comes": "done", "within": {"property": "until"}, "else_days": 3}
PAID = event("buying", "action", properties={"until": {"type": "text"}})


def test_a_journey_is_described_by_its_steps():
    log = [("c", "cart", 0, "phone"), ("c", "paid", 1, "app"), ("c", "cart", 1, "app")]
    with journeys_of(small_shop(), log, 2) as data:
        [row] = data.rows(
            "SELECT journey, entry, exit, steps, events, start_us, last_us, end_us, due_us,"
            " entry_channel, persona, account, version FROM journeys WHERE map = 0"
        )
        cart = data.nodes.code("buying", "cart")
        assert row[:5] == (customer_number("c") << 20, cart, cart, 3, 3)
        assert row[5:9] == (at_us(0), at_us(1), None, at_us(31))
        assert row[9:] == (1, "others", None, None)
        steps = data.rows("SELECT seq, node, next_node, gap_bucket FROM steps WHERE map = 0")
        paid, day = data.nodes.code("buying", "paid"), int(buckets(at_us(1) - at_us(0)))
        assert steps == [(0, cart, paid, day), (1, paid, cart, 0), (2, cart, END, NO_BUCKET)]


def test_journeys_are_numbered_as_they_begin_and_equal_ways_have_equal_paths():
    log = [(name, kind, day) for name in "ab" for day, kind in enumerate(["asked", "solved"] * 2)]
    with journeys_of(small_shop(), log) as data:
        rows = data.rows("SELECT journey, path FROM journeys WHERE map = 1 ORDER BY customer_id")
        assert len(rows) == 4 and len({path for _, path in rows}) == 1
        first = customer_number("a") << 20
        assert [number - first for number, _ in rows[:2]] == [0, 2]  # 1 is the lifecycle


def test_a_silence_has_no_type_and_no_channel():
    with journeys_of(small_shop(), [("c", "cart", 0)], 100) as data:
        assert data.rows("SELECT type, channel FROM steps WHERE what = 2") == [(NO_TYPE, 255)]


def test_told_times_and_versions_are_those_of_the_start_of_the_journey():
    versions = [
        {"version": 3, "since": "2023-11-15", "promises": {"delivered": PROMISE}},
        {"version": 4, "since": "2023-11-20"},
    ]
    domain = small_shop(
        events={"paid": PAID, "done": event("buying", "use", "ends")},
        journeys={"buying": {"expected": versions}},
        churn=None,
    )
    told = {"until": "2023-11-30T10:00:00Z"}  # day 0 is 14 November 2023
    log = [(f"c{day}", "paid", day, "app", told) for day in (0, 2, 9)]
    log.append(("c9", "done", 10, "app", {}))
    with journeys_of(domain, log) as data:
        rows = data.rows(
            "SELECT customer_id, version, due_delivered FROM journeys JOIN steps"
            " USING (journey, customer_id, map) WHERE map = 0 ORDER BY customer_id, seq"
        )
    due = 1_701_338_400_000_000
    assert rows == [("c0", None, None), ("c2", 3, due), ("c9", 4, None), ("c9", 4, None)]
    assert due > BEGIN_US


def test_a_version_is_in_force_from_the_first_instant_of_its_day():
    versions = [{"version": 1, "since": "2023-11-15"}, {"version": 2, "since": "2023-11-20"}]
    domain = small_shop(journeys={"buying": {"expected": versions}})
    midnight = 438_400  # seconds from day 0 to 20 November 2023, 0:00 in UTC
    log = [("a", "cart", (midnight - 1e-6) / 86_400), ("b", "cart", midnight / 86_400)]
    with journeys_of(domain, log) as data:
        query = "SELECT start_us, version FROM journeys WHERE map = 0 ORDER BY 1"
        midnight_us = BEGIN_US + midnight * 1_000_000
        assert data.rows(query) == [(midnight_us - 1, 1), (midnight_us, 2)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00", None),  # of no zone
        (2.5, 2_500_000),
        ("tomorrow", None),
        (None, None),
        (float("inf"), None),
        ([], None),
    ],
)
def test_told_times_are_texts_with_a_zone_or_seconds(value, expected):
    assert told_us(value) == expected
