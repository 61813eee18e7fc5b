"""Sums the rewards of customers: over all days, and powers of them up to each day, by arm."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from features.rewards.reward_rows import ARMS
from features.rewards.rewards import RewardTable, Whole
from training.arrays import Floats, Indices, Ints

POLICY, RANDOM = (ARMS.index(name) for name in ("policy", "random"))
CONTROL = ARMS.index("control")  # that of decisions of before the three arms
ARMS_N = len(ARMS) + 1  # with that of customers who have rows in several arms


def rows_since_three_arms(table: RewardTable) -> tuple[RewardTable, int]:
    """The rows of the policy and of the random arm; and the customers of the old control arm.

    If the old control arm has rows, the days up to its last one are left out: the policy's rows of
    that time have none of the random arm beside them.
    """
    old = table.arm == CONTROL
    kept = (table.arm == POLICY) | (table.arm == RANDOM)
    if old.any():
        kept &= table.day > table.day[old].max()
    rows = table if kept.all() else RewardTable(*(column[kept] for column in table))
    return rows, len(np.unique(table.customer[old]))


def arms_of_customers(table: RewardTable, begins: Indices) -> tuple[Ints, int]:
    """The arm of each customer, or -1 of one with rows in both arms; and the number of those."""
    if not len(begins):
        return np.zeros(0, dtype=np.int64), 0
    low, high = (function.reduceat(table.arm, begins) for function in (np.minimum, np.maximum))
    return np.where(low == high, low, -1).astype(np.int64), int((low != high).sum())


def sum_per_customer(column: Floats | Whole, begins: Indices) -> Floats:
    """Sum a column over the rows of each customer, which begin at ``begins``."""
    if not len(begins):
        return np.zeros(0)
    return np.add.reduceat(column, begins).astype(np.float64)


def sum_powers_by_day(
    table: RewardTable, begins: Indices, arm: Ints
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sum powers of the customers' rewards up to each day, in both arms: columns n, s1, s2, s3."""
    rows = len(table.customer)
    number = np.repeat(np.arange(len(begins), dtype=np.int32), np.diff(begins, append=rows))
    order, days, ends = _by_days(table.day)
    arms = arm % ARMS_N  # the last one is that of customers in both
    total = np.zeros(len(begins))
    added, rows_n = np.zeros((len(days), 4, ARMS_N)), np.zeros((len(days), ARMS_N), dtype=np.int64)
    first_days = np.searchsorted(days, table.day[begins])
    np.add.at(added[:, 0], (first_days, arms), 1.0)
    # The arrays of one day fit into the processor's cache; those of all days do not.
    for place, (begin, end) in enumerate(pairwise([0, *ends])):
        some = order[begin:end]
        who, reward = number[some], table.reward[some]
        before = total[who]  # each customer once
        after = before + reward
        total[who] = after
        its_arms = arms[who]
        square = before * before, after * after
        cube = square[0] * before, square[1] * after
        powers = reward, square[1] - square[0], cube[1] - cube[0]
        added[place, 1:] = [np.bincount(its_arms, values, ARMS_N) for values in powers]
        rows_n[place] = np.bincount(its_arms, minlength=ARMS_N)
    kept = rows_n[:, [POLICY, RANDOM]].any(axis=1)
    sums = added[kept].cumsum(axis=0)
    policy, random = (
        pd.DataFrame(sums[:, :, code], days[kept], ["n", "s1", "s2", "s3"])
        for code in (POLICY, RANDOM)
    )
    return policy, random


def _by_days(day: Whole) -> tuple[Indices, Ints, list[int]]:
    """Order rows by day: their indices, the days, and for each day the end of its rows."""
    if not len(day):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int64), []
    first, last = int(day.min()), int(day.max())
    # NumPy sorts numbers of 16 bits by radix, ten times as fast.
    since = (day - first).astype(np.uint16 if last - first < 1 << 16 else np.int64)
    order = np.argsort(since, kind="stable")
    counts = np.bincount(since)
    days = np.flatnonzero(counts)
    return order, days + first, np.cumsum(counts[days]).tolist()
