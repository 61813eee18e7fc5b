"""Tests the scale of the short memory: powers of four, from the delays as of a shown decision."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.memory import memory_scale, scale_of
from tests.bandits import plain
from tests.serving.learn.test_learner import Shop

pytestmark = pytest.mark.databases("sqlite", "postgresql")

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LASTING = plain({"ridge": 100.0})
FORGETS = plain(
    {"ridge": 100.0},
    {"ridge": 100.0, "half_life_decisions": 100},
    {"ridge": 100.0, "half_life_decisions": 400},
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
    """The shortest half-life is 100 decisions: 10 decisions within a delay are 1 of it."""
    found = [scale_of(decisions, FORGETS) for decisions in (1, 10, 11, 40, 41, 160, 161, 10_240)]
    assert found == [1.0, 1.0, 4.0, 4.0, 16.0, 16.0, 64.0, 1024.0]


def test_without_an_expert_that_forgets_there_is_nothing_to_scale():
    assert scale_of(1_000_000, LASTING) == 1.0


def test_the_scale_is_1_while_nothing_or_too_little_is_known(shop):
    assert scale(shop, 8) == 1.0  # nothing was shown
    live(shop, range(7), DAY)
    assert scale(shop, 7) == 1.0  # no acceptance is known yet
    live(shop, range(100, 110), DAY)
    assert scale(shop, 17) == 1.0  # 7 acceptances are too few for a mean
    assert scale(shop, 18) == 1.0  # there is no such decision


def test_the_scale_is_1_where_answers_come_fast(shop):
    live(shop, range(100), MINUTE)
    assert scale(shop, 100) == 1.0


def test_the_scale_follows_the_decisions_within_the_mean_delay(shop):
    """Of 25 decisions within a day, the half-life of 100 is 0.4: times 4 is enough for 10 days."""
    live(shop, range(240), DAY)
    assert scale(shop, 240) == 4.0
    short = plain({"ridge": 100.0, "half_life_decisions": 10})
    assert scale(shop, 240, short) == 64.0


def test_the_scale_is_that_as_of_the_shown_decision_and_not_of_now(shop):
    live(shop, range(100), MINUTE)
    before = scale(shop, 100)
    live(shop, range(100, 1_000), 4 * DAY)
    assert scale(shop, 100) == before == 1.0
    assert scale(shop, 1_000) == 16.0
