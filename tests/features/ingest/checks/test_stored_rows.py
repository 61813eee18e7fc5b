"""Names decisions and outcomes that were left out, as their id is there with another content."""

from __future__ import annotations

import pandas as pd
import pytest

from features.ledger import tables

AT, LATER = "2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z"
DECISION = {
    "decision_id": "d1",
    "customer_id": "c1",
    "decided_at": AT,
    "channel": "app",
    "action_id": "discount",
    "probability": 0.5,
}
OUTCOME = {"decision_id": "d1", "outcome": "accepted", "value": 10.0, "occurred_at": AT}


def _frame(*rows):
    return pd.DataFrame([*rows])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"action_id": "call_back"}, "with action_id 'discount', not 'call_back'"),
        ({"customer_id": "c2"}, "with customer_id 'c1', not 'c2'"),
        ({"probability": None}, "with probability 0.5, not None"),
        (
            {"decided_at": LATER},
            "with decided_at 2026-11-20T10:00:00+00:00, not 2026-11-21T10:00:00+00:00",
        ),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_second_decision_with_an_id_is_named(folder, load, rows, changed, said, together):
    if together:
        [report] = load(folder({"decisions": _frame(DECISION, DECISION | changed)}))
    else:
        load(folder({"decisions": _frame(DECISION)}))
        [report] = load(folder({"decisions": _frame(DECISION | changed)}))
    assert (report.added, report.refused) == (int(together), 1)
    assert report.left_out == (
        "1 left out (id is there with another content); first: decision_id 'd1' is "
        f"there {said}. Give it a decision_id of its own.",
    )
    assert rows(tables.decisions, "action_id") == [("discount",)]


@pytest.mark.databases("sqlite", "postgresql")
def test_two_purchases_after_one_offer_need_ids_of_their_own(folder, load, rows):
    second = OUTCOME | {"value": 25.0, "occurred_at": LATER}
    told = {"decisions": _frame(DECISION), "outcomes": _frame(OUTCOME, second)}
    _, report = load(folder(told))
    assert (report.rows, report.added, report.refused) == (2, 1, 1)
    assert report.left_out == (
        "1 left out (id is there with another content); first: outcome_id 'd1:accepted' "
        "is there with value 10.0, not 25.0. Tell outcomes of one kind apart by a column "
        "outcome_id.",
    )
    told["outcomes"] = _frame(OUTCOME | {"outcome_id": "o1"}, second | {"outcome_id": "o2"})
    assert load(folder(told))[1].added == 2
    assert (25.0,) in rows(tables.outcomes, "value")


@pytest.mark.databases("sqlite", "postgresql")
def test_a_row_that_is_there_as_it_is_sent_is_not_left_out(folder, load):
    told = {"decisions": _frame(DECISION, DECISION), "outcomes": _frame(OUTCOME, OUTCOME)}
    assert [(one.added, one.refused) for one in load(folder(told))] == [(1, 0), (1, 0)]
    more = {name: pd.concat([frame, frame.head(0)]) for name, frame in told.items()}
    more["outcomes"] = _frame(OUTCOME)
    told = [(one.added, one.notes, one.left_out) for one in load(folder(more))]
    assert told == [(0, (), ()), (0, (), ())]
