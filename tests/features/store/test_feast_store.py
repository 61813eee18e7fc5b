"""Reads from a real Feast, online and as of moments, what was built from the ledger or written."""

import re

import numpy as np
import pandas as pd
import pytest

from features.identity.keys import ID_PATTERN
from features.journeys.model_input import ModelInput
from features.settings import load_settings
from features.store.build import build_features
from features.store.feast_store import MARKER, CustomerFeatures, FeatureStore
from tests.features.store.toy_events import DAY, NOW, TICK, moments, open_store, state_of


def test_online_knows_attributes_and_the_newest_state(store, fold):
    known = store.online("ann")
    assert known.attributes == {"plan": "plus", "age_years": "41"}
    np.testing.assert_array_equal(known.state, state_of(fold, "ann", NOW))


def test_online_knows_nothing_of_a_stranger(store):
    assert store.online("nobody") is None


def test_a_customer_without_events_has_attributes_and_no_state(store):
    assert store.online("new") == CustomerFeatures({"plan": "basic"}, None)


def test_a_customer_without_a_profile_has_a_state_and_no_attributes(store, fold):
    known = store.online("guest")
    assert known.attributes == {}
    np.testing.assert_array_equal(known.state, state_of(fold, "guest", NOW))


def test_of_several_events_at_one_instant_the_last_state_stands(store, fold):
    expected = state_of(fold, "tie", NOW)
    assert expected[fold.state_fields.index("order_n")] == 2.0
    np.testing.assert_array_equal(store.online("tie").state, expected)
    [row] = store.as_of(moments(("tie", NOW)), "churn_v1").to_dict("records")
    np.testing.assert_array_equal(fold.unpack(row["state"].tolist()), expected)


@pytest.mark.parametrize("service", ["churn_v1", "intent_v1", "bandit_v1", "decide_v1"])
def test_every_model_s_service_reads_the_same_of_the_past(past, fold, service):
    [row] = past.as_of(moments(("ann", NOW)), service).to_dict("records")
    assert (row["plan"], row["age_years"]) == ("plus", "41")
    np.testing.assert_array_equal(row["state"], state_of(fold, "ann", NOW))


@pytest.mark.parametrize(
    "at",
    [NOW - 10 * DAY, NOW - 5 * DAY - TICK, NOW - 5 * DAY, NOW - 5 * DAY + TICK, NOW + 90 * DAY],
)
def test_as_of_a_moment_only_what_had_happened_by_then_is_known(past, fold, at):
    [row] = past.as_of(moments(("ann", at)), "churn_v1").to_dict("records")
    np.testing.assert_array_equal(row["state"], state_of(fold, "ann", at))


def test_customers_before_their_first_event_are_kept_as_rows(past):
    asked = moments(
        ("ann", NOW - 10 * DAY - TICK), ("new", NOW), ("nobody", NOW), ("guest", NOW - 2 * DAY)
    )
    known = past.as_of(asked, "churn_v1")
    assert known["customer_id"].tolist() == ["ann", "new", "nobody", "guest"]
    assert known["state"].isna().all()
    assert known["plan"].where(known["plan"].notna(), None).tolist() == [
        "plus",
        "basic",
        None,
        None,
    ]


class ForgetfulFeast:
    """Some offline stores of Feast drop moments before the first feature row, and keep no order."""

    def get_feature_service(self, name):
        return name

    def get_historical_features(self, asked, service):
        self.known = asked[asked["customer_id"] == "ann"].iloc[::-1].assign(plan="plus")
        return self

    def to_df(self):
        return self.known


def test_no_row_is_lost_on_an_offline_store_that_drops_strangers(monkeypatch, store):
    monkeypatch.setattr(store, "_feast", ForgetfulFeast())
    asked = moments(("nobody", NOW), ("ann", NOW - DAY), ("ann", NOW))
    known = store.as_of(asked, "churn_v1")
    pd.testing.assert_frame_equal(known[list(asked)], asked)
    assert known["plan"].isna().tolist() == [True, False, False]


