"""Features and consents of a customer, as a decision and an activation read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.store.feast_store import CustomerFeatures
from serving.decide.customer_inputs import feature_row, read_features
from serving.decide.online_features import FeaturesUnknown


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
