"""Tests the choice of what a step learns, and the marks that it leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.ledger import tables
from serving.learn.steps import (
    due_revisions,
    mark_learned,
    stop_revising,
    unlearned_outcomes,
)
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY = timedelta(days=1)
LAYOUT = "as it is"


def test_silences_are_due_in_the_order_in_which_they_wait(ledger, now):
    for number in (2, 1, 3):
        decided(ledger, f"d{number}", now + number * DAY, {"discount": 14}, layout=LAYOUT)
    keys = [(f"d{number}", "discount") for number in (1, 2)]
    assert ledger.read(lambda c: due_revisions(c, now + 2 * DAY, 9)) == keys
    ledger.write_now(lambda c: stop_revising(c, keys[:1]))
    assert ledger.read(lambda c: due_revisions(c, now + 2 * DAY, 9)) == keys[1:]


def test_a_decision_that_waits_for_its_activation_is_not_due(ledger, now):
    decided(ledger, "d1", now, {"discount": 14}, activated_at=None, served=False)
    decided(ledger, "d2", now, {})
    assert ledger.read(lambda c: due_revisions(c, now + DAY, 9)) == []


def test_an_outcome_is_unlearned_until_it_is_marked(ledger, now):
    rows = [
        {
            "outcome_id": f"o{number}",
            "decision_id": f"d{number}",
            "action_id": "discount",
            "outcome": "accepted",
            "occurred_at": now,
            "received_at": now + number * DAY,
            "learned": False,
        }
        for number in (2, 1)
    ]
    ledger.write_now(lambda c: tables.insert_new(c, tables.outcomes, rows))
    assert list(ledger.read(lambda c: unlearned_outcomes(c, 9)).items()) == [
        ("o1", "d1"),
        ("o2", "d2"),
    ]
    ledger.write_now(lambda c: mark_learned(c, ["o1"]))
    assert ledger.read(lambda c: unlearned_outcomes(c, 9)) == {"o2": "d2"}
