"""Builds the feature store from a ledger of toy events, again, and after an interruption."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.identity.links import rename_customer
from features.identity.relocation import is_any_relocating
from features.journeys.fold import Fold
from features.ledger import tables
from features.store import fold_parts
from features.store.build import build_features
from tests.features.store.toy_events import EVENTS, NOW, fill, open_store


def test_the_history_keeps_a_state_after_the_last_event_of_each_customer(store):
    rows = pq.read_table(store.journey_folder).to_pandas()
    newest = {customer: at for customer, _, at, _ in EVENTS}
    assert dict(zip(rows["customer_id"], rows["event_timestamp"], strict=True)) == newest
    assert len(rows) == len(newest)


def test_a_business_on_its_first_day_is_built_and_knows_nobody(
    monkeypatch, tmp_path, toy_domain, ledger
):
    opened = open_store(monkeypatch, tmp_path, toy_domain)
    assert build_features(ledger, opened, toy_domain, NOW) == 0
    assert opened.why_unusable() is None
    assert opened.online("ann") is None


def _files(store):
    parts = sorted(store.journey_folder.iterdir())
    return {path.name: path.read_bytes() for path in [*parts, store.profile_file]}


def test_building_again_changes_nothing(monkeypatch, store, filled, toy_domain):
    before, online = _files(store), store.online("ann")
    again = open_store(monkeypatch, store.journey_folder.parents[1], toy_domain)
    assert build_features(filled, again, toy_domain, NOW) == len(EVENTS)
    assert _files(store) == before
    np.testing.assert_equal(store.online("ann"), online)
    assert not store.journey_folder.with_suffix(".part").exists()


def test_a_build_that_was_cut_off_leaves_the_old_history_and_nothing_in_the_way(
    monkeypatch, store, filled, toy_domain
):
    class Cut(Exception):
        """The build was interrupted."""

    def cut(*_):
        raise Cut

    before = _files(store)
    with pytest.raises(Cut):
        build_features(filled, store, toy_domain, NOW, progress=cut)
    assert _files(store) == before
    build_features(filled, store, toy_domain, NOW)
    assert _files(store) == before


def test_progress_ends_with_all_events_folded(monkeypatch, store, filled, toy_domain):
    progress = []
    monkeypatch.setattr(fold_parts, "PART_EVENTS", 2)
    build_features(filled, store, toy_domain, NOW, lambda *step: progress.append(step))
    assert [what for what, _, _ in progress] == ["fold events"] * 3  # two of ann, three of tie, one
    assert progress[-1] == ("fold events", len(EVENTS), len(EVENTS))
    assert sorted(done for _, done, _ in progress) == [done for _, done, _ in progress]


def test_events_that_are_still_stored_under_a_merged_customer_are_folded_with_the_other_one(
    monkeypatch, tmp_path, toy_domain, ledger
):
    def merge_as_if_long(connection):
        keys = [{"key": key, "customer_id": key, "rank": 0} for key in ("tie", "ann")]
        tables.insert_new(connection, tables.identities, keys)
        rename_customer(connection, "ann", "tie", at_most=0)

    fill(ledger)
    ledger.write_now(merge_as_if_long)
    assert ledger.read(is_any_relocating)
    opened = open_store(monkeypatch, tmp_path, toy_domain)
    build_features(ledger, opened, toy_domain, NOW)
    assert not ledger.read(is_any_relocating)
    assert opened.online("ann") is None
    fold, state = Fold(toy_domain), Fold(toy_domain).empty()
    for who, kind, at, properties in EVENTS:
        if who in ("ann", "tie"):
            state = fold.advance(state, kind, "app", at.timestamp(), properties)
    np.testing.assert_array_equal(opened.online("tie").state, state)
