"""Tests the sentences about differences."""

from __future__ import annotations

import pytest

from features.analytics.views.comparisons.difference_words import difference_words


@pytest.mark.parametrize(
    ("source", "target", "interval", "words"),
    [
        ("payment", "call", (0.09, 0.06, 0.12), "9 of 100 more go from payment to call (6 and 12)"),
        ("START", "call", (-0.2, -0.3, -0.1), "20 of 100 fewer begin with call (10 and 30)"),
        ("call", "END", (0.005, 0.001, 0.009), "0.5 of 100 more end after call (0.1 and 0.9)"),
    ],
)
def test_a_difference_is_told_of_100(
    source: str, target: str, interval: tuple[float, float, float], words: str
) -> None:
    told = difference_words(source, target, interval, is_tested=True, is_changed=True)
    assert told == words.replace("(", "(between ") + "."


def test_what_cannot_be_told_is_said() -> None:
    told = difference_words("a", "b", None, is_tested=False, is_changed=False)
    assert told == "Nobody could go from a to b on one of the maps."
    told = difference_words("a", "b", (0.5, 0.1, 0.9), is_tested=False, is_changed=False)
    assert told == "Too few to tell whether more go from a to b."
    told = difference_words("a", "b", (0.0, -0.1, 0.1), is_tested=True, is_changed=False)
    assert told == "No difference found in how many go from a to b."
    told = difference_words("a", "b", (0.0, 0.0, 0.0), is_tested=False, is_changed=False)
    assert told == "No difference found in how many go from a to b."
