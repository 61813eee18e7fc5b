"""Reads shown actions and their outcomes from the ledger."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from features.ledger import tables
from features.outcomes.attribution import (
    activated,
    read_attribution,
    sharing_decisions,
    shown_actions,
)
from features.outcomes.credit_rules import ShownAction
from tests.conftest import NOW
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DISCOUNT = {"discount": 14}


@pytest.fixture
def tell(ledger):
    """Writes an outcome of a decision, an hour after ``NOW``."""

    def put(decision_id: str, outcome: str = "accepted", **changed: Any) -> None:
        row = {"outcome_id": f"{decision_id}:{outcome}", "decision_id": decision_id}
        row |= {"action_id": "discount", "outcome": outcome, "occurred_at": NOW + HOUR}
        row |= {"received_at": NOW + HOUR, "learned": False}
        ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), row | changed))

    return put


def shown_in(ledger, *decision_ids):
    return ledger.read(lambda c: list(shown_actions(c, decision_ids)))


def test_a_decision_shows_its_actions_with_their_windows(ledger):
    decided(ledger, "d1", NOW, {"discount": 14, "call_back": 7})
    assert shown_in(ledger, "d1", "d9") == [
        ShownAction("d1", "discount", NOW, NOW + 14 * DAY, rank=1),
        ShownAction("d1", "call_back", NOW, NOW + 7 * DAY, rank=2),
    ]


def test_a_later_activation_shows_what_it_names_and_before_it_nothing_is_shown(ledger):
    both = {"discount": 14, "call_back": 7}
    decided(ledger, "d1", NOW, both, activated_at=None, served=False)
    later = {"activated_at": NOW + DAY, "activation": json.dumps({"activated": ["call_back"]})}
    decided(ledger, "d2", NOW, both, **later)
    assert shown_in(ledger, "d1") == []
    # It is the first that the customer saw.
    only = ShownAction("d2", "call_back", NOW + DAY, NOW + 8 * DAY, rank=1)
    assert shown_in(ledger, "d2") == [only]


def test_an_imported_decision_shows_one_action_unless_it_is_no_action(ledger):
    imported = {"served": False, "arm": None, "record": None, "answer": None, "features": None}
    window = {"window_ends_at": NOW + 3 * DAY}
    decided(ledger, "d1", NOW, DISCOUNT, **imported, **window)
    decided(ledger, "d2", NOW, {}, **imported | {"action_id": "no_action"})
    assert shown_in(ledger, "d1", "d2") == [ShownAction("d1", "discount", NOW, NOW + 3 * DAY)]


def test_a_decision_that_was_shown_at_once_has_no_activation():
    assert activated(SimpleNamespace(activation=None)) is None
    assert activated(SimpleNamespace(activation='{"activated": ["discount"]}')) == ["discount"]


def test_outcomes_of_other_decisions_take_part_in_the_shares(ledger, tell, toy_catalog):
    decided(ledger, "d1", NOW - DAY, DISCOUNT, customer_id="c1")
    decided(ledger, "d2", NOW, DISCOUNT, customer_id="c2")
    for decision_id in ("d1", "d2"):
        tell(decision_id, shared_id="order-7")
    [first] = shown_in(ledger, "d1")
    found = ledger.read(lambda c: read_attribution(c, [first], toy_catalog))
    [action] = found.actions
    assert (action.shown, [one.outcome for one in action.outcomes]) == (first, ["accepted"])
    assert found.shares == {
        ("order-7", "d1", "discount"): 0.0,
        ("order-7", "d2", "discount"): 1.0,
    }


def test_as_of_a_time_what_was_received_later_does_not_count(ledger, tell, toy_catalog):
    """The acceptance came first, then its retraction, then another decision's share of it."""
    decided(ledger, "d1", NOW - DAY, DISCOUNT, customer_id="c1")
    decided(ledger, "d2", NOW, DISCOUNT, customer_id="c2")
    tell("d1", shared_id="order-7")
    tell("d1", outcome_id="back", retracts="d1:accepted", received_at=NOW + 2 * DAY)
    tell("d2", shared_id="order-7", received_at=NOW + DAY)
    [first] = shown_in(ledger, "d1")

    def as_of(before):
        found = ledger.read(lambda c: read_attribution(c, [first], toy_catalog, before))
        [action] = found.actions
        return len(action.outcomes), found.shares.get(("order-7", "d1", "discount"))

    assert as_of(NOW + HOUR) == (0, None)
    assert as_of(NOW + 2 * HOUR) == (1, 1.0)
    assert as_of(NOW + DAY + HOUR) == (1, 0.0)
    assert as_of(None) == (0, None)


def test_decisions_that_share_an_outcome_are_found_from_each_of_them(ledger, tell):
    for decision_id in ("d1", "d2", "d3"):
        decided(ledger, decision_id, NOW, DISCOUNT)
    tell("d1", shared_id="order-7")
    tell("d2", shared_id="order-7")
    tell("d3")
    assert ledger.read(lambda c: sharing_decisions(c, ["d2"])) == {"d1", "d2"}
    assert ledger.read(lambda c: sharing_decisions(c, ["d3"])) == set()
