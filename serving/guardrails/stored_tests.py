"""Stores the tests of guardrails: since when each counts, and its sums.

Each guardrail has a first row, of no action, with the test of the policy's arm. An action has a row
once harm was counted for it, or once its stop was lifted. Whoever writes raises the number of
steps (`harm_marks`), so that a step computed from an earlier state is not written over a later one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.ledger import tables
from serving.guardrails.guardrail_rules import GuardrailRule
from serving.guardrails.harm_test import HarmTest

OF_ARM = ""  # in place of an action
_TESTS = tables.guardrail_tests.c


@dataclass
class StoredTests:
    """The tests of one guardrail; times are microseconds since 1970.

    Attributes
    ----------
    since_us : int
        Decisions from then on count.
    arm, arm_since_us
        The test of the policy's arm; harm from then on counts.
    actions, lifted_us : mapping
        By action, its test; and the time of its last lifting, from which on its decisions count.
    """

    since_us: int
    arm_since_us: int
    arm: HarmTest = field(default_factory=HarmTest)
    actions: dict[str, HarmTest] = field(default_factory=dict)
    lifted_us: dict[str, int] = field(default_factory=dict)

    def action_since_us(self, action_id: str) -> int:
        """The time from which on decisions for an action count."""
        return max(self.since_us, self.lifted_us.get(action_id, 0))


def read_tests(
    connection: sa.Connection, rules: Iterable[GuardrailRule]
) -> dict[str, StoredTests | None]:
    """Read the tests of guardrails, by name; None: it is new, or was changed, and begins anew.

    Where only the arms have changed, the test of the policy's arm is new: its time is -1.
    """
    stored: dict[str, dict[str, Any]] = {}
    for row in connection.execute(sa.select(tables.guardrail_tests)):
        stored.setdefault(row.guardrail, {})[row.action_id] = row
    return {rule.name: _read(rule, stored.get(rule.name, {})) for rule in rules}


def _read(rule: GuardrailRule, rows: Mapping[str, Any]) -> StoredTests | None:
    first = rows.get(OF_ARM)
    if first is None:
        return None
    of_actions, _, of_arm = first.rules.partition(" ")
    if of_actions != rule.of_actions:
        return None
    kept = from_json(first.state)
    found = StoredTests(kept["since_us"], kept["arm_since_us"], HarmTest.from_json(kept["test"]))
    if of_arm != rule.of_arm:
        found.arm, found.arm_since_us = HarmTest(), -1
    for name, row in rows.items():
        if name != OF_ARM:
            kept = from_json(row.state)
            found.actions[name] = HarmTest.from_json(kept["test"])
            found.lifted_us[name] = kept["lifted_us"]
    return found


def write_tests(
    connection: sa.Connection, rule: GuardrailRule, tests: StoredTests, changed: Iterable[str]
) -> None:
    """Write the first row of a guardrail, and those of the actions that have changed."""
    first = {
        "since_us": tests.since_us,
        "arm_since_us": tests.arm_since_us,
        "test": tests.arm.to_json(),
    }
    states = {OF_ARM: first} | {
        name: {"lifted_us": tests.lifted_us.get(name, 0), "test": tests.actions[name].to_json()}
        for name in changed
    }
    rows = [
        {
            "guardrail": rule.name,
            "action_id": name,
            "rules": f"{rule.of_actions} {rule.of_arm}",
            "state": json.dumps(state),
        }
        for name, state in states.items()
    ]
    tables.upsert(connection, tables.guardrail_tests, rows)


def begin_tests(connection: sa.Connection, rule: GuardrailRule, now: datetime) -> None:
    """Begin the tests of a guardrail anew: what was counted by other rules is forgotten."""
    for table in (tables.guardrail_tests, tables.guardrail_events):
        connection.execute(sa.delete(table).where(table.c.guardrail == rule.name))
    at_us = tables.micros(now)
    write_tests(connection, rule, StoredTests(at_us, at_us), ())


def begin_arm_test(
    connection: sa.Connection, rule: GuardrailRule, tests: StoredTests, now: datetime, unit: str
) -> None:
    """Begin the test of the policy's arm anew, as its customers are others now."""
    events = tables.guardrail_events.c
    mine = (events.guardrail == rule.name) & (events.unit == unit)
    connection.execute(sa.delete(tables.guardrail_events).where(mine))
    tests.arm, tests.arm_since_us = HarmTest(), tables.micros(now)
    write_tests(connection, rule, tests, ())


def restart_action(connection: sa.Connection, guardrail: str, action_id: str, at: datetime) -> None:
    """Begin the test of an action anew, with the decisions from a time on."""
    state = {"lifted_us": tables.micros(at), "test": HarmTest().to_json()}
    mine = (_TESTS.guardrail == guardrail) & (_TESTS.action_id == action_id)
    connection.execute(
        sa.update(tables.guardrail_tests).where(mine).values(state=json.dumps(state))
    )
