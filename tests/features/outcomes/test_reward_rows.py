"""Tests of the packed days of a customer."""

from __future__ import annotations

import numpy as np

from features.outcomes.reward_rows import ROW_TYPE, DayRow, pack_days, unpack_days

ROWS = [
    DayRow(20_001, 1, 5, 9, 2.5, 0.5, (7, 8)),
    DayRow(20_000, 0, 1, 1, 0.0, 1.0, (3,)),
]


def test_rows_come_back_in_the_order_of_days():
    packed = pack_days(ROWS)
    assert unpack_days(packed.days, packed.window_ends) == [ROWS[1], ROWS[0]]
    assert packed.differ_until_us == 8
    assert pack_days([]) == (b"", b"", 0) and pack_days(ROWS[1:]).differ_until_us == 0


def test_numpy_reads_the_same_numbers():
    found = np.frombuffer(pack_days(ROWS).days, ROW_TYPE)
    assert found["day"].tolist() == [20_000, 20_001]
    assert found["decisions"].tolist() == [1, 2]
    assert found["first_us"].tolist() == [1, 5] and found["last_us"].tolist() == [1, 9]
    assert found["first_end_us"].tolist() == [3, 7] and found["last_end_us"].tolist() == [3, 8]
    assert found["credited"].tolist() == [0.0, 2.5] and found["cost"].tolist() == [1.0, 0.5]
