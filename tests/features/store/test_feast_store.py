"""The ledger folded into a real Feast: what training and serving read back from it."""

import importlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import typeguard

from features.customers.identity import ID_PATTERN
from features.datasets.point_in_time import PointInTimeFeatures
from features.journeys.fold import Fold
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import insert_new
from features.settings import load_settings
from features.store import build
from features.store.build import build_features
from features.store.feast_store import MARKER, CustomerFeatures, FeatureStore

TOY = Path(__file__).parents[2] / "toy"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
CUSTOMERS = {
    "ann": '{"plan": "plus", "age_years": "41"}',
    "new": '{"plan": "basic"}',
    "tie": "{}",
}
# In the order in which they happened; of two at one instant the event_id decides.
EVENTS = [
    ("ann", "visit", NOW - 10 * DAY, {}),
    ("ann", "order", NOW - 5 * DAY, {"amount_eur": 12.5, "kind": "small"}),
    ("tie", "visit", NOW - 2 * DAY, {}),
    ("tie", "order", NOW - 2 * DAY, {"amount_eur": 1.0, "kind": "big"}),
    ("tie", "order", NOW - 2 * DAY, {"amount_eur": 2.0, "kind": "small"}),
    ("guest", "visit", NOW - 1 * DAY, {}),
]


def _fill(ledger):
    rows = [
        {
            "event_id": f"e{number}",
            "customer_id": customer,
            "subject": customer,
            "type": event_type,
            "occurred_at": at,
            "channel": "app",
            "properties": json.dumps(properties),
        }
        for number, (customer, event_type, at, properties) in enumerate(EVENTS)
    ]
    people = [{"customer_id": name, "attributes": text} for name, text in CUSTOMERS.items()]
    # Backwards, because the ledger does not promise to keep the order of arrival.
    ledger.write_now(lambda connection: insert_new(connection, tables.events, rows[::-1]))
    ledger.write_now(lambda connection: insert_new(connection, tables.customers, people))


def _open(patch, home, toy_domain):
    """A store in its own home; Feast's definitions read the environment when they are applied."""
    patch.setenv("NBA_HOME", str(home))
    patch.setenv("NBA_DOMAIN", str(TOY / "domain.yaml"))
    patch.setenv("NBA_ACTIONS", str(TOY / "actions.yaml"))
    return FeatureStore(load_settings(), toy_domain)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}")
    _fill(ledger)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def store(filled, toy_domain, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        opened = _open(patch, tmp_path_factory.mktemp("built"), toy_domain)
        assert build_features(filled, opened, toy_domain, NOW) == len(EVENTS)
    return opened


@pytest.fixture(scope="module")
def past(filled, store, toy_domain):
    return PointInTimeFeatures(filled, store, toy_domain)


@pytest.fixture(scope="module")
def fold(toy_domain):
    return Fold(toy_domain)


def _state(fold, customer, until):
    """The state after all events of a customer up to a moment, folded without any store."""
    state = fold.empty()
    for who, event_type, at, properties in EVENTS:
        if who == customer and at <= until:
            state = fold.advance(state, event_type, "app", at.timestamp(), properties)
    return state


def _moments(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "event_timestamp"])


def test_online_knows_attributes_and_the_newest_state(store, fold):
    known = store.online("ann")
    assert known.attributes == {"plan": "plus", "age_years": "41"}
    np.testing.assert_array_equal(known.state, _state(fold, "ann", NOW))


def test_online_knows_nothing_of_a_stranger(store):
    assert store.online("nobody") is None


def test_a_customer_without_events_has_attributes_and_no_state(store):
    assert store.online("new") == CustomerFeatures({"plan": "basic"}, None)


def test_a_customer_without_a_profile_has_a_state_and_no_attributes(store, fold):
    known = store.online("guest")
    assert known.attributes == {}
    np.testing.assert_array_equal(known.state, _state(fold, "guest", NOW))


def test_of_several_events_at_one_instant_the_last_state_stands(store, fold):
    expected = _state(fold, "tie", NOW)
    assert expected[fold.state_fields.index("order_n")] == 2.0
    np.testing.assert_array_equal(store.online("tie").state, expected)
    [row] = store.as_of(_moments(("tie", NOW)), "churn_v1").to_dict("records")
    np.testing.assert_array_equal(fold.unpack(row["state"].tolist()), expected)


def test_the_history_keeps_a_state_after_the_last_event_of_each_customer(store):
    rows = pq.read_table(store.journey_folder).to_pandas()
    newest = {customer: at for customer, _, at, _ in EVENTS}
    assert dict(zip(rows["customer_id"], rows["event_timestamp"], strict=True)) == newest
    assert len(rows) == len(newest)


@pytest.mark.parametrize("service", ["churn_v1", "intent_v1", "bandit_v1", "decide_v1"])
def test_every_model_s_service_reads_the_same_of_the_past(past, fold, service):
    [row] = past.as_of(_moments(("ann", NOW)), service).to_dict("records")
    assert (row["plan"], row["age_years"]) == ("plus", "41")
    np.testing.assert_array_equal(row["state"], _state(fold, "ann", NOW))


@pytest.mark.parametrize(
    "at",
    [NOW - 10 * DAY, NOW - 5 * DAY - TICK, NOW - 5 * DAY, NOW - 5 * DAY + TICK, NOW + 90 * DAY],
)
def test_as_of_a_moment_only_what_had_happened_by_then_is_known(past, fold, at):
    [row] = past.as_of(_moments(("ann", at)), "churn_v1").to_dict("records")
    np.testing.assert_array_equal(row["state"], _state(fold, "ann", at))


