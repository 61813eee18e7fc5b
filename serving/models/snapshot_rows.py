"""Numbers of each action in a snapshot as one row of bytes, so that single actions are published.

A row has the action's part of each array of `BY_ACTION`, one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.models.model_arrays import BY_ACTION
from training.arrays import Indices

Bytes = NDArray[np.uint8]
Layout = list[list[Any]]  # for each array: its name, data type and shape for one action


def to_rows(numbers: Mapping[str, NDArray[Any]]) -> tuple[Layout, Bytes]:
    """Arrange the arrays of `BY_ACTION` as rows of bytes.

    Returns
    -------
    layout
        For JSON; `from_rows` reads it.
    rows : shape (n_actions, n_bytes)
    """
    layout, columns = [], []
    for name, axis in BY_ACTION.items():
        array = np.ascontiguousarray(np.moveaxis(numbers[name], axis, 0))
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        layout.append([name, array.dtype.str, list(array.shape[1:])])
        columns.append(array.reshape(len(array), math.prod(array.shape[1:])).view(np.uint8))
    return layout, np.concatenate(columns, axis=1)


def from_rows(layout: Layout, rows: Bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `BY_ACTION`; inverse of `to_rows`."""
    found, begin = {}, 0
    for name, data_type, shape in layout:
        end = begin + np.dtype(data_type).itemsize * math.prod(shape)
        array = np.ascontiguousarray(rows[:, begin:end]).view(data_type)
        found[name] = np.moveaxis(array.reshape(len(rows), *shape), 0, BY_ACTION[name])
        begin = end
    return found


def row_bytes(layout: Layout) -> int:
    """Length of a row."""
    return sum(np.dtype(kind).itemsize * math.prod(shape) for _, kind, shape in layout)


def changed_rows(rows: Bytes, before: Bytes) -> Indices:
    """Find the rows that differ, shape (n_changed,)."""
    return np.flatnonzero((rows != before).any(axis=1))
