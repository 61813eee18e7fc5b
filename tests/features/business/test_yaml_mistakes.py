"""Several mistakes of one file are collected and raised together."""

from __future__ import annotations

import pytest

from features.business.yaml_mistakes import Mistake, Mistakes, listed, mistakes_in


def test_mistakes_are_collected_from_errors_and_from_other_collections():
    mistakes = Mistakes()
    with mistakes.caught():
        raise ValueError("churn.event: one of visit, order")
    with mistakes.caught():
        inner = Mistakes()
        inner.add(("groups", "a b"), "a purpose", "Correct it.")
        inner.unknown("outbound", ["fax", "app", "fax"], ["app", "web"])
        inner.unknown_value("budget", "sprin", ["spring"])
        inner.refuse()
    with pytest.raises(ValueError, match="churn.event: one of visit, order; groups.a b: a purpose"):
        mistakes.refuse()
    assert mistakes.found == [
        Mistake(("churn", "event"), "one of visit, order"),
        Mistake(("groups", "a b"), "a purpose", "Correct it."),
        Mistake(("outbound",), "some of app, web; not fax", "", ("fax",)),
        Mistake(("budget",), "one of spring", "Did you mean 'spring'?", ("sprin",)),
    ]


def test_without_a_mistake_nothing_is_raised():
    mistakes = Mistakes()
    with mistakes.caught():
        mistakes.unknown("outbound", ["app"], ["app"])
        mistakes.unknown_value("outbound", "app", ["app"])
    mistakes.refuse()


def test_another_error_is_no_mistake_of_the_file():
    with pytest.raises(KeyError), Mistakes().caught():
        raise KeyError("a bug")


def test_a_message_without_a_key_is_of_the_place_where_it_was_raised():
    error = ValueError("24 weights, not all 0")
    assert mistakes_in(error, ("pacing", "hourly")) == [
        Mistake(("pacing", "hourly"), "24 weights, not all 0")
    ]


def test_a_long_list_of_names_is_shortened():
    assert listed([]) == ""
    assert listed(["a", "b"]) == "a, b"
    assert listed([f"n{number}" for number in range(100)]).endswith("n39 and 60 more")