def test_rows_come_back_as_they_were_asked_for_repeated_ones_too(past, fold):
    asked = moments(("tie", NOW), ("ann", NOW), ("nobody", NOW), ("ann", NOW - 7 * DAY))
    asked = pd.concat([asked, asked.head(2)], ignore_index=True)
    known = past.as_of(asked, "churn_v1")
    pd.testing.assert_frame_equal(known[list(asked)], asked)
    np.testing.assert_array_equal(known["state"][5], state_of(fold, "ann", NOW))
    np.testing.assert_array_equal(known["state"][3], state_of(fold, "ann", NOW - 7 * DAY))


def test_training_and_serving_read_the_same_numbers(store, past, toy_domain):
    model_input = ModelInput(toy_domain)
    for customer in ("ann", "new", "tie"):
        served = store.online(customer)
        [trained] = past.as_of(moments((customer, NOW)), "churn_v1").to_dict("records")
        np.testing.assert_array_equal(
            model_input.read(served.attributes, served.state, NOW.timestamp()),
            model_input.read(trained, trained["state"], NOW.timestamp()),
        )


def test_what_was_just_written_is_what_is_read_next(store, fold):
    state = fold.advance(fold.empty(), "visit", "app", NOW.timestamp(), {})
    store.write(["fresh"], [state], [NOW])
    np.testing.assert_array_equal(store.online("fresh").state, state)
    state = fold.advance(state, "visit", "app", (NOW + DAY).timestamp(), {})
    store.write(["fresh"], [state], [NOW + DAY])
    np.testing.assert_array_equal(store.online("fresh").state, state)


@pytest.mark.parametrize("customer_id", ["ann", "", MARKER, "card:é€𝄞", "x" * 200])
def test_the_key_of_a_row_is_the_one_that_feast_writes(store, customer_id):
    # Imported here, as `FeatureStore` has to be the first to import Feast.
    from feast.infra.key_encoding_utils import serialize_entity_key

    key = store._key(customer_id)
    version = store._feast.config.entity_key_serialization_version
    assert store._serialized(customer_id) == serialize_entity_key(key, version)


def test_a_store_that_was_built_is_usable(store):
    assert store.why_unusable() is None


def test_a_store_says_what_it_lacks_until_it_is_built(monkeypatch, tmp_path, toy_domain, filled):
    opened = open_store(monkeypatch, tmp_path, toy_domain)
    assert opened.why_unusable() == "the feature registry is empty; run 'nba build'"
    opened.apply()
    assert opened.why_unusable() == "the online store is empty; run 'nba build'"
    build_features(filled, opened, toy_domain, NOW)
    assert opened.why_unusable() is None


def test_a_store_whose_files_were_lost_says_so(monkeypatch, tmp_path, toy_domain):
    open_store(monkeypatch, tmp_path, toy_domain).apply()
    (tmp_path / "feast" / "online.db").unlink()
    again = open_store(monkeypatch, tmp_path, toy_domain)
    said = again.why_unusable()
    assert said.startswith("the online store cannot be read (")
    assert said.endswith("); run 'nba build'")


def test_features_of_another_domain_file_are_not_served(monkeypatch, store, toy_domain):
    other = toy_domain.model_copy(update={"half_lives_days": (7.0, 56.0)})
    monkeypatch.setenv("NBA_HOME", str(store.journey_folder.parents[1]))
    opened = FeatureStore(load_settings(), other)
    assert (
        opened.why_unusable() == "the features were built for another domain file; run 'nba build'"
    )


def test_our_own_marker_cannot_be_asked_for_and_a_state_of_another_layout_is_not_read(store):
    assert not re.match(ID_PATTERN, MARKER)
    store.write_packed(["odd"], [[1.0, 2.0]], [NOW])
    assert store.online("odd") is None
