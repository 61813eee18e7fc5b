"""Tests the scale of the short memory: powers of four, from the delays as of a shown decision."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.memory import EncodingThreshold, memory_scale, scale_of
from tests.bandits import plain
from tests.serving.learn.test_learner import Shop

pytestmark = pytest.mark.databases("sqlite", "postgresql")

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LASTING = plain({"ridge": 100.0})
FORGETS = plain(
    {"ridge": 100.0},
    {"ridge": 100.0, "half_life_decisions": 10},
    {"ridge": 100.0, "half_life_decisions": 40},
)


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now) -> Shop:
    return Shop(ledger, toy_domain, toy_catalog, now)


def live(shop: Shop, hours: range, delay: timedelta) -> None:
    """Show a discount each hour, accepted after a delay."""
    begin = shop.now
    for number in hours:
        shop.now = begin + number * HOUR
        shop.decide(f"d{number}")
        shop.now += delay - HOUR  # `tell` is an hour later than it
        shop.tell(f"d{number}", "accepted")
    shop.now = begin


def scale(shop: Shop, shown: int, params=FORGETS) -> float:
    delays = ResponseDelays(shop.catalog)
    return shop.ledger.read(lambda c: memory_scale(c, params, shown, delays))


def test_the_half_life_is_at_least_ten_times_the_decisions_within_a_mean_delay():
    """The shortest half-life is 10 decisions: one decision within a delay is a tenth of it."""
    found = [scale_of(decisions, FORGETS) for decisions in (1, 2, 4, 5, 16, 17, 1_024)]
    assert found == [1.0, 4.0, 4.0, 16.0, 16.0, 64.0, 1024.0]


def test_without_an_expert_that_forgets_there_is_nothing_to_scale():
    assert scale_of(1_000_000, LASTING) == 1.0


def test_the_scale_is_1_while_nothing_or_too_little_is_known(shop):
    assert scale(shop, 8) == 1.0  # nothing was shown
    live(shop, range(7), 3 * HOUR)
    assert scale(shop, 7) == 1.0  # 4 acceptances are too few for a mean
    assert scale(shop, 8) == 1.0  # there is no such decision


def test_the_scale_is_1_where_answers_come_fast(shop):
    live(shop, range(30), MINUTE)
    assert scale(shop, 30) == 1.0


def test_the_scale_follows_the_decisions_within_the_mean_delay(shop):
    """With the last one, 4 decisions are made within 3 hours: 40 are to be remembered by half."""
    live(shop, range(30), 3 * HOUR)
    assert scale(shop, 30) == 4.0
    longer = plain({"ridge": 100.0}, {"ridge": 100.0, "half_life_decisions": 40})
    assert scale(shop, 30, longer) == 1.0
    assert scale(shop, 30, LASTING) == 1.0


def test_the_scale_is_that_as_of_the_shown_decision_and_not_of_now(shop):
    live(shop, range(30), MINUTE)
    assert scale(shop, 30) == 1.0
    live(shop, range(30, 90), 12 * HOUR)
    assert scale(shop, 30) == 1.0
    assert scale(shop, 90) == 16.0


def test_a_threshold_is_reached_once_and_counted_only_where_it_may_be():
    counts: list[int] = []

    def threshold(shown: int) -> EncodingThreshold:
        def count() -> int:
            counts.append(shown)
            return shown

        return EncodingThreshold(count)

    assert threshold(7).reached(0, 7) == 0
    assert threshold(8).reached(0, 1) == 8
    assert threshold(70).reached(8, 1) == 64, "the last one of several"
    asked = threshold(9)
    counts.clear()
    assert [asked.reached(8, 1) for _ in range(7)] == [0] * 7 and counts == [9]
    assert asked.reached(8, 1) == 0 and counts == [9, 9], "9 + 7 may be 16"


def test_a_threshold_that_could_not_be_used_is_tried_again_with_an_eighth_more():
    shown = [16]
    threshold = EncodingThreshold(lambda: shown[0])
    assert threshold.reached(8, 1) == 16
    threshold.postpone(16)
    shown[0] = 17
    assert threshold.reached(8, 1) == 0
    shown[0] = 18
    assert threshold.reached(8, 1) == 16
