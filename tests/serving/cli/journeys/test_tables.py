"""Tests how values of views are told in the cells of the terminal."""

from __future__ import annotations

import pytest

from features.analytics.views.lists import ListQuery, Number
from serving.cli.journeys.tables import duration, told_value

TWO = Number(1234, ListQuery(relation="journeys"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("n", TWO, "1,234"),
        ("share", 0.5, "50.0%"),
        ("median_s", 5400.0, "1.5 h"),
        ("how", {"ended": TWO, "open": Number(0, TWO.rows)}, "ended 1,234"),
        ("steps", ("a", "b"), "a → b"),
        ("names", ("a", "b"), "a, b"),
        ("label", "x" * 100, "x" * 59 + "…"),
        ("median_s", None, ""),
        ("version", 3, "3"),
        ("optional", True, "True"),
    ],
)
def test_a_value_is_told_by_its_kind(name, value, told):
    assert told_value(name, value) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "0 s"), (59.0, "59 s"), (90.0, "1.5 min"), (172_800.0, "2.0 d")]
)
def test_a_time_has_its_largest_whole_unit(seconds, told):
    assert duration(seconds) == told
