"""The marketer's rules serve a reported problem before they sell."""

from __future__ import annotations

from training.simulation.telephone.rule_lists import RULES


def test_each_list_begins_with_a_reported_problem():
    assert {(rules[0].feature, rules[0].action) for rules in RULES.values()} == {
        ("problem_open", "call_back")
    }
