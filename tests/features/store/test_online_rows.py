"""Reads Feast's SQLite online store directly, with the same result as through Feast."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import numpy as np
import pytest

from features.settings import load_settings
from features.store.feast_store import FeatureStore
from features.store.online_rows import OnlineRows

PROFILES = {"ann": {"plan": "plus", "age_years": "41"}, "bob": {"plan": "basic"}, "né☂": {}}


@pytest.fixture(scope="module")
def store(toy_domain, tmp_path_factory):
    home = tmp_path_factory.mktemp("online")
    opened = FeatureStore(load_settings({"NBA_HOME": str(home)}), toy_domain)
    opened.apply()
    return opened


def both_ways(store, customer):
    """Read a customer from the SQLite tables, and through Feast."""
    straight = store.online(customer)
    rows, store._rows = store._rows, None
    assert rows is not None  # the first was straight
    through_feast = store.online(customer)
    store._rows = rows
    return straight, through_feast


def test_attributes_and_states_are_those_that_feast_reads(store, toy_domain, now):
    fold = store._fold
    state = fold.advance(fold.empty(), "order", "app", now.timestamp(), {})
    store.write_profiles(PROFILES, now)
    store.write(["ann", "né☂"], [state, fold.empty()], [now, now])
    store.write(["ann"], [fold.advance(state, "visit", "web", now.timestamp(), {})], [now])
    for customer in (*PROFILES, "nobody"):
        straight, through_feast = both_ways(store, customer)
        np.testing.assert_equal(straight, through_feast)
    assert store.online("ann").attributes == PROFILES["ann"]
    assert store.online("ann").state is not None
    assert store.online("nobody") is None


def test_what_is_written_is_seen_by_the_next_reader_and_what_is_erased_is_not(store, now):
    store.write_profiles({"eve": {"plan": "plus"}}, now)
    assert store.online("eve").attributes == {"plan": "plus"}
    store.write_profiles({"eve": {"plan": "basic"}}, now + timedelta(seconds=1))
    assert store.online("eve").attributes == {"plan": "basic"}
    store.erase(["eve"])
    assert store.online("eve") is None


def test_a_file_without_tables_says_so(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        OnlineRows(tmp_path / "empty.db", ["project_view"]).of(b"key")
