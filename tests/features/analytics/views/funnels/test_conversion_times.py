"""Tests the times to a step: journeys that are still open, the curve, and the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.conversion_times import (
    ConversionDefinition,
    ConversionTimes,
    conversion_times,
)
from features.analytics.views.list_rows import list_count, list_rows
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
TO_PAID = {"to": {"step": "paid"}}
# Four begin on day 0; the third is seen for 2 days only, and the fourth ends on day 4 without.
FOUR = [
    ("a", "page", 0.0),
    ("a", "paid", 1.0),
    ("b", "page", 0.0),
    ("b", "paid", 3.0),
    ("c", "page", 1.5),
    ("d", "page", -0.5),
    ("d", "done", 3.5),
]


def of_log(log: list[tuple[Any, ...]], definition: dict[str, Any], as_of: float) -> ConversionTimes:
    with journeys_of(small_shop(), log, as_of) as data:
        found = conversion_times(data, BUYING, ConversionDefinition.model_validate(definition))
        for number in (found.journeys, found.converted, found.stopped, found.waiting):
            assert number.n == list_count(data, number.rows) == len(list_rows(data, number.rows))
        assert found.journeys.n == found.converted.n + found.stopped.n + found.waiting.n
        return found


def test_open_journeys_count_until_they_are_seen_last() -> None:
    found = of_log(FOUR, TO_PAID, as_of=3.5)
    assert (found.journeys.n, found.converted.n, found.stopped.n, found.waiting.n) == (4, 2, 1, 1)
    share = {point.day: point.share for point in found.curve}
    assert share[0.0] == 0
    assert share[1.0] == 0.25
    assert share[3.0] == 0.625  # 3/4 waited on, and one of the two who were seen converted
    assert found.half_by_day == 3.0


def test_the_part_in_which_some_are_still_open_is_marked() -> None:
    found = of_log(FOUR, TO_PAID, as_of=3.5)
    assert found.complete_until_day == 2.0
    assert {point.day for point in found.curve if point.is_complete} == {
        point.day for point in found.curve if point.day <= 2.0
    }
    assert found.curve[-1].day == 3.0 and not found.curve[-1].is_complete


def test_recent_journeys_do_not_pull_the_curve_down() -> None:
    """PostHog issue 7645: the last points look bad because their windows are not over."""
    old = [(f"o{n}", "page", 0.0) for n in range(10)] + [(f"o{n}", "paid", 1.0) for n in range(5)]
    new = [(f"n{n}", "page", 9.9) for n in range(30)]
    found = of_log(old + new, TO_PAID, as_of=10.0)
    assert found.converted.n / found.journeys.n == 0.125
    assert found.curve[-1].share == 0.5


def test_without_open_journeys_the_curve_is_the_plain_share() -> None:
    log = [(f"c{n}", "page", 0.0) for n in range(8)] + [
        (f"c{n}", "paid", n + 1.0) for n in range(6)
    ]
    found = of_log(log, TO_PAID, as_of=100.0)
    assert found.complete_until_day is None
    assert all(point.is_complete for point in found.curve)
    at = {point.day: point for point in found.curve}
    assert [at[float(day)].share for day in range(7)] == pytest.approx([n / 8 for n in range(7)])
    assert at[3.0].at_risk == 5
    assert 0 < at[3.0].low < at[3.0].share < at[3.0].high < 1


def test_the_median_is_from_the_one_histogram() -> None:
    log = [(f"c{n}", "page", 0.0) for n in range(3)] + [
        (f"c{n}", "paid", n + 1.0) for n in range(3)
    ]
    found = of_log(log, TO_PAID, as_of=5.0)
    assert found.median_s == pytest.approx(2 * 86_400, rel=0.0221)
    assert found.p90_s == pytest.approx(3 * 86_400, rel=0.0221)


def test_journeys_may_wait_from_another_step() -> None:
    log = [
        ("a", "page", 0.0),
        ("a", "cart", 2.0),
        ("a", "paid", 2.25),
        ("b", "page", 0.0),
        ("b", "paid", 1.0),
        ("c", "page", 0.0),
        ("c", "paid", 1.0),
        ("c", "cart", 2.0),
    ]
    found = of_log(log, TO_PAID | {"since": {"step": "cart"}}, as_of=10.0)
    assert (found.journeys.n, found.converted.n, found.waiting.n) == (2, 1, 1)
    assert found.median_s == pytest.approx(6 * 3600, rel=0.0221)
    stages = {"since": {"stage": "consideration"}, "to": {"stage": "action"}}
    assert of_log(log, stages, as_of=10.0).curve == found.curve


def test_short_waits_have_a_fine_curve_and_long_ones_a_coarse_one() -> None:
    for days, apart in ((0.01, 1 / 1440), (2.0, 1 / 24), (90.0, 1.0)):
        log = [
            ("a", "page", 0.0),
            *(("a", "coupon", day) for day in (25.0, 50.0, 75.0) if day < days),
        ]
        found = of_log([*log, ("a", "paid", days)], TO_PAID, as_of=100.0)
        assert found.curve[1].day == pytest.approx(apart)
        assert found.curve[-2].share == 0 and found.curve[-1].share == 1


def test_nobody_waited() -> None:
    found = of_log([], TO_PAID, as_of=1.0)
    assert found.journeys.n == 0 and found.median_s is None and found.half_by_day is None
    assert [point.share for point in found.curve] == [0.0]


def test_an_unknown_step_is_named() -> None:
    with (
        journeys_of(small_shop(), FOUR) as data,
        pytest.raises(InvalidRequest, match="to is 'pay'.*a step of the map 'buying'"),
    ):
        conversion_times(data, BUYING, ConversionDefinition.model_validate({"to": {"step": "pay"}}))
