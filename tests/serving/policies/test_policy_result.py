"""Eligibility, contact policy and pacing name a removed action and its rule in the same way."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.catalog.decision_context import DecisionContext
from serving.contract.decisions import DecideRequest, Removed
from serving.policies.budgets import BudgetPacer
from serving.policies.contact_counts import ContactFacts
from serving.policies.contact_policy import ContactPolicy
from serving.policies.eligibility import NO_TREATMENT, EngagementPolicy
from serving.policies.policy_result import PolicyResult, Removals
from tests.serving.fakes import changed

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
def compiled(toy_domain, toy_catalog) -> CompiledCatalog:
    """A cap that nobody passes, a volume of nothing, and a condition that never holds."""
    actions = toy_catalog.model_dump(by_alias=True)["actions"]
    actions["call_back"]["eligibility"] = ["age_years > 99"]
    actions["discount"]["volume"] = {"at_most": 0}
    caps = {"caps": [{"at_most": 0, "days": 7, "actions": ["talk_plus"]}]}
    catalog = changed(toy_catalog, actions=actions, contact_policy=caps)
    return CompiledCatalog(catalog, toy_domain, ModelInput(toy_domain))


def eligibility(compiled: CompiledCatalog) -> PolicyResult:
    unknown = np.full(len(compiled.context_reader.names.position), np.nan)
    context = DecisionContext(unknown, {})
    holds = compiled.conditions.holds(*context)
    request = DecideRequest(customer_id="c1", channel="app")
    return EngagementPolicy(compiled).evaluate(request, context, holds, NOW)


def contact_policy(compiled: CompiledCatalog) -> PolicyResult:
    return ContactPolicy(compiled).evaluate(ContactFacts("c1", "phone", NOW, NOW, (), {}))


def pacing(compiled: CompiledCatalog) -> PolicyResult:
    return BudgetPacer(compiled).evaluate({}, NOW)


@pytest.mark.parametrize(
    ("evaluate", "rules"),
    [
        (eligibility, {"call_back": "eligibility", "talk_plus": "treatments"}),
        (contact_policy, {"talk_plus": "contact_policy.caps.0"}),
        (pacing, {"discount": "actions.discount.volume"}),
    ],
)
def test_each_removed_action_has_a_rule_and_a_reason(compiled, evaluate, rules):
    result = evaluate(compiled)
    removed = result.out.nonzero()[0].tolist()
    assert {compiled.actions[action]: result.rule(action) for action in removed} == rules
    for action in removed:
        why = result.why(action)
        assert (why.action_id, why.rule) == (compiled.actions[action], result.rule(action))
        assert why.reason


class Result:
    """The result of a policy that removes some of three actions."""

    def __init__(self, name: str, *out: bool) -> None:
        self.name, self.out = name, np.array(out)

    def rule(self, action: int) -> str:
        return self.name

    def why(self, action: int) -> Removed:
        return Removed(action_id=f"a{action}", rule=self.name, reason="a reason")


def test_the_first_policy_that_removes_an_action_names_the_rule():
    results = [Result("first", False, True, False), Result("second", True, True, False)]
    removals = Removals(("a0", "a1", "a2"), results)
    assert removals.rules() == {"a0": "second", "a1": "first"}
    assert [(one.action_id, one.rule) for one in removals.in_words()] == [
        ("a0", "second"),
        ("a1", "first"),
    ]


def test_an_action_that_the_channel_cannot_show_is_in_words_only():
    removals = Removals(("a0", "a1", "a2"), [Result(NO_TREATMENT, True, False, False)])
    assert removals.rules() == {}
    assert [one.action_id for one in removals.in_words()] == ["a0"]
