"""Each definition of a guardrail has tests of its own, which are stored under it."""

from __future__ import annotations

import pytest

from features.ledger import tables
from serving.guardrails.guardrail_rules import GuardrailRules
from serving.guardrails.harm_test import HarmTest
from serving.guardrails.stored_tests import (
    KEPT,
    StoredTests,
    begin_tests,
    read_tests,
    restart_action,
    write_tests,
)
from tests.conftest import NOW
from tests.features.live import rows
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


def begun(ledger, rule, tests, at=NOW):
    """Begin the tests of a guardrail, and write their sums."""
    ledger.write_now(lambda c: begin_tests(c, rule, at))
    ledger.write_now(lambda c: write_tests(c, rule, tests, tests.actions))


def test_what_was_written_is_read(ledger, rule_of):
    rule, at_us = rule_of(), tables.micros(NOW)
    assert read(ledger, rule) is None
    tests = StoredTests(at_us, at_us, harmful_test(3), {"discount": harmful_test(5)})
    tests.lifted_us = {"discount": at_us + 7}
    begun(ledger, rule, tests)
    assert read(ledger, rule) == tests
    assert tests.action_since_us("discount") == at_us + 7
    assert tests.action_since_us("call_back") == at_us


def test_other_rules_read_nothing_and_other_arms_only_the_tests_of_actions(ledger, rule_of):
    rule, at_us = rule_of(), tables.micros(NOW)
    tests = StoredTests(at_us, at_us, harmful_test(3), {"discount": harmful_test(5)})
    begun(ledger, rule, tests)
    assert read(ledger, rule_of(limit=2)) is None
    moved = read(ledger, rule_of({"random": 0.2}))
    assert (moved.arm, moved.arm_since_us) == (HarmTest(), -1)
    assert moved.actions == {"discount": harmful_test(5)}


def test_each_definition_keeps_its_own_sums(ledger, rule_of):
    rule, other, at_us = rule_of(), rule_of(limit=2), tables.micros(NOW)
    tests = StoredTests(at_us, at_us, harmful_test(3), {"discount": harmful_test(5)}, {})
    tests.lifted_us = {"discount": 0}
    begun(ledger, rule, tests)
    later_us = at_us + 3_600_000_000
    for _ in range(2):  # a test that has begun goes on
        ledger.write_now(lambda c: begin_tests(c, rule, NOW + HOUR))
    ledger.write_now(lambda c: begin_tests(c, other, NOW + HOUR))
    assert read(ledger, rule) == tests
    assert read(ledger, other) == StoredTests(later_us, later_us)


def test_other_arms_begin_the_test_of_the_arm_and_no_other(ledger, rule_of):
    rule, moved, at_us = rule_of(), rule_of({"random": 0.2}), tables.micros(NOW)
    begun(ledger, rule, StoredTests(at_us, at_us, actions={"discount": harmful_test(5)}))
    ledger.write_now(lambda c: begin_tests(c, moved, NOW + HOUR))
    found = read(ledger, moved)
    assert (found.since_us, found.arm_since_us) == (at_us, at_us + 3_600_000_000)
    assert found.actions == {"discount": harmful_test(5)}


def test_the_newest_definitions_are_kept(ledger, rule_of):
    limits = [1 + number / 10 for number in range(KEPT + 2)]
    for number, limit in enumerate(limits):
        rule = rule_of(limit=limit)
        ledger.write_now(lambda c, rule=rule, at=NOW + number * HOUR: begin_tests(c, rule, at))
        row = {"guardrail": rule.of_actions, "unit": "decision", "key": "d1", "customer_id": "c1"}
        ledger.write_now(lambda c, row=row: tables.insert_new(c, tables.guardrail_events, [row]))
    kept = [limit for limit in limits if read(ledger, rule_of(limit=limit))]
    assert kept == limits[2:]
    counted = {row.guardrail for row in rows(ledger, tables.guardrail_events)}
    assert counted == {rule_of(limit=limit).of_actions for limit in limits[2:]}
    assert len(rows(ledger, tables.guardrail_tests)) == 2 * KEPT


def test_a_lifted_action_alone_begins_anew_in_all_definitions(ledger, rule_of):
    rule, other, at_us = rule_of(), rule_of(limit=2), tables.micros(NOW)
    both = {"discount": harmful_test(5), "call_back": harmful_test(2)}
    for one in (rule, other):
        begun(ledger, one, StoredTests(at_us, at_us, actions=dict(both)))
    ledger.write_now(lambda c: restart_action(c, NAME, "discount", NOW + HOUR))
    for one in (rule, other):
        found = read(ledger, one)
        assert found.actions == both | {"discount": HarmTest()}
        assert found.lifted_us == {"discount": at_us + 3_600_000_000, "call_back": 0}
