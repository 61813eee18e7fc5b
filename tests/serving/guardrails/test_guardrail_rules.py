"""Guardrails as they are counted: events, scores, silences, shares and thresholds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from serving.guardrails.guardrail_rules import GuardrailRules
from tests.serving.fakes import changed
from tests.serving.guardrails.conftest import harmed_domain

ALL = {
    "complaints": {"counts": "complaint"},
    "unhappy": {"counts": "nps", "at_most": 6, "against": "nobody"},
    "leaving": {"counts": "leaving"},
}


def rules_of(toy_catalog, guardrails=ALL, arms=None, **domain):
    catalog = changed(
        toy_catalog, guardrails=guardrails, arms=arms or {"random": 0.1, "nobody": 0.2}
    )
    rules = GuardrailRules.of(catalog, harmed_domain(**domain))
    return rules, {one.name: one for one in rules.rules}


def test_harm_is_an_event_or_a_score_up_to_a_limit(toy_catalog):
    _, named = rules_of(toy_catalog)
    complaints, unhappy = named["complaints"], named["unhappy"]
    assert complaints.is_harm("complaint", {}) and not complaints.is_harm("nps", {"score": 0})
    scores = [0, 6, 6.5, 10, None, "6", True, float("nan"), float("-inf")]
    assert [unhappy.is_harm("nps", {"score": one}) for one in scores] == [True, True, *[False] * 7]
    assert not unhappy.is_harm("nps", {})


def test_leaving_is_a_silence_or_an_event_as_the_domain_says(toy_catalog):
    _, named = rules_of(toy_catalog)
    assert (named["leaving"].event, named["leaving"].silent) == ("order", timedelta(days=20))
    assert not named["leaving"].is_harm("order", {})
    _, named = rules_of(toy_catalog, churn={"event": "complaint", "when": "happens"})
    assert named["leaving"].is_harm("complaint", {}) and not named["leaving"].silent


def test_the_share_of_the_policy_is_that_among_the_two_arms(toy_catalog):
    _, named = rules_of(toy_catalog)
    assert named["complaints"].policy_share == pytest.approx(0.7 / 0.8)
    assert named["unhappy"].policy_share == pytest.approx(0.7 / 0.9)
    assert named["unhappy"].arms == ("policy", "nobody")


def test_the_level_is_shared_between_the_actions_that_are_tested(toy_catalog):
    rules, named = rules_of(toy_catalog)
    assert rules.actions == ("call_back", "discount", "talk_plus")  # `no_action` is never tested
    assert rules.stops_at(named["complaints"]) == pytest.approx(3 / 0.02)


def test_words_and_arms_do_not_begin_the_tests_of_actions_anew(toy_catalog):
    _, before = rules_of(toy_catalog)
    _, described = rules_of(
        toy_catalog, ALL | {"complaints": {**ALL["complaints"], "description": "!"}}
    )
    _, moved = rules_of(toy_catalog, arms={"random": 0.3, "nobody": 0.2})
    _, stricter = rules_of(toy_catalog, ALL | {"complaints": {**ALL["complaints"], "limit": 2}})
    name = "complaints"
    assert described[name].of_actions == before[name].of_actions == moved[name].of_actions
    assert described[name].of_arm == before[name].of_arm != moved[name].of_arm
    assert stricter[name].of_actions != before[name].of_actions
