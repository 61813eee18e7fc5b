"""Tests the reads and writes of the learner's tables."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from features.ledger import tables
from serving.learn import credits
from serving.learn.credits import (
    SETTLE,
    CreditChange,
    LoggedAction,
    closed_windows,
    credited_decisions,
    mark_learned,
    newest_credited_decisions,
    read_credit_changes,
    read_credits,
    read_logged_actions,
    unlearned_outcomes,
    write_credits,
)
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY = timedelta(days=1)
LAYOUT = "as it is"


def logged(ledger, *decision_ids: str) -> list[LoggedAction]:
    return ledger.read(lambda c: read_logged_actions(c, decision_ids, LAYOUT))


def write(ledger, *changes: CreditChange) -> None:
    ledger.write_now(lambda c: write_credits(c, changes))


def test_a_logged_action_holds_the_features_and_predictions_of_its_decision(ledger, now):
    about = {"layout": LAYOUT, "row": (1.0, 2.5), "experts": {"discount": [0.2, 0.3]}}
    decided(ledger, "d1", now, {"discount": 14, "call_back": 7}, channel="phone", **about)
    discount, call_back = logged(ledger, "d1")
    assert discount.shown.key == ("d1", "discount") and discount.channel == "phone"
    assert list(discount.row) == [1.0, 2.5]
    assert list(discount.expert_predictions) == [0.2, 0.3]
    assert list(call_back.expert_predictions) == []


def test_a_decision_of_another_layout_is_left_out(ledger, now):
    decided(ledger, "d1", now, {"discount": 14}, layout="another")
    assert logged(ledger, "d1") == []


def test_serials_count_the_decisions_before(ledger, now):
    for number in range(3):
        decided(ledger, f"d{number}", now, {"discount": 14}, layout=LAYOUT)
    serials = [one.serial for one in logged(ledger, "d0", "d1", "d2")]
    assert np.diff(sorted(serials)).tolist() == [1, 1]


def test_credits_are_written_replaced_and_deleted(ledger, now):
    decided(ledger, "d1", now, {"discount": 14}, layout=LAYOUT)
    [action] = logged(ledger, "d1")
    for old, new in ((None, 0.0), (0.0, 1.0), (1.0, None)):
        write(ledger, CreditChange(action, old, new))
        found = ledger.read(lambda c: read_credits(c, ["d1"]))
        assert found == ({} if new is None else {("d1", "discount"): new})


def test_a_credit_that_is_written_is_no_change_any_more(ledger, now, toy_catalog):
    decided(ledger, "d1", now, {"discount": 14}, layout=LAYOUT)
    late = now + 15 * DAY

    def changes() -> list[CreditChange]:
        return ledger.read(lambda c: read_credit_changes(c, ["d1"], LAYOUT, late, toy_catalog))

    [change] = changes()
    assert (change.old, change.new) == (None, 0.0)
    write(ledger, change)
    assert changes() == []


def test_credited_decisions_are_found_all_or_the_newest(ledger, now):
    for number in range(4):
        decided(ledger, f"d{number}", now, {"discount": 14}, layout=LAYOUT)
    actions = logged(ledger, "d0", "d1", "d2")
    write(ledger, *(CreditChange(action, None, 1.0) for action in actions))
    assert ledger.read(credited_decisions) == ["d0", "d1", "d2"]
    assert ledger.read(lambda c: newest_credited_decisions(c, 2)) == ["d2", "d1"]


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
    assert list(ledger.read(unlearned_outcomes).items()) == [("o1", "d1"), ("o2", "d2")]
    ledger.write_now(lambda c: mark_learned(c, ["o1"]))
    assert ledger.read(unlearned_outcomes) == {"o2": "d2"}


def test_windows_are_found_once_they_have_ended_and_settled(ledger, now):
    decided(ledger, "d1", now, {"discount": 1}, layout=LAYOUT)
    end = now + DAY

    def closed(since, until):
        return ledger.read(lambda c: closed_windows(c, since, until))

    assert closed(now, end) == ([], max(now, end - SETTLE))
    found, searched = closed(now, end + SETTLE)
    assert (found, searched) == (["d1"], end)
    assert closed(searched, end + DAY)[0] == []


def test_windows_of_one_instant_stay_together_however_many_they_are(ledger, now, monkeypatch):
    monkeypatch.setattr(credits, "BATCH", 2)
    for number in range(5):
        decided(ledger, f"d{number}", now, {"discount": 1 if number < 4 else 2}, layout=LAYOUT)
    late = now + 10 * DAY
    found, searched = ledger.read(lambda c: closed_windows(c, now, late))
    assert sorted(found) == ["d0", "d1", "d2", "d3"] and searched == now + DAY
    assert ledger.read(lambda c: closed_windows(c, searched, late))[0] == ["d4"]
