"""A draw with harm after it tells something of the actions that could have been drawn."""

from __future__ import annotations

import pytest

from serving.guardrails.drawn_actions import Draw, tosses
from tests.conftest import NOW

CHANCES = {"discount": 0.3, "call_back": 0.1, "upgrade": 0.0, "no_action": 0.6}


def found(action_id, against, chances=CHANCES):
    draw = Draw("d1", NOW, action_id, chances)
    return {one.action_id: (one.chance, one.followed) for one in tosses(draw, against)}


def test_against_the_other_actions_no_action_has_no_part():
    assert found("discount", "random") == {
        "discount": (pytest.approx(0.75), True),
        "call_back": (pytest.approx(0.25), False),
    }
    assert found("no_action", "random") == {}


def test_against_no_action_each_action_is_compared_with_it_alone():
    assert found("discount", "nobody") == {"discount": (pytest.approx(1 / 3), True)}
    assert found("no_action", "nobody") == {
        "discount": (pytest.approx(1 / 3), False),
        "call_back": (pytest.approx(1 / 7), False),
    }


@pytest.mark.parametrize("against", ["random", "nobody"])
def test_a_certain_draw_tells_nothing(against):
    assert found("discount", against, {"discount": 1.0, "no_action": 0.0}) == {}
    assert found("no_action", against, {"discount": 0.0, "no_action": 1.0}) == {}
