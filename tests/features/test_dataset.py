"""Labelled moments: what happened next, exactly up to the border, and nothing from later."""

import json
from datetime import UTC, date, datetime, timedelta
from math import nan

import numpy as np
import pandas as pd
import pytest

from features import tables
from features.dataset import (
    DAY_US,
    Labelled,
    churn_moments,
    decided_actions,
    fingerprint,
    intent_moments,
    labelled,
    training_frame,
)
from features.domain import Moments
from features.errors import InvalidData
from features.model_input import ModelInput
from features.tables import insert_new, micros

MOMENT = datetime(2026, 1, 31, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
NO_SHIFT = timedelta(0)
SETTLED = 20 * DAY  # how far the labels of the toy business look ahead


class FakeHistory:
    """Knows the same of a customer at any time, and remembers what it was asked."""

    def __init__(self, **known):
        self.known = known
        self.asked = []

    def as_of(self, moments, service):
        self.asked.append((service, moments))
        rows = [self.known.get(customer, (None, None, None)) for customer in moments["customer_id"]]
        known = pd.DataFrame(rows, columns=["plan", "age_years", "state"], dtype=object)
        return pd.concat([moments[["customer_id", "event_timestamp"]], known], axis=1)


@pytest.fixture
def one_moment(toy_domain):
    """The toy business, asked at ``MOMENT`` only."""
    plan = Moments(
        first=date(2026, 1, 31), last=date(2026, 2, 1), test_from=date(2026, 2, 1), every_days=7
    )
    return toy_domain.model_copy(update={"moments": plan})


@pytest.fixture
def ordered(ledger):
    """Puts orders into the ledger: times from ``MOMENT``, each with its kind or None."""

    def put(customer_id, *orders, event_type="order"):
        rows = [
            {
                "event_id": f"{customer_id}-{event_type}-{number}",
                "customer_id": customer_id,
                "type": event_type,
                "occurred_at": MOMENT + after,
                "channel": "app",
                "properties": json.dumps({"amount_eur": 1} | ({"kind": kind} if kind else {})),
            }
            for number, (after, kind) in enumerate(orders)
        ]
        ledger.write_now(lambda connection: insert_new(connection, tables.events, rows))
        return ledger

    return put


def _times(*after):
    return [(time, "small") for time in after]


@pytest.mark.parametrize(
    ("orders", "label"),
    [
        ([-30 * DAY], 1),
        ([-30 * DAY - TICK], None),
        ([0 * DAY], 1),
        ([TICK], None),
        ([-DAY, TICK], 0),
        ([-DAY, 20 * DAY], 0),
        ([-DAY, 20 * DAY + TICK], 1),
        ([-90 * DAY, -DAY], 1),
        ([-90 * DAY, 5 * DAY], None),
    ],
)
def test_churn_is_silence_of_the_active_exactly_up_to_the_border(
    ordered, one_moment, orders, label
):
    ordered("end", *_times(SETTLED))
    moments = churn_moments(ordered("c1", *_times(*orders)), one_moment, NO_SHIFT)
    assert moments["label"].tolist() == ([] if label is None else [label])
    assert moments["event_timestamp"].tolist() == ([] if label is None else [MOMENT])


def test_only_the_event_that_the_domain_names_breaks_the_silence(ordered, one_moment):
    ordered("end", *_times(SETTLED))
    ordered("c1", *_times(-DAY))
    ledger = ordered("c1", *_times(DAY), event_type="visit")
    assert churn_moments(ledger, one_moment, NO_SHIFT)["label"].tolist() == [1]


def test_customers_are_labelled_by_their_own_events(ordered, one_moment):
    ordered("a", *_times(-DAY))
    ordered("b", *_times(-DAY, DAY))
    ledger = ordered("c", *_times(DAY, SETTLED))
    moments = churn_moments(ledger, one_moment, NO_SHIFT)
    assert dict(zip(moments["customer_id"], moments["label"], strict=True)) == {"a": 1, "b": 0}


@pytest.mark.parametrize(
    ("orders", "label"),
    [
        ([(-DAY, "small"), (20 * DAY, "big")], 1),
        ([(-DAY, "big"), (DAY, "small"), (2 * DAY, "big")], 0),
        ([(-DAY, "small"), (20 * DAY + TICK, "big")], None),
        ([(-DAY, "small")], None),
        ([(-30 * DAY, "small"), (DAY, "big")], 1),
        ([(-30 * DAY - TICK, "small"), (DAY, "big")], None),
        ([(0 * DAY, "big"), (DAY, "small")], 0),
        ([(DAY, "big")], None),
        ([(-DAY, None), (DAY, "big")], 1),
        ([(-DAY, "small"), (DAY, None)], None),
        ([(-DAY, "small"), (DAY, None), (2 * DAY, "big")], None),
    ],
)
def test_intent_is_the_kind_of_the_next_order_if_it_comes_in_time(
    ordered, one_moment, orders, label
):
    ordered("end", *_times(SETTLED))
    moments = intent_moments(ordered("c1", *orders), one_moment, NO_SHIFT)
    assert moments["label"].tolist() == ([] if label is None else [label])


def test_the_protocol_moves_with_the_data(ordered, one_moment):
    ordered("end", *_times(7 * DAY + SETTLED))
    ledger = ordered("c1", *_times(7 * DAY))
    assert churn_moments(ledger, one_moment, NO_SHIFT).empty
    moments = churn_moments(ledger, one_moment, 7 * DAY)
    assert moments["event_timestamp"].tolist() == [MOMENT + 7 * DAY]


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
@pytest.mark.parametrize(
    ("end", "days"),
    [
        (60 * DAY, [0, 7, 14]),
        (14 * DAY + SETTLED, [0, 7, 14]),
        (14 * DAY + SETTLED - TICK, [0, 7]),
        (7 * DAY + SETTLED, [0, 7]),
        (SETTLED, [0]),
    ],
)
def test_the_protocol_asks_until_its_last_day_or_the_last_settled_one(
    ordered, toy_domain, ask, end, days
):
    plan = Moments(
        first=date(2026, 1, 31), last=date(2026, 2, 14), test_from=date(2026, 2, 14), every_days=7
    )
    domain = toy_domain.model_copy(update={"moments": plan})
    ordered("end", *_times(end))
    ledger = ordered("c1", *_times(*(day * DAY for day in range(-1, 20))))
    moments = ask(ledger, domain, NO_SHIFT)
    moments = moments[moments["customer_id"] == "c1"]
    assert moments["event_timestamp"].tolist() == [MOMENT + day * DAY for day in days]


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
def test_a_protocol_that_begins_after_the_last_settled_moment_is_refused(ordered, one_moment, ask):
    ledger = ordered("c1", *_times(-DAY, SETTLED - TICK))
    with pytest.raises(InvalidData, match=r"The ledger is too short.*Load a longer history"):
        ask(ledger, one_moment, NO_SHIFT)


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
def test_a_ledger_too_short_for_a_past_and_a_future_says_how_long_it_must_be(
    ordered, toy_domain, ask
):
    # 30 days to know who is active, and 20 to see what they did next.
    ledger = ordered("c1", *_times(0 * DAY, 50 * DAY - TICK))
    with pytest.raises(InvalidData, match=r"The ledger is too short.*more than 50 days of events"):
        ask(ledger, toy_domain, NO_SHIFT)


def test_a_ledger_just_long_enough_has_one_moment(ordered, toy_domain):
    moments = churn_moments(ordered("c1", *_times(0 * DAY, 50 * DAY)), toy_domain, NO_SHIFT)
    assert moments["event_timestamp"].tolist() == [MOMENT + 30 * DAY]


def test_without_a_protocol_we_ask_each_14_days_of_what_the_ledger_can_answer(ordered, toy_domain):
    # 30 days are needed to know who is active, 20 at the end to see who fell silent.
    ordered("first", *_times(0 * DAY))
    ordered("always", *_times(*(day * DAY for day in range(0, 79, 2))))
    ledger = ordered("last", *_times(78 * DAY))
    moments = churn_moments(ledger, toy_domain, NO_SHIFT)
    asked = [MOMENT + days * DAY for days in (30, 44, 58)]
    assert moments["event_timestamp"].unique().tolist() == asked


def test_a_ledger_without_events_says_what_to_load(ledger, toy_domain):
    with pytest.raises(InvalidData, match=r"holds no events to learn from.*nba load FOLDER"):
        churn_moments(ledger, toy_domain, NO_SHIFT)


@pytest.mark.parametrize(
    ("ask", "what"), [(churn_moments, "churn"), (intent_moments, "intent")], ids=["churn", "intent"]
)
def test_a_business_that_does_not_define_a_label_is_told_where_to(ledger, toy_domain, ask, what):
    domain = toy_domain.model_copy(update={what: None})
    with pytest.raises(InvalidData, match=f"'toy' defines no {what}. Expected a section '{what}:'"):
        ask(ledger, domain, NO_SHIFT)


def test_a_moment_is_trained_on_only_if_its_label_was_settled_before_the_test():
    at_us = np.array([79, 80, 81, 99, 100, 120])
    data = Labelled(np.zeros((6, 1)), np.zeros(6, int), at_us, np.array(["c"] * 6), 100, 20)
    assert data.train.tolist() == [True, True, False, False, False, False]
    assert data.test.tolist() == [False, False, False, False, True, True]


def _asked(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "event_timestamp", "label"])


