"""Reads imported decisions: acceptance counts inside the window, shared outcomes once."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from features.datasets.imported_decisions import imported_decisions
from features.ledger import tables
from features.ledger.tables import insert_new

MOMENT = datetime(2026, 1, 31, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
CLOSED = MOMENT + 14 * DAY  # the window of the decision below has just passed


@pytest.fixture
def decided(ledger):
    """Puts one imported decision of ``discount``, with a window of 14 days, and its outcomes."""

    def put(*outcomes, **changed):
        decision = {
            "decision_id": "d1",
            "subject": "c1",
            "customer_id": "c1",
            "decided_at": MOMENT,
            "activated_at": MOMENT,
            "channel": "app",
            "action_id": "discount",
            "probability": None,
            "served": False,
            "window_ends_at": MOMENT + 14 * DAY,
        } | changed
        rows = [
            {
                "outcome_id": f"{decision['decision_id']}-{number}",
                "decision_id": decision["decision_id"],
                "action_id": decision["action_id"],
                "outcome": outcome,
                "value": None,
                "occurred_at": MOMENT + after,
                "received_at": MOMENT + after,
                "learned": True,
            }
            for number, (outcome, after) in enumerate(outcomes)
        ]
        ledger.write_now(lambda connection: insert_new(connection, tables.decisions, [decision]))
        ledger.write_now(lambda connection: insert_new(connection, tables.outcomes, rows))
        return ledger

    return put


@pytest.mark.parametrize(
    ("outcomes", "acceptance"),
    [
        ([], 0.0),
        ([("accepted", DAY)], 1.0),
        ([("accepted", 14 * DAY)], 1.0),
        ([("accepted", 14 * DAY + TICK)], 0.0),
        ([("accepted", 0 * DAY)], 1.0),
        ([("accepted", -TICK)], 0.0),
        ([("accepted", -DAY), ("accepted", DAY)], 1.0),
        ([("clicked", DAY)], 0.0),
        ([("rejected", DAY)], 0.0),
        ([("rejected", DAY), ("accepted", 2 * DAY)], 1.0),
        ([("accepted", DAY), ("accepted", 30 * DAY)], 1.0),
    ],
)
def test_only_an_acceptance_inside_the_window_counts(decided, toy_catalog, outcomes, acceptance):
    frame = imported_decisions(decided(*outcomes), toy_catalog, CLOSED).frame
    assert frame["acceptance"].tolist() == [acceptance]


def test_a_decided_action_is_told_with_customer_time_and_channel(decided, toy_catalog):
    [row] = imported_decisions(decided(), toy_catalog, CLOSED).frame.to_dict("records")
    assert row == {
        "customer_id": "c1",
        "event_timestamp": MOMENT,
        "action_id": "discount",
        "channel": "app",
        "probability": pytest.approx(float("nan"), nan_ok=True),
        "window_ends_at": MOMENT + 14 * DAY,
        "acceptance": 0.0,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"served": True},
        {"record": "{}", "activated_at": None},
        {"action_id": "no_action"},
        {"action_id": "no_longer_offered"},
    ],
)
def test_our_own_decisions_and_doing_nothing_are_left_out(decided, toy_catalog, changed):
    found = imported_decisions(decided(("accepted", DAY), **changed), toy_catalog, CLOSED)
    assert found.frame.empty


@pytest.mark.parametrize(
    ("now", "acceptance"), [(DAY, []), (14 * DAY - TICK, []), (14 * DAY, [1.0]), (99 * DAY, [1.0])]
)
def test_a_decision_counts_once_its_window_has_passed(decided, toy_catalog, now, acceptance):
    frame = imported_decisions(decided(("accepted", TICK)), toy_catalog, MOMENT + now).frame
    assert frame["acceptance"].tolist() == acceptance


def test_an_order_that_is_told_of_two_decisions_is_an_acceptance_of_the_last(decided, toy_catalog):
    decided(("accepted", DAY), decision_id="a")
    ledger = decided(("accepted", DAY), decision_id="b", activated_at=MOMENT + TICK)
    shared = sa.update(tables.outcomes).values(shared_id="order-7")
    ledger.write_now(lambda connection: connection.execute(shared))
    frame = imported_decisions(ledger, toy_catalog, CLOSED).frame
    assert frame["acceptance"].tolist() == [0.0, 1.0]


def test_imported_decisions_stand_in_order_of_time(decided, toy_catalog):
    decided(("accepted", DAY), decision_id="a", decided_at=MOMENT + DAY)
    ledger = decided(decision_id="b", decided_at=MOMENT)
    assert imported_decisions(ledger, toy_catalog, CLOSED).frame["acceptance"].tolist() == [
        0.0,
        1.0,
    ]


def test_a_logged_probability_is_read(decided, toy_catalog):
    frame = imported_decisions(decided(probability=0.1), toy_catalog, CLOSED).frame
    assert frame["probability"].tolist() == [0.1]


def test_what_is_left_out_is_counted_by_its_first_reason(decided, toy_catalog):
    until = MOMENT + 3 * DAY
    decided(decision_id="taught")
    decided(decision_id="open", window_ends_at=CLOSED + TICK)
    decided(decision_id="nothing", action_id="no_action", window_ends_at=CLOSED + TICK)
    decided(decision_id="gone", action_id="no_longer_offered", window_ends_at=CLOSED + TICK)
    decided(decision_id="gone too", action_id="no_longer_offered")
    decided(decision_id="before", decided_at=until - TICK)
    decided(decision_id="ours", served=True)
    ledger = decided(decision_id="later", decided_at=until, action_id="no_action")
    found = imported_decisions(ledger, toy_catalog, CLOSED, until)
    assert len(found.frame) == 2
    assert found.left_out == {
        "later_than_until": 1,
        "no_action": 1,
        "action_not_in_catalogue": 2,
        "window_open": 1,
    }