def test_customers_before_their_first_event_are_kept_as_rows(past):
    asked = _moments(
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
    asked = _moments(("nobody", NOW), ("ann", NOW - DAY), ("ann", NOW))
    known = store.as_of(asked, "churn_v1")
    pd.testing.assert_frame_equal(known[list(asked)], asked)
    assert known["plan"].isna().tolist() == [True, False, False]


def test_rows_come_back_as_they_were_asked_for_repeated_ones_too(past, fold):
    asked = _moments(("tie", NOW), ("ann", NOW), ("nobody", NOW), ("ann", NOW - 7 * DAY))
    asked = pd.concat([asked, asked.head(2)], ignore_index=True)
    known = past.as_of(asked, "churn_v1")
    pd.testing.assert_frame_equal(known[list(asked)], asked)
    np.testing.assert_array_equal(known["state"][5], _state(fold, "ann", NOW))
    np.testing.assert_array_equal(known["state"][3], _state(fold, "ann", NOW - 7 * DAY))


def test_training_and_serving_read_the_same_numbers(store, past, toy_domain):
    model_input = ModelInput(toy_domain)
    for customer in ("ann", "new", "tie"):
        served = store.online(customer)
        [trained] = past.as_of(_moments((customer, NOW)), "churn_v1").to_dict("records")
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


def test_a_store_that_was_built_is_usable(store):
    assert store.why_unusable() is None


def test_a_store_says_what_it_lacks_until_it_is_built(monkeypatch, tmp_path, toy_domain, filled):
    opened = _open(monkeypatch, tmp_path, toy_domain)
    assert opened.why_unusable() == "the feature registry is empty; run 'nba build'"
    opened.apply()
    assert opened.why_unusable() == "the online store is empty; run 'nba build'"
    build_features(filled, opened, toy_domain, NOW)
    assert opened.why_unusable() is None


def test_a_store_whose_files_were_lost_says_so(monkeypatch, tmp_path, toy_domain):
    _open(monkeypatch, tmp_path, toy_domain).apply()
    (tmp_path / "feast" / "online.db").unlink()
    again = _open(monkeypatch, tmp_path, toy_domain)
    said = again.why_unusable()
    assert said.startswith("the online store cannot be read (")
    assert said.endswith("); run 'nba build'")


def test_a_business_on_its_first_day_is_built_and_knows_nobody(
    monkeypatch, tmp_path, toy_domain, ledger
):
    opened = _open(monkeypatch, tmp_path, toy_domain)
    assert build_features(ledger, opened, toy_domain, NOW) == 0
    assert opened.why_unusable() is None
    assert opened.online("ann") is None


def test_features_of_another_domain_file_are_not_served(monkeypatch, store, toy_domain):
    other = toy_domain.model_copy(update={"half_lives_days": (7.0, 56.0)})
    monkeypatch.setenv("NBA_HOME", str(store.journey_folder.parents[1]))
    opened = FeatureStore(load_settings(), other)
    assert (
        opened.why_unusable() == "the features were built for another domain file; run 'nba build'"
    )


def _files(store):
    parts = sorted(store.journey_folder.iterdir())
    return {path.name: path.read_bytes() for path in [*parts, store.profile_file]}


def test_building_again_changes_nothing(monkeypatch, store, filled, toy_domain):
    before, online = _files(store), store.online("ann")
    again = _open(monkeypatch, store.journey_folder.parents[1], toy_domain)
    assert build_features(filled, again, toy_domain, NOW) == len(EVENTS)
    assert _files(store) == before
    np.testing.assert_equal(store.online("ann"), online)
    assert not store.journey_folder.with_suffix(".part").exists()


def test_a_build_that_was_cut_off_leaves_the_old_history_and_nothing_in_the_way(
    monkeypatch, store, filled, toy_domain
):
    class Cut(Exception):
        """Somebody pressed the keys."""

    def cut(*_):
        raise Cut

    before = _files(store)
    with pytest.raises(Cut):
        build_features(filled, store, toy_domain, NOW, progress=cut)
    assert _files(store) == before
    build_features(filled, store, toy_domain, NOW)
    assert _files(store) == before


def test_progress_ends_with_all_events_folded(monkeypatch, store, filled, toy_domain):
    told = []
    monkeypatch.setattr(build, "PART", 2)
    build_features(filled, store, toy_domain, NOW, lambda *said: told.append(said))
    assert [what for what, _, _ in told] == ["fold events"] * 3  # two of ann, three of tie, one
    assert told[-1] == ("fold events", len(EVENTS), len(EVENTS))
    assert sorted(done for _, done, _ in told) == [done for _, done, _ in told]


def test_our_own_marker_cannot_be_asked_for_and_a_state_of_another_layout_is_not_read(store):
    assert not re.match(ID_PATTERN, MARKER)
    store.write_packed(["odd"], [[1.0, 2.0]], [NOW])
    assert store.online("odd") is None


def test_feast_is_imported_without_checks_of_types_and_others_keep_theirs(store):
    feast = importlib.import_module("feast")  # the gateway has; here it is only looked at
    for kind in (feast.Entity, feast.FeatureView, feast.FeatureService):
        assert "typeguard" not in kind.__init__.__code__.co_names

    @typeguard.typechecked
    def halved(number: int) -> float:
        return number / 2

    with pytest.raises(typeguard.TypeCheckError):
        halved("4")
