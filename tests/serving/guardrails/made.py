"""Tests with made-up harm, put straight into a ledger."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from serving.guardrails.guardrail_rules import GuardrailRule
from serving.guardrails.harm_test import HarmTest
from serving.guardrails.stored_tests import read_tests, write_tests


def harmful_test(harmed: int = 30) -> HarmTest:
    """A test in which all harm followed an action that was drawn half of the time."""
    return HarmTest().add(np.full(harmed, 0.5), np.ones(harmed, dtype=bool), 1.0)


def with_harm(connection: sa.Connection, rule: GuardrailRule, tests: dict[str, HarmTest]) -> None:
    """Write tests of actions of a guardrail that has begun."""
    stored = read_tests(connection, [rule])[rule.name]
    assert stored is not None
    stored.actions |= tests
    write_tests(connection, rule, stored, tests)
