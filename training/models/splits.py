"""Splits labelled rows into training rows and held-out rows: forward in time, or by customer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.arrays import Ints

Split = tuple[Ints, Ints]  # row numbers to train on, row numbers that are held out

BLOCKS = 3  # held-out blocks in the later half of the time
FOLDS = 5  # where there are too few times to split forward in time


def forward_splits(at_us: Ints, label_us: int | Ints, seed: int) -> list[Split]:
    """Split forward in time: rows whose labels are known by then, and a block of later rows.

    Parameters
    ----------
    at_us : shape (n,)
        Times of the rows, in microseconds since 1970.
    label_us : int, or shape (n,)
        Time after which each label is known, in microseconds.

    Returns
    -------
    list of (rows to train on, rows to predict)
        Shuffled folds if there are too few different times.
    """
    times = np.unique(at_us)
    later = np.array_split(times[len(times) // 2 :], BLOCKS)
    label_known_us = np.maximum(at_us + label_us, at_us + 1)  # no row is known at its own time
    splits = [
        (np.flatnonzero(label_known_us <= block[0]), np.flatnonzero(np.isin(at_us, block)))
        for block in later
        if len(block)
    ]
    splits = [(train, held_out) for train, held_out in splits if len(train)]
    return splits if len(splits) == BLOCKS else list(_shuffled(len(at_us), seed))


def customer_splits(
    customer_ids: NDArray[np.object_], y: Ints, folds: int, seed: int
) -> list[Split]:
    """Split by customer: each customer is held out once.

    Customers are shuffled and assigned to folds by label (the last one, if they have several), so
    that each fold has about the same share of each class.

    Parameters
    ----------
    customer_ids : shape (n,)
    y : shape (n,), class index
    """
    customers, of_row = np.unique(customer_ids, return_inverse=True)
    label = np.zeros(len(customers), dtype=np.int64)
    label[of_row] = y
    shuffled = np.random.default_rng(seed).permutation(len(customers))
    fold_of_customer = np.empty(len(customers), dtype=np.int64)
    fold_of_customer[shuffled[np.argsort(label[shuffled], kind="stable")]] = (
        np.arange(len(customers)) % folds
    )
    fold = fold_of_customer[of_row]
    return [
        (np.flatnonzero(fold != number), np.flatnonzero(fold == number))
        for number in range(min(folds, len(customers)))
    ]


def _shuffled(n: int, seed: int) -> Iterator[Split]:
    rows = np.random.default_rng(seed).permutation(n)
    for fold in np.array_split(rows, FOLDS):
        yield np.setdiff1d(rows, fold), np.sort(fold)
