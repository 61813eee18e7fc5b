"""Tests that no split trains on a label of its future, or on a held-out customer."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.splits import FOLDS, customer_splits, forward_splits

SEED = 11


def some_times(n: int, seed: int) -> np.ndarray:
    """Sorted times of n rows: twenty different ones, 10 microseconds apart."""
    return np.sort(np.random.default_rng(seed).integers(0, 20, n)) * 10


@pytest.mark.parametrize("label_us", [0, 1, 10, 35, 50])
def test_no_split_trains_on_a_label_that_was_not_settled_before_its_block_begins(label_us):
    at_us = some_times(1_000, seed=13)
    splits = forward_splits(at_us, label_us, SEED)
    assert len(splits) == 3
    for train, held_out in splits:
        begins = at_us[held_out].min()
        assert (at_us[train] + label_us).max() <= begins and at_us[train].max() < begins
        selected = (at_us + label_us <= begins) & (at_us < begins)
        assert train.tolist() == np.flatnonzero(selected).tolist()  # nor leaves one out


def test_the_blocks_are_the_later_half_of_the_moments_each_once():
    at_us = np.repeat(np.arange(12) * 100, 3)
    blocks = [at_us[held_out] for _, held_out in forward_splits(at_us, 100, SEED)]
    assert [sorted(set(block.tolist())) for block in blocks] == [
        [600, 700],
        [800, 900],
        [1000, 1100],
    ]
    assert sum(len(block) for block in blocks) == 18


@pytest.mark.parametrize(
    ("at_us", "label_us"),
    [
        (np.zeros(100, dtype=np.int64), 10),
        (np.repeat([0, 100], 50), 10),
        (np.repeat(np.arange(8), 12), 1_000),
    ],
    ids=["one moment", "two moments", "labels that look past the end"],
)
def test_falls_back_to_folds_where_time_is_too_short(at_us, label_us):
    splits = forward_splits(at_us, label_us, SEED)
    assert len(splits) == FOLDS
    for train, held_out in splits:
        assert sorted([*train, *held_out]) == list(range(len(at_us)))
    held_out = np.concatenate([held_out for _, held_out in splits])
    assert sorted(held_out) == list(range(len(at_us)))


def test_each_label_may_look_ahead_by_a_length_of_its_own():
    at_us = some_times(1_000, seed=14)
    label_us = np.random.default_rng(15).integers(0, 60, 1_000)
    for train, held_out in forward_splits(at_us, label_us, SEED):
        begins = at_us[held_out].min()
        selected = (at_us + label_us <= begins) & (at_us < begins)
        assert train.tolist() == np.flatnonzero(selected).tolist()


def test_folds_are_drawn_by_the_seed():
    at_us = np.zeros(100, dtype=np.int64)

    def first_fold(seed: int) -> list[int]:
        return forward_splits(at_us, 10, seed)[0][1].tolist()

    assert first_fold(1) == first_fold(1)
    assert first_fold(1) != first_fold(2)


def test_each_customer_is_left_out_once_with_all_its_rows():
    rng = np.random.default_rng(31)
    ids = rng.choice([f"c{number}" for number in range(40)], 200).astype(object)
    splits = customer_splits(ids, rng.integers(0, 3, 200), 4, SEED)
    assert sorted(np.concatenate([left_out for _, left_out in splits])) == list(range(200))
    for train, left_out in splits:
        assert sorted([*train, *left_out]) == list(range(200))
        assert set(ids[train]).isdisjoint(ids[left_out])


def test_every_fold_of_customers_has_its_share_of_each_class():
    ids = np.array([f"c{number}" for number in range(103)], dtype=object)
    y = (np.arange(103) < 12).astype(np.int64)
    counts = [np.bincount(y[left_out]) for _, left_out in customer_splits(ids, y, 5, SEED)]
    # Dealt out one by one: shares differ by one customer at most.
    assert all(np.ptp(one_class) <= 1 for one_class in np.array(counts).T)


def test_folds_of_customers_are_drawn_by_the_seed():
    ids = np.array([f"c{number}" for number in range(50)], dtype=object)

    def first(seed: int) -> list[int]:
        return customer_splits(ids, np.zeros(50, dtype=np.int64), 5, seed)[0][1].tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_there_are_no_more_folds_than_customers():
    ids, y = np.array(["a", "a", "b"], dtype=object), np.array([0, 1, 1])
    held_out = [left_out.tolist() for _, left_out in customer_splits(ids, y, 5, SEED)]
    assert sorted(held_out) == [[0, 1], [2]]
