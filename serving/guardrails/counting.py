"""Counts harm in the tests of guardrails, in small steps, and switches off what harms.

A step reads the marks that are due, their events and the decisions before them from one snapshot.
One short transaction then writes the tests, what was counted and the stops, and deletes the marks,
unless another step or a lifting was written since the snapshot. So a step that is cut off changes
nothing, and each mark is counted once.

The test of the policy's arm asks whether more customers come to harm under the policy than in the
arm that the guardrail names. Each customer counts once, by the first harm since they were met and
since the test began. Arms are drawn by a hash of the customer id, so if the policy does no harm the
customer is of its arm with the probability of its share of the two. No action is known to be the
cause, so this test warns and switches nothing off.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import among
from features.outcomes.harm_marks import EVENT, SILENCE, raise_step, read_step
from serving.guardrails.drawn_actions import Draw, DrawReader, Toss, tosses
from serving.guardrails.due_harm import Harm, harm_of, mark_again
from serving.guardrails.guardrail_rules import GuardrailRule, GuardrailRules
from serving.guardrails.harm_test import HarmTest
from serving.guardrails.set_aside import caught, read_set_aside, set_aside, try_again
from serving.guardrails.stops import write_stops
from serving.guardrails.stored_tests import (
    StoredTests,
    begin_tests,
    read_tests,
    write_tests,
)
from serving.guardrails.views import arm_threshold, harm_test_view
from serving.policies.arms import arm_of

log = logging.getLogger(__name__)

STEP = 64  # marks of a step: some 20 milliseconds
DECISION, CUSTOMER = "decision", "customer"  # units of `guardrail_events`
_DECIDED, _COUNTED = tables.decisions.c, tables.guardrail_events.c


@dataclass
class _HarmOfStep:
    """The harm of one guardrail in a step.

    Attributes
    ----------
    tosses : by action
        Of the policy's arm under ``arm``.
    rows : list
        Of `guardrail_events`.
    """

    tosses: dict[str, list[Toss]] = field(default_factory=dict)
    arm: list[Toss] = field(default_factory=list)
    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


@dataclass
class _CountingStep:
    number: int
    marks: Sequence[Any]
    tests: dict[str, StoredTests | None]
    counted: dict[str, _HarmOfStep] = field(default_factory=dict)
    aside: list[Any] = field(default_factory=list)  # marks whose harm cannot be counted


class HarmCounter:
    """Counts harm by the guardrails of a catalogue; one process at a time should."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._draws = DrawReader()
        self._begun: GuardrailRules | None = None  # the rules by which all tests have begun
        self._tried_again = False  # what was set aside, since the start

    def count(self, rules: GuardrailRules, now: datetime, size: int = STEP) -> bool:
        """Do one step.

        Parameters
        ----------
        now
            Marks that are due by then are counted.
        size : int
            The most marks of the step.

        Returns
        -------
        bool
            True if there was something to do, and so there may be more.
        """
        if not self._tried_again and self._ledger.read(read_set_aside)[0]:
            self._ledger.write_now(try_again)
        self._tried_again = True
        step = self._ledger.read(lambda connection: self._computed(connection, rules, now, size))
        if step is None:
            return False
        self._ledger.write_now(lambda connection: _write(connection, step, rules, now))
        return True

    def _computed(
        self, connection: sa.Connection, rules: GuardrailRules, now: datetime, size: int
    ) -> _CountingStep | None:
        marks = tables.guardrail_marks.c
        due = sa.select(tables.guardrail_marks).where(
            marks.due_at <= now, marks.kind.in_((EVENT, SILENCE))
        )
        some = connection.execute(due.order_by(marks.due_at, marks.kind, marks.key).limit(size))
        found = some.all()
        if not found and self._begun is rules:
            return None
        tests = read_tests(connection, rules.rules)
        step = _CountingStep(read_step(connection), found, tests)
        if any(one is None or one.arm_since_us < 0 for one in tests.values()):
            step.marks = ()  # the tests begin first; the marks are counted by the next step
            return step
        self._begun = rules
        if not found:
            return None
        for mark in step.marks:
            with caught(mark, step.aside):
                for rule, harm in harm_of(connection, mark, rules, now):
                    tests_of = tests[rule.name]
                    assert tests_of is not None
                    counted = step.counted.setdefault(rule.name, _HarmOfStep())
                    with caught(mark, step.aside):
                        self._count_draw(connection, rule, harm, tests_of, counted)
                    _count_customer(connection, rule, rules, harm, tests_of, counted)
        return step

    def _count_draw(
        self,
        connection: sa.Connection,
        rule: GuardrailRule,
        harm: Harm,
        tests: StoredTests,
        counted: _HarmOfStep,
    ) -> None:
        against = rule.guardrail.against
        draw = self._draws.newest(
            connection, harm.keys, harm.before - rule.within, harm.before, against == "nobody"
        )
        if draw is None or tables.micros(draw.decided_at) < tests.since_us:
            return
        told = tosses(draw, against)
        if not _is_first(connection, rule, DECISION, [draw.decision_id], harm.keys[0], counted):
            return
        for toss in told:
            if _counts(draw, toss, tests):
                counted.tosses.setdefault(toss.action_id, []).append(toss)


