"""Makes training frames, and divides moments into training and validation."""

from datetime import UTC, date, datetime, timedelta
from math import nan

import numpy as np
import pandas as pd
import pytest

from features.business.label_definitions import Moments
from features.datasets.dataset import fingerprint, labelled_dataset, training_frame
from features.journeys.model_input import ModelInput
from features.ledger.tables import micros

MOMENT = datetime(2026, 1, 31, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
NO_SHIFT = timedelta(0)


class FakeHistory:
    """Returns the same features of a customer at any time, and records the requests."""

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
    """The toy business with one moment, ``MOMENT``."""
    plan = Moments(
        first=date(2026, 1, 31), last=date(2026, 2, 1), test_from=date(2026, 2, 1), every_days=7
    )
    return toy_domain.model_copy(update={"moments": plan})


def _asked(*rows, selected=timedelta(0)):
    frame = pd.DataFrame(rows, columns=["customer_id", "event_timestamp", "label"])
    return frame.assign(settled_at=frame["event_timestamp"] + selected)


def test_labelled_moments_stand_in_order_of_time_with_their_labels(one_moment):
    moments = _asked(("b", MOMENT + DAY, 1), ("b", MOMENT, 0), ("a", MOMENT, 1), selected=DAY / 2)
    history = FakeHistory(a=("plus", "41", None), b=("basic", None, None))
    data = labelled_dataset(moments, history, "churn_v1", one_moment, NO_SHIFT)
    assert data.customer_ids.tolist() == ["a", "b", "b"]
    assert data.y.tolist() == [1, 0, 1]
    assert data.at_us.tolist() == [micros(MOMENT), micros(MOMENT), micros(MOMENT + DAY)]
    assert (data.settled_us - data.at_us).tolist() == [12 * 3600 * 1_000_000] * 3
    assert data.x[:, -2].tolist() == [1.0, 0.0, 0.0]
    assert [service for service, _ in history.asked] == ["churn_v1"]


@pytest.mark.parametrize("shift", [NO_SHIFT, 7 * DAY])
def test_the_protocol_says_where_the_test_begins(one_moment, shift):
    days = (0 * DAY, TICK, DAY - TICK, DAY)
    moments = _asked(*(("a", MOMENT + shift + day, 0) for day in days), selected=DAY)
    data = labelled_dataset(moments, FakeHistory(), "churn_v1", one_moment, shift)
    # Trained on only if the label was settled by the first test moment.
    assert data.train.tolist() == [True, False, False, False]
    assert data.test.tolist() == [False, False, False, True]
    assert (data.split_by, data.folds) == ("later time", 0)


def test_without_a_protocol_the_last_three_tenths_of_the_moments_are_for_judging(toy_domain):
    # Many customers at the last moment: moments are counted, not rows.
    rows = [("a", MOMENT + day * DAY, 0) for day in range(11)]
    rows += [(f"c{number}", MOMENT + 10 * DAY, 0) for number in range(50)]
    moments = _asked(*rows, selected=2 * DAY)
    data = labelled_dataset(moments, FakeHistory(), "churn_v1", toy_domain, NO_SHIFT)
    assert data.train.sum() == 6  # days 0 to 5: a label of two days settled by day 7
    assert np.unique(data.at_us[data.test]).size == 4


def test_the_customers_that_the_domain_sets_aside_are_judged_on_at_any_time(toy_domain):
    plan = Moments(test_where={"plan": "plus"})
    domain = toy_domain.model_copy(update={"moments": plan})
    history = FakeHistory(a=("plus", "41", None), b=("basic", None, None))
    moments = _asked(("a", MOMENT, 0), ("b", MOMENT + DAY, 1), ("c", MOMENT + 2 * DAY, 0))
    data = labelled_dataset(moments, history, "intent_v1", domain, NO_SHIFT)
    assert data.test.tolist() == [True, False, False]
    assert data.train.tolist() == [False, True, True]
    assert (data.split_by, data.folds) == ("other customers", 0)


@pytest.mark.parametrize("plan", [Moments(folds=3), None], ids=["asked for", "one moment only"])
def test_with_folds_everybody_is_for_training_and_for_judging(toy_domain, plan):
    domain = toy_domain.model_copy(update={"moments": plan})
    moments = _asked(("a", MOMENT, 0), ("b", MOMENT, 1))
    data = labelled_dataset(moments, FakeHistory(), "churn_v1", domain, NO_SHIFT)
    assert data.train.all() and data.test.all()
    assert (data.split_by, data.folds) == ("folds", 3 if plan else 5)


def test_where_nobody_is_asked_there_is_nothing_to_train_or_to_judge_on(toy_domain):
    nobody = _asked(("a", MOMENT, 0)).iloc[:0]
    data = labelled_dataset(nobody, FakeHistory(), "churn_v1", toy_domain, NO_SHIFT)
    assert len(data.x) == len(data.train) == len(data.test) == 0


@pytest.mark.parametrize("unknown", [None, nan])
def test_a_training_frame_keeps_strangers(toy_domain, unknown):
    model_input = ModelInput(toy_domain)
    fold = model_input.fold
    state = fold.advance(fold.empty(), "visit", "app", (MOMENT - 3 * DAY).timestamp(), {})
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
    state = fold.advance(fold.empty(), "order", "app", 1.7e9, {"amount_eur": 3.3, "kind": "big"})
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
