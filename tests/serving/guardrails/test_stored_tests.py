"""Tests of guardrails are stored with the rules that they follow, and begin anew with others."""

from __future__ import annotations

import pytest

from features.ledger import tables
from serving.guardrails.guardrail_rules import GuardrailRules
from serving.guardrails.harm_test import HarmTest
from serving.guardrails.stored_tests import (
    StoredTests,
    begin_tests,
    read_tests,
    restart_action,
    write_tests,
)
from tests.conftest import NOW
from tests.serving.fakes import changed
from tests.serving.guardrails.conftest import COMPLAINTS, HOUR, harmed_domain
from tests.serving.guardrails.made import harmful_test

pytestmark = pytest.mark.databases("sqlite", "postgresql")
NAME = "complaints"


@pytest.fixture
def rule_of(toy_catalog):
    def rule(arms=None, **fields):
        guardrails = {NAME: COMPLAINTS[NAME] | fields}
        catalog = changed(toy_catalog, guardrails=guardrails, arms=arms or {"random": 0.1})
        return GuardrailRules.of(catalog, harmed_domain()).rules[0]

    return rule


def read(ledger, rule):
    return ledger.read(lambda c: read_tests(c, [rule]))[NAME]


def test_what_was_written_is_read(ledger, rule_of):
    rule, at_us = rule_of(), tables.micros(NOW)
    assert read(ledger, rule) is None
    tests = StoredTests(at_us, at_us + 1, harmful_test(3), {"discount": harmful_test(5)})
    tests.lifted_us = {"discount": at_us + 7}
    ledger.write_now(lambda c: write_tests(c, rule, tests, ["discount"]))
    assert read(ledger, rule) == tests
    assert tests.action_since_us("discount") == at_us + 7
    assert tests.action_since_us("call_back") == at_us


def test_other_rules_read_nothing_and_other_arms_only_the_tests_of_actions(ledger, rule_of):
    rule, at_us = rule_of(), tables.micros(NOW)
    tests = StoredTests(at_us, at_us, harmful_test(3), {"discount": harmful_test(5)})
    ledger.write_now(lambda c: write_tests(c, rule, tests, ["discount"]))
    assert read(ledger, rule_of(limit=2)) is None
    moved = read(ledger, rule_of({"random": 0.2}))
    assert (moved.arm, moved.arm_since_us) == (HarmTest(), -1)
    assert moved.actions == {"discount": harmful_test(5)}


def test_to_begin_forgets_what_was_counted_by_other_rules(ledger, rule_of):
    rule, at_us = rule_of(), tables.micros(NOW)
    tests = StoredTests(at_us, at_us, harmful_test(3), {"discount": harmful_test(5)})
    ledger.write_now(lambda c: write_tests(c, rule, tests, ["discount"]))
    ledger.write_now(lambda c: begin_tests(c, rule, NOW + HOUR))
    later_us = at_us + 3_600_000_000
    assert read(ledger, rule) == StoredTests(later_us, later_us)


def test_a_lifted_action_alone_begins_anew(ledger, rule_of):
    rule, at_us = rule_of(), tables.micros(NOW)
    both = {"discount": harmful_test(5), "call_back": harmful_test(2)}
    ledger.write_now(
        lambda c: write_tests(c, rule, StoredTests(at_us, at_us, actions=dict(both)), both)
    )
    ledger.write_now(lambda c: restart_action(c, NAME, "discount", NOW + HOUR))
    found = read(ledger, rule)
    assert found.actions == both | {"discount": HarmTest()}
    assert found.lifted_us == {"discount": at_us + 3_600_000_000, "call_back": 0}
