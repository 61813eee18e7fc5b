"""Tests that every part of the fold keeps the protocol `FoldPart`."""

from __future__ import annotations

import pytest

from features.journeys.aggregates import ChannelPreference, Feedback, Sessions, Spend
from features.journeys.open_journeys import JourneyPart, JourneyTotals
from features.journeys.recency_frequency import RecencyFrequency
from features.journeys.state import DAY_S, WEEK_S, FoldPart
from tests.features.live import SHOP

CHANNEL = RecencyFrequency("channel_web", 0, (7.0,))
JOURNEY = JourneyPart(0, "support", SHOP.journeys["support"])
PARTS: list[FoldPart] = [
    CHANNEL,
    ChannelPreference({"web": CHANNEL}),
    Sessions(0, 1800.0),
    Spend(0, "eur", (7.0, 28.0)),
    Feedback(0, "nps", 28.0),
    JOURNEY,
    JourneyTotals((JOURNEY,)),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_part_names_each_number_of_its_slice_and_each_feature(part):
    empty = part.empty()
    assert len(empty) == len(part.fields) == len(set(part.fields))
    assert empty[:1] in ([], [0.0])
    features: list[float] = []
    state = empty or [*CHANNEL.empty()] if part is PARTS[1] else empty or [*JOURNEY.empty()]
    part.read(features, state, 10 * DAY_S)
    assert len(features) == len(part.names) == len(set(part.names))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_part_describes_each_of_its_features(part):
    assert set(part.descriptions()) == set(part.names)


def test_a_week_has_seven_days():
    assert WEEK_S == 7 * DAY_S == 604_800.0
