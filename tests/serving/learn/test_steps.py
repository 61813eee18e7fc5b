"""Tests the choice of what a step learns, and the marks that it leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.ledger import tables
from serving.learn.steps import (
    due_revisions,
    mark_learned,
    next_batch,
    revise_soon,
    stop_revising,
    unlearned_outcomes,
)
from tests.decided import decided
from tests.serving.learn.test_learner import HOUR, Shop, changed

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


# Batches ------------------------------------------------------------------------------------------


def tell(ledger, number: int, decision_id: str, at, shared_id: str | None = None) -> None:
    row = {
        "outcome_id": f"o{number:04}",
        "decision_id": decision_id,
        "action_id": "discount",
        "outcome": "accepted",
        "occurred_at": at,
        "received_at": at,
        "shared_id": shared_id,
        "learned": False,
    }
    ledger.write_now(lambda c: tables.insert_new(c, tables.outcomes, [row]))


def test_a_batch_takes_outcomes_and_silences_of_so_many_decisions(ledger, now):
    for number in range(6):
        decided(ledger, f"d{number}", now + number * DAY, {"discount": 14}, layout=LAYOUT)
    for number in range(4):
        tell(ledger, number, f"d{number}", now + number * DAY)
    at = now + 9 * DAY
    batches = {most: ledger.read(lambda c, n=most: next_batch(c, at, n)) for most in (1, 4, 10)}
    assert list(batches[1].outcome_ids) == ["o0000"] and batches[1].is_full
    assert list(batches[1].decision_ids) == ["d0"]
    # As many silences as outcomes, where both wait; a decision may be one of each.
    assert list(batches[4].outcome_ids) == ["o0000", "o0001"]
    assert [key[0] for key in batches[4].due] == ["d0", "d1"]
    assert not batches[10].is_full
    assert list(batches[10].decision_ids) == [f"d{number}" for number in range(6)]


def test_decisions_that_share_an_outcome_wait_for_later_steps_where_there_is_no_room(ledger, now):
    for number in range(6):
        decided(ledger, f"d{number}", now, {"discount": 14}, layout=LAYOUT)
        tell(ledger, number, f"d{number}", now + number * DAY, shared_id="order-7")
    learned = [f"o000{number}" for number in range(1, 6)]
    ledger.write_now(lambda c: mark_learned(c, learned))
    ledger.write_now(lambda c: stop_revising(c, [(f"d{n}", "discount") for n in range(6)]))
    batch = ledger.read(lambda c: next_batch(c, now + DAY, 3))
    assert list(batch.decision_ids) == ["d0", "d1", "d2"] and batch.is_full
    assert list(batch.sharers) == ["d3", "d4", "d5"]
    ledger.write_now(lambda c: revise_soon(c, batch.sharers, now + DAY))
    assert [key[0] for key in ledger.read(lambda c: due_revisions(c, now + DAY, 9))] == [
        *batch.sharers
    ]


def test_a_step_reads_a_bounded_number_of_sharers_unless_one_decision_has_more(
    ledger, now, monkeypatch
):
    monkeypatch.setattr("serving.learn.steps.SHARERS", 3)
    for number in range(6):
        decided(ledger, f"d{number}", now, {"discount": 14}, layout=LAYOUT)
        tell(ledger, number, f"d{number}", now + number * DAY, shared_id=f"order-{number // 2}")
    ledger.write_now(lambda c: stop_revising(c, [(f"d{n}", "discount") for n in range(6)]))
    batch = ledger.read(lambda c: next_batch(c, now + DAY, 6))
    assert list(batch.outcome_ids) == ["o0000", "o0001"] and batch.is_full
    monkeypatch.setattr("serving.learn.steps.SHARERS", 1)
    batch = ledger.read(lambda c: next_batch(c, now + DAY, 6))
    assert list(batch.outcome_ids) == ["o0000"], "the first one is taken, however many share it"


def test_credits_of_many_sharers_end_where_one_large_step_ends(
    ledger, toy_domain, toy_catalog, now, monkeypatch
):
    """The order moves to each of nine in turn; steps of two decisions queue the others."""
    monkeypatch.setattr("serving.learn.learner.AT_ONCE", 2)
    monkeypatch.setattr("serving.learn.steps.SHARERS", 2)
    shop = Shop(ledger, toy_domain, changed(toy_catalog, attribution="even"), now)
    learner = shop.learner()
    for number in range(9):
        shop.decide(f"d{number}")
        shop.tell(f"d{number}", "accepted", shared_id="order-7")
        learner.step(now + HOUR)
    for _ in range(30):
        learner.step(now + 2 * HOUR)
    assert shop.credits() == {(f"d{n}", "discount"): 1 / 9 for n in range(9)}
    assert learner.counted == 9