def test_labelled_moments_stand_in_order_of_time_with_their_labels(one_moment):
    moments = _asked(("b", MOMENT + DAY, 1), ("b", MOMENT, 0), ("a", MOMENT, 1))
    history = FakeHistory(a=("plus", "41", None), b=("basic", None, None))
    data = labelled(moments, history, "churn_v1", one_moment, NO_SHIFT, label_days=0.5)
    assert data.customer_ids.tolist() == ["a", "b", "b"]
    assert data.y.tolist() == [1, 0, 1]
    assert data.at_us.tolist() == [micros(MOMENT), micros(MOMENT), micros(MOMENT + DAY)]
    assert data.x[:, -2].tolist() == [1.0, 0.0, 0.0]
    assert data.label_us == DAY_US // 2
    assert history.asked[0][0] == "churn_v1"


@pytest.mark.parametrize("shift", [NO_SHIFT, 7 * DAY])
def test_the_protocol_says_where_the_test_begins(one_moment, shift):
    moments = _asked(("a", MOMENT + shift, 0), ("a", MOMENT + DAY + shift, 0))
    data = labelled(moments, FakeHistory(), "churn_v1", one_moment, shift, label_days=1)
    assert data.test_from_us == micros(MOMENT + DAY + shift)
    assert data.train.tolist() == [True, False]
    assert data.test.tolist() == [False, True]


