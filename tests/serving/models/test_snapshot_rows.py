"""Rows of bytes: arrays come back from them, and only the rows that differ are found."""

from __future__ import annotations

import numpy as np
import pytest

from serving.models.snapshot_rows import changed_rows, from_rows, row_bytes, to_rows


def arrays(n: int) -> dict[str, np.ndarray]:
    """Of two experts and vectors of 3 elements, all numbers different."""
    rng = np.random.default_rng(n)
    return {
        "weights": rng.normal(size=(2, n, 3)),
        "drift": rng.normal(size=(2, n)),
        "variance": rng.normal(size=(n, 3)).astype(np.float32),
        "covariance": rng.normal(size=(n, 6)).astype(np.float32),
    }


@pytest.mark.parametrize("n", [0, 1, 4])
def test_arrays_come_back_from_rows(n):
    mine = arrays(n)
    layout, rows = to_rows(mine)
    # 6 weights and 2 drifts of 8 bytes; 3 variances and 6 covariances of 4.
    assert rows.shape == (n, 8 * 8 + 9 * 4) and row_bytes(layout) == 100
    back = from_rows(layout, rows)
    assert back.keys() == mine.keys()
    for name, array in mine.items():
        assert back[name].dtype == array.dtype
        assert back[name].tolist() == array.tolist()


def test_the_rows_of_actions_with_another_number_have_changed():
    mine, other = arrays(4), arrays(4)
    other["weights"][1, 2, 0] += 1e-12
    other["covariance"][0, 5] *= 2
    assert changed_rows(to_rows(other)[1], to_rows(mine)[1]).tolist() == [0, 2]
    assert changed_rows(to_rows(mine)[1], to_rows(arrays(4))[1]).tolist() == []
