"""Training reads, at each moment, the attributes of that moment, through a real Feast."""

import asyncio
import json

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import yaml

from features.business.label_definitions import Churn
from features.customers.attribute_history import AttributeVersion, all_attribute_versions
from features.customers.attribute_writer import SentAttributes, write_attributes
from features.datasets import point_in_time
from features.datasets.dataset import labelled_dataset, training_frame
from features.datasets.labels import churn_moments
from features.datasets.point_in_time import PointInTimeFeatures
from features.journeys.fold import Fold
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.settings import load_settings
from features.states.journey_states import JourneyStates
from features.states.live_attributes import LiveAttributes
from features.store import build
from features.store.build import build_features
from features.store.feast_store import FeatureStore
from tests.conftest import TOY
from tests.features.live import DAY, NOW, SHOP, FeastOnlineStore, add, event, live, person

pytestmark = pytest.mark.slow

DOMAIN = SHOP.model_copy(update={"churn": Churn(event="order", active_days=30, silent_days=30)})
PLAN = ModelInput(DOMAIN).names.index("plan")
BASIC, PLUS = 0.0, 1.0
CUSTOMERS, DAYS, LAST_ORDER, NOTICED = 20, 200, 80, 60  # days ago


@pytest.fixture
def store(monkeypatch, tmp_path):
    file = tmp_path / "domain.yaml"
    file.write_text(yaml.safe_dump(json.loads(DOMAIN.model_dump_json()), sort_keys=False))
    monkeypatch.setenv("NBA_HOME", str(tmp_path))
    monkeypatch.setenv("NBA_DOMAIN", str(file))
    monkeypatch.setenv("NBA_ACTIONS", str(TOY / "actions.yaml"))
    store = FeatureStore(load_settings(), DOMAIN)
    store.apply()
    return store


@pytest.fixture
def worker(ledger, store):
    return live(ledger, FeastOnlineStore(store), DOMAIN)


@pytest.fixture
def change(ledger, worker, store):
    """Sends attributes of a customer, as `/v1/attributes` does."""
    states = JourneyStates(Fold(DOMAIN), FeastOnlineStore(store).state)
    attributes = LiveAttributes(ledger, worker.publisher, DOMAIN, states)

    def changed(key, as_of=None, now=NOW, **values):
        return asyncio.run(attributes.change(key, values, as_of, now))

    return changed


@pytest.fixture
def rebuild(ledger, store):
    return lambda now=NOW: build_features(ledger, store, DOMAIN, now)


@pytest.fixture
def frame(ledger, store):
    """The training frame of (customer, moment) pairs, and what the history says of the plan."""

    def read(*pairs):
        asked = pd.DataFrame(pairs, columns=["customer_id", "event_timestamp"])
        asked["event_timestamp"] = asked["event_timestamp"].astype("datetime64[us, UTC]")
        history = PointInTimeFeatures(ledger, store, DOMAIN)
        return training_frame(history, asked, "churn_v1", DOMAIN)

    return read


# A churn model ----------------------------------------------------------------------------------


@pytest.fixture
def left(ledger, worker):
    """Ten of twenty customers stopped ordering; 20 days later their plan was changed to basic."""
    add(ledger, tables.customers, *(person(f"c{n}", plan="plus") for n in range(CUSTOMERS)))
    orders = [
        event(f"{n}-{day}", f"c{n}", at=NOW - day * DAY, kind="order", amount_eur=5.0)
        for n in range(CUSTOMERS)
        for day in range(LAST_ORDER if n % 2 else 1, DAYS, 5)
    ]
    for begin in range(0, len(orders), 100):
        assert asyncio.run(worker.ingest(orders[begin : begin + 100], NOW)).rejected == []
    # As if each order had come when it occurred: else nobody was known to be active then.
    ledger.write_now(lambda c: c.execute(sa.update(tables.events).values(received_at=None)))
    return [f"c{n}" for n in range(1, CUSTOMERS, 2)]


def notice(ledger, left):
    """The plan of those who left, as a nightly load would change it."""
    sent = [SentAttributes(one, {"plan": "basic"}, NOW - NOTICED * DAY) for one in left]
    ledger.write_now(lambda c: write_attributes(c, sent, NOW))


def plans_are_those_of_the_moments(ledger, store, left):
    """Assert that the churn model reads the plan of each moment; says if any had changed."""
    moments = churn_moments(ledger, DOMAIN, pd.Timedelta(0).to_pytimedelta())
    history = PointInTimeFeatures(ledger, store, DOMAIN)
    found = labelled_dataset(moments, history, "churn_v1", DOMAIN, pd.Timedelta(0))
    noticed_us = tables.micros(NOW - NOTICED * DAY)
    truth = [
        BASIC if one in left and at_us >= noticed_us else PLUS
        for one, at_us in zip(found.customer_ids, found.at_us, strict=True)
    ]
    assert found.x[:, PLAN].tolist() == truth
    assert 0 < sum(found.y) < len(found.y)
    return BASIC in truth


def test_a_churn_model_reads_the_attributes_of_each_moment(ledger, store, left, rebuild):
    notice(ledger, left)
    rebuild()
    assert plans_are_those_of_the_moments(ledger, store, left)


