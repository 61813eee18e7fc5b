"""Tests of the packed days of a customer."""

from __future__ import annotations

import numpy as np

from features.outcomes.reward_rows import ROW_TYPE, DayRow, pack_days, unpack_days

ROWS = [
    DayRow(20_001, 1, 5, 9, 2.5, 0.5, (7, 8)),
    DayRow(20_000, 0, 1, 1, 0.0, 1.0, (3,)),
]


def test_rows_come_back_in_the_order_of_days():
    assert unpack_days(pack_days(ROWS)) == [ROWS[1], ROWS[0]]
    assert unpack_days(pack_days([])) == []


def test_numpy_reads_the_same_numbers():
    found = np.frombuffer(pack_days(ROWS).days, ROW_TYPE)
    assert found["day"].tolist() == [20_000, 20_001]
    assert found["decisions"].tolist() == [1, 2]
    assert found["first_us"].tolist() == [1, 5] and found["last_us"].tolist() == [1, 9]
    assert found["credited"].tolist() == [0.0, 2.5] and found["cost"].tolist() == [1.0, 0.5]
