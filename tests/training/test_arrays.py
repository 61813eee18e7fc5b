"""Tests arrays and a note as bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest

from training.arrays import pack, unpack


def test_unpack_returns_what_was_packed():
    arrays = {"weights": np.array([[1.5, np.nan], [-0.0, np.inf]]), "none": np.empty((0, 3))}
    note, back = unpack(pack({"actions": ["call"], "ridge": 2.5}, **arrays))
    assert note == {"actions": ["call"], "ridge": 2.5}
    assert {name: (array.shape, array.tobytes()) for name, array in back.items()} == {
        name: (array.shape, array.tobytes()) for name, array in arrays.items()
    }


def test_a_pickled_array_is_refused():
    file = io.BytesIO()
    np.savez(file, note=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack(file.getvalue())
