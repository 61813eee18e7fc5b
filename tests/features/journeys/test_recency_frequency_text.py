"""Tests that each feature of recency and frequency is described, with its unit and its value."""

from __future__ import annotations

from math import log, nan

import pytest

from features.journeys.descriptions import Quantity
from features.journeys.recency_frequency import RecencyFrequency
from features.journeys.recency_frequency_text import describe_recency_frequency

PART = RecencyFrequency("order", 0, (7.0, 28.0), ("amount_eur",), (("size", "big"),), ("size_big",))
DESCRIBED = describe_recency_frequency(
    "order",
    "order",
    (7.0, 28.0),
    {"amount_eur": Quantity.named("amount_eur", "eur")},
    {"size_big": "size 'big'"},
)


def test_the_features_described_are_those_of_the_part():
    assert set(DESCRIBED) == set(PART.names)


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("order_silence_days", 62.0, "62 days since the last order"),
        ("order_silence_days", nan, "no order yet (time since the last order)"),
        ("order_gap_mean", log(8.0), "usually 7 days from one order to the next"),
        ("order_silence_z", -2.0, "silence since the last order is 2 standard deviations shorter"),
        ("order_per_week_7d", 1.0, "order 1 time a week over the last 7 days or so"),
        ("order_amount_eur_mean_28d", 12.0, "amount of 12 EUR per order on average over the last"),
        ("order_size_big_share_7d", 0.25, "size 'big' in 25% of the order events over the last"),
        ("order_trend_7d", 2.0, "order 2 times as often over the last 7 days or so as over"),
    ],
)
def test_a_feature_is_written_with_its_value(name, number, text):
    assert DESCRIBED[name].text(number).startswith(text)
