"""Tests arrays as bytes, and matrices as triangles."""

from __future__ import annotations

import numpy as np
import pytest

from training.arrays import (
    by_index,
    from_upper_triangles,
    pack,
    places_of,
    product_by_row,
    unpack,
    upper_triangles,
)


def test_a_note_and_arrays_survive_their_bytes():
    note, arrays = unpack(pack({"a": [1, "b"]}, x=np.array([0.1, np.nan])))
    assert note == {"a": [1, "b"]}
    assert arrays["x"] == pytest.approx([0.1, np.nan], nan_ok=True)


def test_places_of_names_come_in_the_order_of_the_names():
    assert places_of([]) == {}
    assert [*places_of(["b", "a", "b"]).items()] == [("b", [0, 2]), ("a", [1])]


def test_rows_are_taken_by_index_and_new_ones_are_filled():
    found = by_index(np.array([1, -1]), np.array([[1.0, 2.0], [3.0, 4.0]]), 9.0)
    assert found.tolist() == [[3.0, 4.0], [9.0, 9.0]]


@pytest.mark.parametrize("width", [0, 1, 5])
def test_symmetric_matrices_survive_their_triangles(width):
    matrices = np.random.default_rng(2).normal(size=(3, width, width))
    matrices += matrices.swapaxes(1, 2)
    triangles = upper_triangles(matrices)
    assert triangles.shape == (3, width * (width + 1) // 2)
    assert from_upper_triangles(triangles).tolist() == matrices.tolist()


def test_a_product_by_row_is_that_of_each_row_alone():
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(40, 33)), rng.normal(size=(33, 17))
    found = product_by_row(left, right)
    np.testing.assert_allclose(found, left @ right, rtol=1e-12)
    for row in range(len(left)):
        assert found[row].tobytes() == (left[row : row + 1] @ right).tobytes()
    assert product_by_row(left[:0], right).shape == (0, 17)
