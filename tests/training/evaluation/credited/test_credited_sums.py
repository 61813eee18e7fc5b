"""Tests of the sums of customers' rewards, against sums that are computed customer by customer."""

from __future__ import annotations

import numpy as np
import pytest

from features.rewards.reward_rows import ARMS
from features.rewards.rewards import RewardTable
from training.evaluation.credited.credited_sums import (
    CONTROL,
    POLICY,
    RANDOM,
    arms_of_customers,
    rows_since_three_arms,
    sum_per_customer,
    sum_powers_by_day,
)


def drawn(seed: int, customers: int = 40, days: int = 12, first_day: int = 20_000) -> RewardTable:
    """Some days of each customer, in one arm; a few customers have rows in both."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        arm = POLICY if customer % 3 else RANDOM
        for day in np.flatnonzero(rng.random(days) < 0.4):
            other = customer % 10 == 9 and rng.random() < 0.5
            rows.append(
                (
                    customer,
                    first_day + day,
                    POLICY + RANDOM - arm if other else arm,
                    1,
                    0,
                    rng.normal(),
                )
            )
    return RewardTable(*(np.array(column) for column in zip(*rows, strict=True)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("first_day", [20_000, -70_000])
def test_powers_up_to_a_day_are_those_of_each_customers_sum(seed, first_day):
    table = drawn(seed, first_day=first_day)
    begins = np.flatnonzero(np.diff(table.customer, prepend=-1))
    arm, mixed = arms_of_customers(table, begins)
    found = sum_powers_by_day(table, begins, arm)
    ids = np.unique(table.customer)
    arms = {one: set(table.arm[table.customer == one].tolist()) for one in ids.tolist()}
    assert mixed == sum(len(some) > 1 for some in arms.values()) > 0
    for code, sums in zip((POLICY, RANDOM), found, strict=True):
        for day in sums.index:
            until = table.day <= day
            mine = [one for one in ids[np.isin(ids, table.customer[until])] if arms[one] == {code}]
            totals = np.array([table.reward[until & (table.customer == one)].sum() for one in mine])
            expected = [len(mine), *(np.sum(totals**power) for power in (1, 2, 3))]
            assert sums.loc[day].tolist() == pytest.approx(expected)


def test_the_days_are_those_of_customers_in_one_arm():
    """On day 8 only a customer of both arms was shown anything; the last day is far away."""
    arms = [POLICY, RANDOM, POLICY, POLICY]
    columns = ([0, 0, 1, 1], [7, 8, 7, 80_000], arms, [1] * 4, [0] * 4)
    table = RewardTable(*map(np.array, columns), np.ones(4))
    begins = np.array([0, 2])
    arm, _ = arms_of_customers(table, begins)
    policy, random = sum_powers_by_day(table, begins, arm)
    assert policy.index.tolist() == random.index.tolist() == [7, 80_000]
    assert sum_per_customer(table.reward, begins).tolist() == [2.0, 2.0]


def test_without_rows_there_are_no_sums():
    nothing = RewardTable(*[np.zeros(0, dtype=np.int64)] * 5, np.zeros(0))
    begins = np.zeros(0, dtype=np.intp)
    arm, mixed = arms_of_customers(nothing, begins)
    assert (len(arm), mixed) == (0, 0)
    assert sum_per_customer(nothing.reward, begins).size == 0
    assert all(sums.empty for sums in sum_powers_by_day(nothing, begins, arm))


def test_days_of_the_old_control_group_are_left_out():
    arms = np.array([CONTROL, POLICY, POLICY, RANDOM, ARMS.index("nobody")])
    columns = ([0, 1, 1, 2, 3], [7, 7, 8, 8, 8], arms, [1] * 5, [0] * 5)
    table = RewardTable(*map(np.array, columns), np.arange(5.0))
    rows, old = rows_since_three_arms(table)
    assert (rows.reward.tolist(), old) == ([2.0, 3.0], 1)
    rows, old = rows_since_three_arms(RewardTable(*(column[1:] for column in table)))
    assert (rows.reward.tolist(), old) == ([1.0, 2.0, 3.0], 0)