def test_without_a_protocol_the_last_three_tenths_of_the_moments_are_for_judging(toy_domain):
    # Many customers at the last moment: moments are counted, not rows.
    rows = [("a", MOMENT + day * DAY, 0) for day in range(11)]
    rows += [(f"c{number}", MOMENT + 10 * DAY, 0) for number in range(50)]
    data = labelled(_asked(*rows), FakeHistory(), "churn_v1", toy_domain, NO_SHIFT, label_days=2)
    assert data.test_from_us == micros(MOMENT + 7 * DAY)
    assert data.train.sum() == 6  # days 0 to 5: a label of two days settled by day 7
    assert np.unique(data.at_us[data.test]).size == 4


@pytest.mark.parametrize("unknown", [None, nan])
def test_a_training_frame_keeps_strangers(toy_domain, unknown):
    model_input = ModelInput(toy_domain)
    fold = model_input.fold
    state = fold.advance(fold.empty(), "visit", (MOMENT - 3 * DAY).timestamp(), {})
    history = FakeHistory(known=("plus", "41", np.array(state)), cold=(unknown, unknown, unknown))
    moments = _asked(("cold", MOMENT, 0), ("known", MOMENT, 0), ("known", MOMENT + DAY, 0))
    frame = training_frame(history, moments, "churn_v1", toy_domain)
    assert list(frame) == list(model_input.names)
    np.testing.assert_array_equal(frame.iloc[0], model_input.read({}, None, MOMENT.timestamp()))
    assert frame["visit_silence_days"].iloc[1:].tolist() == [3.0, 4.0]
    assert frame[["plan", "age_years"]].iloc[1].tolist() == [1.0, 41.0]


