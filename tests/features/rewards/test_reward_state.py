"""Tests of the state of the sums, and of the sums of customers who are erased."""

from __future__ import annotations

import pytest

from features.ingest.erase_rows import begin_erasure, erase_some
from features.ledger import tables
from features.ledger.derived_tables import mark_decisions
from features.rewards.reward_state import (
    SumState,
    Walk,
    forget_rewards,
    read_state,
    write_state,
)
from features.rewards.reward_steps import RewardRules
from features.rewards.rewards import rewards
from tests.conftest import NOW
from tests.decided import decided
from tests.recomputed import as_sums
from tests.summed import marked, sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_a_state_that_is_not_the_newest_is_not_written(ledger):
    before = ledger.read(read_state)
    after = SumState(0, 7, Walk("r", "c1", False), Walk("e", None, False))
    assert ledger.write_now(lambda c: write_state(c, before, after))
    assert not ledger.write_now(lambda c: write_state(c, before, after))
    found = ledger.read(read_state)
    assert (found.step, found.serial, found.rewards) == (1, 7, after.rewards)


def test_a_walk_begins_when_the_rules_are_others():
    done = SumState(3, 7, Walk("r", None, False), Walk("e", None, False))
    assert done.begun("r", "e") == done
    assert done.begun("r2", "e").rewards == Walk("r2", "", False)
    first = SumState(3, 7, Walk("r", "c5", True), Walk("e", None, False))
    assert first.begun("r2", "e").rewards == Walk("r2", "", True)
    ended = SumState(3, 7, Walk("r", None, True), Walk("e", None, False))
    assert ended.begun("r2", "e").rewards == Walk("r2", "", False)


def test_a_customer_who_holds_an_erased_decision_is_marked(ledger):
    """The decision waits to be moved to the customer who is erased."""
    decided(ledger, "d1", NOW, {"discount": 14}, customer_id="c9")
    ledger.write_now(lambda c: forget_rewards(c, ["c1"], ["d1"]))
    assert marked(ledger) == [("customer", "c9")]


def test_erasing_a_customer_deletes_its_sums_and_corrects_those_who_shared_with_it(
    ledger, toy_catalog, toy_domain
):
    rules = RewardRules.of(toy_catalog, toy_domain)
    decided(ledger, "d1", NOW, {"discount": 14}, customer_id="c1")
    decided(ledger, "d2", NOW, {"discount": 14}, customer_id="c2")
    outcome = {"action_id": "discount", "outcome": "accepted", "occurred_at": NOW}
    outcome |= {"received_at": NOW, "learned": True, "shared_id": "order-7"}
    rows = [outcome | {"outcome_id": f"o-{name}", "decision_id": name} for name in ("d1", "d2")]
    ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), rows))
    sum_all(ledger, rules)
    before = {key[0]: value[2] for key, value in as_sums(rewards(ledger, toy_catalog, NOW)).items()}
    assert before == {"c1": 4.5, "c2": -0.5}

    ledger.write_now(lambda c: mark_decisions(c, ["d1"]))
    erasure_id, _ = ledger.write_now(lambda c: begin_erasure(c, ["c1"], NOW))
    while not erase_some(ledger, erasure_id, NOW).done:
        pass
    assert marked(ledger) == [("decision", "d2")]
    sum_all(ledger, rules)
    after = {key[0]: value[2] for key, value in as_sums(rewards(ledger, toy_catalog, NOW)).items()}
    assert after == {"c2": 4.5}


@pytest.mark.parametrize(
    ("after", "expected"), [("c2", "c1"), ("c1", ""), ("c3", "c1"), ("c4", "c4"), (None, None)]
)
def test_a_walk_keeps_no_name_of_somebody_who_is_erased(ledger, after, expected):
    """It is at the customer before, so it leaves nobody out."""
    for name in ("c1", "c2", "c3", "c4"):
        decided(ledger, f"d-{name}", NOW, {"discount": 14}, customer_id=name)
    gone = ["c2", "c3", *(["c1"] if after == "c1" else [])]
    at = SumState(0, 4, Walk("r", after, True), Walk("e", after, False))
    ledger.write_now(lambda c: write_state(c, ledger.read(read_state), at))
    ledger.write_now(lambda c: forget_rewards(c, gone, []))
    found = ledger.read(read_state)
    assert (found.rewards, found.events) == (Walk("r", expected, True), Walk("e", expected, False))
