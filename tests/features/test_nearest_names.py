"""The name that somebody meant is found among those that are known."""

from __future__ import annotations

import pytest

from features.nearest_names import MAX_ASKED, MAX_NEAR, did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("GOLD", ["silver", "Gold"], "Gold"),
        ("vronze", ["vip", "bronze"], "bronze"),
        (" Ordr ", ["visit", "order"], "order"),
        ("Female", ["M", "F", "O"], "F"),
        ("gold2", ["gold1", "gold3"], "gold1"),
        ("xyz", ["silver", "gold"], None),
        ("", ["a", ""], None),
        ("gold", [], None),
    ],
)
def test_the_nearest_name_is_found_without_regard_to_case(name, known, meant):
    assert nearest(name, known) == meant


def test_each_unknown_name_is_asked_for_once():
    assert (
        did_you_mean(["VISIT", "ordr"], ["visit", "Order"]) == "Did you mean 'visit' and 'Order'?"
    )
    assert did_you_mean(["ordr", "ordre"], ["order"]) == "Did you mean 'order'?"
    assert did_you_mean(["fax"], ["visit", "order"]) == ""


def test_a_search_among_very_many_names_is_bounded():
    far = [f"name{number}" for number in range(MAX_NEAR)]
    assert nearest("order", [*far[1:], "order"]) == "order"
    assert nearest("order", [*far, "order"]) is None
    unknown = ["zzz"] * MAX_ASKED
    assert did_you_mean([*unknown[1:], "ordr"], ["order"]) and not did_you_mean(
        [*unknown, "ordr"], ["order"]
    )