def _counts(draw: Draw, toss: Toss, tests: StoredTests) -> bool:
    return tables.micros(draw.decided_at) >= tests.action_since_us(toss.action_id)


def _count_customer(
    connection: sa.Connection,
    rule: GuardrailRule,
    rules: GuardrailRules,
    harm: Harm,
    tests: StoredTests,
    counted: _HarmOfStep,
) -> None:
    """Count the first harm to a customer in the test of the policy's arm."""
    arm, share = arm_of(harm.keys[0], rules.arms), rule.policy_share
    outside = arm not in rule.arms or not 0.0 < share < 1.0
    if outside or tables.micros(harm.at) < tests.arm_since_us:
        return
    met = sa.select(_DECIDED.serial).where(
        among(_DECIDED.customer_id, harm.keys), _DECIDED.decided_at < harm.at, _DECIDED.arm == arm
    )
    if connection.execute(met.limit(1)).first() is None:
        return
    if _is_first(connection, rule, CUSTOMER, harm.keys, harm.keys[0], counted):
        counted.arm.append(Toss("", share, arm == "policy"))


def _is_first(
    connection: sa.Connection,
    rule: GuardrailRule,
    unit: str,
    keys: Sequence[str],
    customer_id: str,
    counted: _HarmOfStep,
) -> bool:
    """Return whether a decision or a customer is counted for the first time, and note it."""
    if any((unit, key) in counted.rows for key in keys):
        return False
    tests = rule.of_actions if unit == DECISION else rule.of_arm
    mine = (_COUNTED.guardrail == tests) & (_COUNTED.unit == unit) & among(_COUNTED.key, keys)
    if connection.execute(sa.select(_COUNTED.key).where(mine).limit(1)).first():
        return False
    row = {"guardrail": tests, "unit": unit, "key": keys[0], "customer_id": customer_id}
    counted.rows[unit, keys[0]] = row
    return True


def _write(
    connection: sa.Connection, step: _CountingStep, rules: GuardrailRules, now: datetime
) -> None:
    if read_step(connection) != step.number:
        return  # another was quicker, or a customer was forgotten; the marks are still there
    raise_step(connection)
    for rule in rules.rules:
        tests = step.tests[rule.name]
        if tests is None or tests.arm_since_us < 0:
            begin_tests(connection, rule, now)
        elif rule.name in step.counted:
            _write_counted(connection, rule, rules, tests, step.counted[rule.name], now)
    marks = tables.guardrail_marks.c
    for mark in step.marks:
        mine = (marks.kind == mark.kind) & (marks.key == mark.key) & (marks.due_at == mark.due_at)
        connection.execute(sa.delete(tables.guardrail_marks).where(mine))
        if mark.kind == SILENCE:
            again = list(mark_again(connection, mark, rules, now))
            tables.insert_new(connection, tables.guardrail_marks, again)
    set_aside(connection, step.aside)


def _write_counted(
    connection: sa.Connection,
    rule: GuardrailRule,
    rules: GuardrailRules,
    tests: StoredTests,
    counted: _HarmOfStep,
    now: datetime,
) -> None:
    tables.insert_new(connection, tables.guardrail_events, list(counted.rows.values()))
    for name, some in counted.tosses.items():
        tests.actions[name] = _added(tests.actions.get(name, HarmTest()), rule, some)
    before = tests.arm.exceeds(arm_threshold(rule))
    if counted.arm:
        tests.arm = _added(tests.arm, rule, counted.arm)
    write_tests(connection, rule, tests, counted.tosses)
    found = [harm_test_view(name, tests.actions[name], rule, rules) for name in counted.tosses]
    known = [one for one in found if one.exceeded and one.action_id in rules.actions]
    for stopped in write_stops(connection, rule.name, known, now):
        log.warning(
            "The guardrail %s has switched off %s: %d of %d harmed had it, where at most %.1f "
            "are expected; lift it with 'nba guardrails --lift %s --action %s'",
            *(rule.name, stopped.action_id, stopped.after, stopped.harmed, stopped.expected),
            *(rule.name, stopped.action_id),
        )
    if tests.arm.exceeds(arm_threshold(rule)) and not before:
        log.warning("The guardrail %s warns: more customers are harmed by the policy", rule.name)


def _added(test: HarmTest, rule: GuardrailRule, some: Sequence[Toss]) -> HarmTest:
    chance = np.array([one.chance for one in some])
    followed = np.array([one.followed for one in some])
    return test.add(chance, followed, rule.guardrail.limit)
