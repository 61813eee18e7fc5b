"""The names of conditions: positions in the numbers, and what is said where nothing is told."""

from __future__ import annotations

from features.conditions.names import Names


def test_texts_have_no_place_among_the_numbers():
    names = Names({"plan": "text", "churn": "number", "region": "text", "consent": "truth"})
    assert names.position == {"churn": 0, "consent": 1}


def test_values_and_bounds_are_copies():
    values, ranges = {"plan": ("gold",)}, {"age": (0.0, 120.0)}
    names = Names({"plan": "text", "age": "number"}, values, ranges)
    values.clear()
    ranges.clear()
    assert (names.values, names.ranges) == ({"plan": ("gold",)}, {"age": (0.0, 120.0)})
