"""Tells the tests of guardrails and the stops, in figures and in words."""

from __future__ import annotations

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.ledger import tables
from serving.contract.guardrails import GuardrailsView, GuardrailView, HarmTestView
from serving.guardrails.guardrail_rules import GuardrailRule, GuardrailRules
from serving.guardrails.harm_test import HarmTest
from serving.guardrails.stops import stop_views
from serving.guardrails.stored_tests import StoredTests, read_tests

COMPARED = {"random": "the other actions", "nobody": "no action"}


def arm_threshold(rule: GuardrailRule) -> float:
    """The e-value at which the policy is warned of."""
    return 1.0 / rule.guardrail.level


def harm_test_view(
    action_id: str | None, test: HarmTest, rule: GuardrailRule, rules: GuardrailRules
) -> HarmTestView:
    """Tell a test of an action; of the policy's arm, if ``action_id`` is None."""
    threshold = arm_threshold(rule) if action_id is None else rules.stops_at(rule)
    return HarmTestView(
        action_id=action_id,
        harmed=test.harmed,
        after=test.after,
        expected=test.expected,
        rate_ratio=test.rate_ratio,
        e_value=test.e_value,
        stops_at=threshold,
        exceeded=test.exceeds(threshold),
    )


def guardrail_views(
    connection: sa.Connection, catalog: Catalog, domain: Domain
) -> list[GuardrailView]:
    """Read the guardrails of a catalogue with their tests, in the order of the catalogue."""
    rules = GuardrailRules.of(catalog, domain)
    stored = read_tests(connection, rules.rules)
    return [_guardrail_view(rule, stored[rule.name], rules) for rule in rules.rules]


def view_guardrails(
    connection: sa.Connection, also_lifted: bool, catalog: Catalog, domain: Domain
) -> GuardrailsView:
    """Read the guardrails of a catalogue, and the stops of now or of all times."""
    return GuardrailsView(
        guardrails=guardrail_views(connection, catalog, domain),
        stops=stop_views(connection, also_lifted),
    )


def _guardrail_view(
    rule: GuardrailRule, tests: StoredTests | None, rules: GuardrailRules
) -> GuardrailView:
    guardrail = rule.guardrail
    actions = [
        harm_test_view(name, tests.actions[name], rule, rules)
        for name in rules.actions
        if tests and name in tests.actions
    ]
    policy = harm_test_view(None, tests.arm, rule, rules) if tests else None
    return GuardrailView(
        name=rule.name,
        description=guardrail.description,
        counts=guardrail.counts,
        at_most=guardrail.at_most,
        within_days=guardrail.within_days,
        limit=guardrail.limit,
        against=guardrail.against,
        level=guardrail.level,
        since=tables.from_micros(tests.since_us) if tests else None,
        policy=policy,
        actions=actions,
        words=_words(rule, policy, actions),
    )


def _words(rule: GuardrailRule, policy: HarmTestView | None, actions: list[HarmTestView]) -> str:
    """Tell in sentences what a guardrail has found."""
    found = [_exceeded_text(rule, one) for one in actions if one.exceeded]
    if policy and policy.exceeded:
        found.append(warning_text(rule.name, rule.guardrail.against))
    if found:
        return " ".join(found)
    harmed = max((one.harmed for one in actions), default=0)
    if not harmed:
        return "No harm was counted yet."
    largest = max(actions, key=lambda one: one.e_value)
    return (
        f"No action exceeds the limit: the most evidence is against {largest.action_id}, "
        f"{largest.e_value:.3g} of the {largest.stops_at:,.0f} that switch it off."
    )


def _exceeded_text(rule: GuardrailRule, test: HarmTestView) -> str:
    ratio = "" if test.rate_ratio is None else f" (some {test.rate_ratio:.1f} times as much)"
    return (
        f"{test.action_id} harms more than {rule.guardrail.limit:g} times as often as "
        f"{COMPARED[rule.guardrail.against]}{ratio}."
    )


def warning_text(guardrail: str, against: str) -> str:
    """The sentence by which the policy's arm is warned of."""
    return (
        f"guardrails: {guardrail} is more frequent among customers of the policy than in the arm "
        f"{against}; no single action is known to be the cause"
    )