def test_a_model_that_is_trained_after_a_change_without_a_build_reads_them_too(
    ledger, store, left, rebuild, change
):
    rebuild()
    for one in left:
        change(one, plan="basic", as_of=NOW - NOTICED * DAY)
    assert plans_are_those_of_the_moments(ledger, store, left)


def latest_only(connection):
    """A planted leak: the present attributes count as those of all times."""
    found = all_attribute_versions(connection)
    return {one: [AttributeVersion(0, own[-1].attributes)] for one, own in found.items()}


def test_a_leak_of_the_present_attributes_into_the_build_would_be_found(
    ledger, store, left, rebuild, monkeypatch
):
    notice(ledger, left)
    monkeypatch.setattr(build, "all_attribute_versions", latest_only)
    rebuild()
    with pytest.raises(AssertionError):
        plans_are_those_of_the_moments(ledger, store, left)


def test_a_leak_of_the_present_attributes_into_the_frame_would_be_found(
    ledger, store, left, rebuild, change, monkeypatch
):
    rebuild()
    for one in left:
        change(one, plan="basic", as_of=NOW - NOTICED * DAY)
    monkeypatch.setattr(point_in_time, "attributes_at", lambda own, at_us: own[-1].attributes)
    with pytest.raises(AssertionError):
        plans_are_those_of_the_moments(ledger, store, left)


# Moments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("built_after", [True, False])
def test_a_value_holds_from_its_instant_on(ledger, frame, rebuild, change, built_after):
    add(ledger, tables.customers, person("c1", plan="basic"), person("c2", plan="plus"))
    rebuild()
    at = NOW - 10 * DAY
    change("c1", plan="plus", as_of=at)
    change("c1", plan=None, as_of=NOW - DAY)
    if built_after:
        rebuild()
    tick = pd.Timedelta(microseconds=1)
    times = [NOW - 900 * DAY, at - tick, at, NOW - DAY - tick, NOW - DAY, NOW + DAY]
    found = frame(*(("c1", time) for time in times), ("c2", at), ("nobody", at))
    expected = [BASIC, BASIC, PLUS, PLUS, np.nan, np.nan, PLUS, np.nan]
    np.testing.assert_array_equal(found["plan"], expected)


@pytest.mark.parametrize("built_after", [True, False])
def test_a_merged_customer_has_at_each_moment_the_values_of_all_keys(
    ledger, frame, rebuild, change, worker, built_after
):
    add(ledger, tables.customers, person("c1"), person("card:1", plan="basic", age_years="41.0"))
    rebuild()
    change("c1", plan="plus", as_of=NOW - 10 * DAY)
    change("card:1", age_years=42, as_of=NOW - 5 * DAY)
    asyncio.run(worker.link(("c1", "card:1"), "told an agent", NOW))
    if built_after:
        rebuild()
    found = frame(*(("c1", NOW - days * DAY) for days in (20, 10, 5)))
    assert found["plan"].tolist() == [BASIC, PLUS, PLUS]
    assert found["age_years"].tolist() == [41.0, 41.0, 42.0]


def test_training_reads_what_serving_read_before_and_after_each_change(
    ledger, store, frame, rebuild, change, worker
):
    """Each change comes now, and at each step serving reads; training reads the same later."""
    add(ledger, tables.customers, person("c1", plan="basic"))
    rebuild()
    steps = [
        lambda now: change("c1", now=now, plan="plus"),
        lambda now: change("card:1", now=now, age_years=41),
        lambda now: worker.ingest([event(1, "c1", at=now)], now),
        lambda now: change("c1", now=now, plan=None, age_years=40),
        lambda now: worker.ingest([event(2, "card:1", at=now)], now),
        lambda now: change("c1", now=now, plan="basic", as_of=now),
    ]
    model_input, served, pairs = ModelInput(DOMAIN), [], []
    for number, step in enumerate(steps):
        at = NOW + number * DAY
        done = step(at)
        if asyncio.iscoroutine(done):
            assert asyncio.run(done).rejected == []
        for key in ("c1", "card:1"):
            known = store.online(key)
            if known is None:  # serving had nothing: neither a state nor attributes
                continue
            served.append(
                model_input.read(known.attributes, known.state, at.timestamp(), known.account_state)
            )
            pairs.append((key, at))
    assert len(pairs) > len(steps)
    np.testing.assert_array_equal(frame(*pairs).to_numpy(), np.array(served))
    before = frame(*pairs)
    rebuild(NOW + 10 * DAY)
    pd.testing.assert_frame_equal(frame(*pairs), before)


def test_a_change_during_a_build_is_not_overwritten(
    ledger, store, frame, rebuild, change, monkeypatch
):
    add(ledger, tables.customers, person("c1", plan="basic"))
    rebuild()
    made = build.profile_table

    def meanwhile(*columns):
        change("c1", plan="plus")
        return made(*columns)

    monkeypatch.setattr(build, "profile_table", meanwhile)
    rebuild()
    assert store.online("c1").attributes == {"plan": "plus"}
    assert frame(("c1", NOW - DAY), ("c1", NOW))["plan"].tolist() == [BASIC, PLUS]
