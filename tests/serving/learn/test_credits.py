"""Tests the reads and writes of the learner's tables."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.credit_rules import Credit
from features.outcomes.delay_epochs import ResponseDelays, shares_unseen
from features.outcomes.logged_actions import LoggedAction, read_logged_actions
from serving.learn.credits import (
    CreditChange,
    DecisionErased,
    WrittenCredit,
    credit_rows,
    credited_decisions,
    newest_shown_decisions,
    read_credit_changes,
    read_credits,
    write_credits,
)
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY = timedelta(days=1)
LAYOUT = "as it is"


def logged(ledger, *decision_ids: str) -> list[LoggedAction]:
    return ledger.read(lambda c: read_logged_actions(c, decision_ids, LAYOUT))


YES, NO = Credit(1.0, 1.0), Credit(0.0, 1.0)


def write(ledger, *changes: CreditChange, sequence: int = 7) -> None:
    ledger.write_now(lambda c: write_credits(c, credit_rows(changes, sequence)))


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


def test_no_credit_is_written_for_a_decision_that_was_erased_since_it_was_read(ledger, now):
    for name in ("d1", "d2"):
        decided(ledger, name, now, {"discount": 14}, layout=LAYOUT)
    changes = [CreditChange(one, None, YES, None, None) for one in logged(ledger, "d1", "d2")]
    for table in (tables.credits, tables.decisions):
        ledger.write_now(
            lambda c, table=table: c.execute(sa.delete(table).where(table.c.decision_id == "d1"))
        )
    with pytest.raises(DecisionErased):
        write(ledger, *changes)
    write(ledger, changes[1])
    rows = ledger.read(lambda c: c.execute(sa.select(tables.credits)).all())
    assert [(row.decision_id, row.acceptance) for row in rows] == [("d2", 1.0)]


def test_serials_count_the_decisions_before(ledger, now):
    for number in range(3):
        decided(ledger, f"d{number}", now, {"discount": 14}, layout=LAYOUT)
    serials = [one.serial for one in logged(ledger, "d0", "d1", "d2")]
    assert np.diff(sorted(serials)).tolist() == [1, 1]


def test_credits_are_written_replaced_and_taken_back(ledger, now):
    decided(ledger, "d1", now, {"discount": 14}, layout=LAYOUT)
    [action] = logged(ledger, "d1")

    def found() -> WrittenCredit:
        return ledger.read(lambda c: read_credits(c, ["d1"]))["d1", "discount"]

    assert found() == (None, now, None)
    for old, new in ((None, Credit(0.0, 0.25)), (Credit(0.0, 0.25), YES), (YES, None)):
        write(ledger, CreditChange(action, old, new, now + DAY))
        assert found() == (new, now + DAY, 7)


def test_a_credit_that_stays_keeps_the_number_of_its_first_snapshot(ledger, now):
    decided(ledger, "d1", now, {"discount": 14}, layout=LAYOUT)
    [action] = logged(ledger, "d1")
    write(ledger, CreditChange(action, None, NO, now))
    write(ledger, CreditChange(action, NO, NO, now + DAY, sequence=7), sequence=9)
    found = ledger.read(lambda c: read_credits(c, ["d1"]))
    assert found["d1", "discount"] == (NO, now + DAY, 7)


def test_a_credit_that_is_written_is_no_change_any_more(ledger, now, toy_catalog):
    decided(ledger, "d1", now, {"discount": 14}, layout=LAYOUT)

    def changes(days: float) -> list[CreditChange]:
        at, delays = now + days * DAY, ResponseDelays(toy_catalog)
        return ledger.read(lambda c: read_credit_changes(c, ["d1"], LAYOUT, at, delays))

    last = float(shares_unseen(14 * DAY.total_seconds())[-1])
    for days, count, revise_at in ((8.0, last, now + 14 * DAY), (15.0, 1.0, None)):
        [change] = changes(days)
        assert (change.new, change.revise_at) == (Credit(0.0, count), revise_at)
        write(ledger, change)
        assert changes(days) == []


def test_decisions_are_found_that_have_a_credit_or_that_were_shown_last(ledger, now):
    for number in range(4):
        decided(ledger, f"d{number}", now, {"discount": 14}, layout=LAYOUT)
    decided(ledger, "d4", now, {}, layout=LAYOUT)
    actions = logged(ledger, "d0", "d1", "d2")
    write(ledger, *(CreditChange(action, None, YES) for action in actions))
    assert ledger.read(credited_decisions) == ["d0", "d1", "d2"]
    assert ledger.read(lambda c: newest_shown_decisions(c, 2)) == ["d3", "d2"]


def test_a_silence_at_a_lower_rank_counts_by_the_chance_that_it_was_looked_at(
    ledger, now, toy_catalog
):
    """With a look of 0.4 and a belief of 0.2, 0.4 x 0.8 of 0.92 silences were looked at."""
    believed = {"discount": 0.3, "call_back": 0.2}
    about = {"layout": LAYOUT, "believed": believed}
    decided(ledger, "d1", now, {"discount": 14, "call_back": 14}, channel="phone", **about)
    delays = ResponseDelays(toy_catalog)
    for looks, count in (({"phone": (1.0, 0.4)}, 0.32 / 0.92), ({"app": (1.0, 0.4)}, 1.0)):
        delays.looks = lambda connection, at, looks=looks: looks
        first, second = ledger.read(
            lambda c: read_credit_changes(c, ["d1"], LAYOUT, now + 15 * DAY, delays)
        )
        assert (first.new, first.action.believed) == (NO, 0.3)
        assert (second.new, second.action.believed) == (Credit(0.0, pytest.approx(count)), 0.2)