def test_training_reads_a_customer_to_the_last_bit_as_serving_does(toy_domain):
    model_input = ModelInput(toy_domain)
    fold, at = model_input.fold, MOMENT + 1234567 * TICK
    state = fold.advance(fold.empty(), "order", 1.7e9, {"amount_eur": 3.3, "kind": "big"})
    moments = _asked(("c1", at, 0))
    history = FakeHistory(c1=("basic", "30", state))
    frame = training_frame(history, moments, "bandit_v1", toy_domain)
    served = model_input.read({"plan": "basic", "age_years": "30"}, state, micros(at) / 1e6)
    np.testing.assert_array_equal(frame.to_numpy()[0], served)


def test_a_business_without_attributes_has_training_frames_too(toy_domain):
    domain = toy_domain.model_copy(update={"attributes": {}})
    frame = training_frame(FakeHistory(), _asked(("a", MOMENT, 0)), "churn_v1", domain)
    assert frame.shape == (1, len(ModelInput(domain).names))


def test_the_fingerprint_is_of_the_numbers():
    one, same, other = np.arange(4.0), np.arange(4.0), np.array([0.0, 1.0, 2.0, 3.1])
    assert fingerprint(one, other) == fingerprint(same, other)
    assert fingerprint(one, other) != fingerprint(other, one)


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
                "action_id": "",
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
    frame = decided_actions(decided(*outcomes), toy_catalog, CLOSED)
    assert frame["acceptance"].tolist() == [acceptance]


def test_a_decided_action_is_told_with_customer_time_and_channel(decided, toy_catalog):
    [row] = decided_actions(decided(), toy_catalog, CLOSED).to_dict("records")
    assert row == {
        "customer_id": "c1",
        "event_timestamp": MOMENT,
        "action_id": "discount",
        "channel": "app",
        "acceptance": 0.0,
    }


@pytest.mark.parametrize(
    "changed", [{"served": True}, {"action_id": "no_action"}, {"action_id": "no_longer_offered"}]
)
def test_our_own_decisions_and_doing_nothing_are_left_out(decided, toy_catalog, changed):
    assert decided_actions(decided(("accepted", DAY), **changed), toy_catalog, CLOSED).empty


@pytest.mark.parametrize(
    ("now", "acceptance"), [(DAY, []), (14 * DAY - TICK, []), (14 * DAY, [1.0]), (99 * DAY, [1.0])]
)
def test_a_decision_counts_once_its_window_has_passed(decided, toy_catalog, now, acceptance):
    frame = decided_actions(decided(("accepted", TICK)), toy_catalog, MOMENT + now)
    assert frame["acceptance"].tolist() == acceptance


def test_decided_actions_stand_in_order_of_time(decided, toy_catalog):
    decided(("accepted", DAY), decision_id="a", decided_at=MOMENT + DAY)
    ledger = decided(decision_id="b", decided_at=MOMENT)
    assert decided_actions(ledger, toy_catalog, CLOSED)["acceptance"].tolist() == [0.0, 1.0]
