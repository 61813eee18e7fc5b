"""The marketer's rules of the shop."""

from __future__ import annotations

from training.simulation.shop.actions import NAMES
from training.simulation.shop.shop_rules import RULES


def test_each_list_begins_with_an_apology_for_a_complaint():
    assert {rules[0].action for rules in RULES.values()} == {"delivery_apology"}


def test_each_action_is_in_a_list():
    assert {rule.action for rules in RULES.values() for rule in rules} == set(NAMES[1:])
