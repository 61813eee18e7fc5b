"""Features and consents of a customer: a read that fails degrades one decision, a store that is
down all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.errors import NotVisible
from features.store.feast_store import CustomerFeatures
from serving.decide.customer_inputs import (
    NOTHING_BUILT,
    PAUSE_S,
    FeaturesUnknown,
    OnlineFeatures,
    feature_row,
    read_features,
)

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


class FailingStore:
    """A store that can be broken, emptied and mended; ``checks`` counts the attempts."""

    def __init__(self):
        self.broken, self.reason, self.filled, self.written = False, None, True, []
        self.poisoned, self.checks = {"poisoned"}, 0

    def online(self, customer_id):
        if self.broken:
            raise ConnectionError("no route")
        if customer_id in self.poisoned:
            raise ValueError("not a state")
        return f"features of {customer_id}" if self.filled and customer_id != "nobody" else None

    def is_filled(self):
        return self.filled

    def why_unusable(self):
        self.checks += 1
        if self.broken:
            raise ConnectionError("no route")
        return self.reason if self.filled else NOTHING_BUILT

    def write_packed(self, customer_ids, packed, at):
        self.written += customer_ids


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.s = 100.0

    def __call__(self):
        return self.s


@pytest.fixture
def store():
    return FailingStore()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def features(store, clock):
    return OnlineFeatures(store, clock=clock)


def test_features_come_from_the_store(features):
    assert features.online("c1") == "features of c1"
    assert features.degraded == ()


def test_an_unknown_customer_is_no_problem(features):
    assert features.online("nobody") is None
    assert features.degraded == ()


def test_a_row_that_cannot_be_read_harms_its_customer_only(features):
    for _ in range(3):
        with pytest.raises(FeaturesUnknown, match=r"row of the customer .* \(ValueError\)"):
            features.online("poisoned")
        assert features.online("c1") == "features of c1"
        assert features.degraded == ()


def test_a_store_that_fails_is_named_and_tried_again_after_a_pause(features, store, clock):
    store.broken = True
    for _ in range(3):
        with pytest.raises(FeaturesUnknown, match=r"the online store failed \(ConnectionError\)"):
            features.online("c1")
    [problem] = features.degraded
    assert problem.startswith("features: the online store failed (ConnectionError)")
    assert store.checks == 2  # when it was opened, and by the first read that failed
    store.broken = False
    with pytest.raises(FeaturesUnknown):
        features.online("c1")
    clock.s += PAUSE_S
    assert features.online("c1") == "features of c1"
    assert features.degraded == ()


def test_a_store_that_is_checked_meanwhile_is_used_at_once(features, store):
    store.broken = True
    features.refresh()
    assert "ConnectionError" in features.degraded[0]
    store.broken = False
    features.refresh()
    assert features.online("c1") == "features of c1"


def test_a_store_that_lost_its_rows_knows_nobody_and_says_so(features, store, clock):
    store.filled = False
    with pytest.raises(FeaturesUnknown, match="the online store is empty"):
        features.online("c1")
    assert features.degraded == (f"features: {NOTHING_BUILT}",)
    store.filled = True
    clock.s += PAUSE_S
    assert features.online("c1") == "features of c1"


def test_a_store_that_could_not_be_opened_leaves_its_reason():
    features = OnlineFeatures(None, "the store could not be opened (OSError)")
    features.refresh()
    with pytest.raises(FeaturesUnknown, match=r"the store could not be opened \(OSError\)"):
        features.online("c1")
    assert features.state("c1") is None
    assert features.degraded == ("features: the store could not be opened (OSError)",)


def test_writing_to_a_store_that_cannot_be_used_is_refused_with_the_reason(store, clock):
    store.reason = "it was built for another domain file"
    with pytest.raises(NotVisible, match="it was built for another domain file"):
        OnlineFeatures(store, clock=clock).write_packed(["c1"], [[0.0]], [AT])
    assert store.written == []


def test_writing_goes_to_the_store(features, store):
    features.write_packed(["c1"], [[0.0]], [AT])
    assert store.written == ["c1"]


class Store:
    """A store that has the features of one customer, and cannot read those of another."""

    def online(self, customer_id):
        if customer_id == "poisoned":
            raise FeaturesUnknown("the row of the customer cannot be read")
        return CustomerFeatures({}, None) if customer_id == "c1" else None


def test_recency_is_counted_to_the_time_of_the_decision(engine, now):
    fold = engine.model_input.fold
    at = now - timedelta(days=3)
    state = fold.advance(fold.empty(), "visit", "app", at.timestamp(), {})
    row = feature_row(engine.model_input, CustomerFeatures({}, state), now)
    silence = row[engine.model_input.names.index("visit_silence_days")]
    assert silence == pytest.approx(3.0)


def test_features_are_known_or_none_are_there_or_they_cannot_be_read():
    assert read_features(Store(), "c1") == (CustomerFeatures({}, None), "")
    assert read_features(Store(), "stranger") == (None, "")
    assert read_features(Store(), "poisoned") == (None, "the row of the customer cannot be read")
