"""Folds toy customers in parts, with kept states on the way."""

import numpy as np
import pyarrow.parquet as pq

from features.store import fold_parts
from features.store.fold_parts import CustomerRange, customer_ranges, fold_ranges
from tests.features.store.toy_events import DAY, EVENTS, NOW, state_of


def test_customers_are_divided_into_ranges_by_their_events(monkeypatch, filled):
    assert filled.read(customer_ranges) == [CustomerRange("ann", "tie", len(EVENTS))]
    monkeypatch.setattr(fold_parts, "PART_EVENTS", 3)
    assert filled.read(customer_ranges) == [
        CustomerRange("ann", "guest", 3),
        CustomerRange("tie", "tie", 3),
    ]


def test_a_part_has_the_newest_state_of_each_customer(filled, toy_domain, fold, tmp_path):
    [part] = fold_ranges(filled.url, toy_domain, filled.read(customer_ranges), tmp_path, 1)
    assert (part.customer_ids, part.events) == (["ann", "guest", "tie"], len(EVENTS))
    for customer, packed in zip(part.customer_ids, part.states, strict=True):
        np.testing.assert_array_equal(fold.unpack(packed), state_of(fold, customer, NOW))


def test_states_are_kept_on_the_way_but_never_between_events_of_one_instant(
    monkeypatch, filled, toy_domain, tmp_path
):
    monkeypatch.setattr(fold_parts, "KEEP_EVERY", 1)
    list(fold_ranges(filled.url, toy_domain, filled.read(customer_ranges), tmp_path, 1))
    rows = pq.read_table(tmp_path / "00000.parquet").to_pandas()
    kept = list(zip(rows["customer_id"], rows["event_timestamp"], strict=True))
    assert kept == [
        ("ann", NOW - 10 * DAY),
        ("ann", NOW - 5 * DAY),
        ("guest", NOW - DAY),
        ("tie", NOW - 2 * DAY),
    ]
