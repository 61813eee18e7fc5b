"""Stores the tests of guardrails: since when each counts, and its sums.

A guardrail may have several definitions: that of before a change, or that of another server on this
ledger, whose catalogue is another one during a deployment. Each has tests of its own, stored by
name and fingerprint, so no definition ends the tests of another one, and one that comes back goes
on. Harm is counted by the definition of the process that comes first. That does not depend on
which action was drawn, so the tests stay valid, and are slower. The newest `KEPT` definitions stay.

The tests of the actions have a first row, of no action. An action has a row once harm was counted
for it, or once its stop was lifted. The test of the policy's arm has one row. Whoever writes raises
the number of steps (`harm_marks`), so a step that was computed from an earlier state is not written
over a later one.
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
from features.ledger.statements import among
from serving.guardrails.guardrail_rules import OF_ACTIONS, OF_ARM, GuardrailRule
from serving.guardrails.harm_test import HarmTest

FIRST = ""  # in place of an action: the first row
KEPT = 5  # definitions of a guardrail
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
    """Read the tests of guardrails, by name; None: they have not begun yet.

    Where the arms are new, the test of the policy's arm has not begun: its time is -1.
    """
    keys = [key for rule in rules for key in (rule.of_actions, rule.of_arm)]
    mine = sa.select(tables.guardrail_tests).where(among(_TESTS.guardrail, keys))
    stored: dict[str, dict[str, Any]] = {key: {} for key in keys}
    for row in connection.execute(mine):
        stored[row.guardrail][row.action_id] = from_json(row.state)
    return {rule.name: _read(stored[rule.of_actions], stored[rule.of_arm]) for rule in rules}


def _read(of_actions: Mapping[str, Any], of_arm: Mapping[str, Any]) -> StoredTests | None:
    if FIRST not in of_actions:
        return None
    found = StoredTests(of_actions[FIRST]["since_us"], -1)
    if FIRST in of_arm:
        found.arm_since_us = of_arm[FIRST]["since_us"]
        found.arm = HarmTest.from_json(of_arm[FIRST]["test"])
    for name, kept in of_actions.items():
        if name != FIRST:
            found.actions[name] = HarmTest.from_json(kept["test"])
            found.lifted_us[name] = kept["lifted_us"]
    return found


def write_tests(
    connection: sa.Connection, rule: GuardrailRule, tests: StoredTests, changed: Iterable[str]
) -> None:
    """Write the test of the policy's arm, and those of the actions that have changed."""
    arm = {"since_us": tests.arm_since_us, "test": tests.arm.to_json()}
    actions = [
        _row(rule.of_actions, name, _state(tests.actions[name], tests.lifted_us.get(name, 0)))
        for name in changed
    ]
    tables.upsert(connection, tables.guardrail_tests, [_row(rule.of_arm, FIRST, arm), *actions])


def begin_tests(connection: sa.Connection, rule: GuardrailRule, now: datetime) -> None:
    """Begin the tests of a guardrail that have not begun yet, and forget its oldest definitions."""
    since = {"since_us": tables.micros(now)}
    first = _row(rule.of_actions, FIRST, since)
    if tables.insert_new(connection, tables.guardrail_tests, [first]):
        _forget_oldest(connection, f"{rule.name}{OF_ACTIONS}")
    first = _row(rule.of_arm, FIRST, {**since, "test": HarmTest().to_json()})
    if tables.insert_new(connection, tables.guardrail_tests, [first]):
        _forget_oldest(connection, f"{rule.name}{OF_ARM}")


def _forget_oldest(connection: sa.Connection, definitions: str) -> None:
    since = {key: state["since_us"] for key, state in _definitions(connection, definitions)}
    oldest = sorted(since, key=lambda key: since[key])[:-KEPT]
    for table in (tables.guardrail_tests, tables.guardrail_events):
        connection.execute(sa.delete(table).where(among(table.c.guardrail, oldest)))


def _definitions(connection: sa.Connection, begin: str) -> list[tuple[str, Any]]:
    """Read the key and the first state of each definition whose key has some beginning."""
    mine = _TESTS.guardrail.startswith(begin, autoescape=True) & (_TESTS.action_id == FIRST)
    rows = connection.execute(sa.select(_TESTS.guardrail, _TESTS.state).where(mine))
    return [(row.guardrail, from_json(row.state)) for row in rows]


def restart_action(connection: sa.Connection, guardrail: str, action_id: str, at: datetime) -> None:
    """Begin the tests of an action anew, with the decisions from a time on."""
    state = _state(HarmTest(), tables.micros(at))
    keys = [key for key, _ in _definitions(connection, f"{guardrail}{OF_ACTIONS}")]
    rows = [_row(key, action_id, state) for key in keys]
    tables.upsert(connection, tables.guardrail_tests, rows)


def _state(test: HarmTest, lifted_us: int) -> dict[str, Any]:
    return {"lifted_us": lifted_us, "test": test.to_json()}


def _row(key: str, action_id: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "guardrail": key,
        "action_id": action_id,
        "rules": key.rpartition(" ")[2],
        "state": json.dumps(state),
    }
