"""A confidence sequence holds at all looks together; its clock is that of customer-days."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.confidence_sequences import (
    customer_clock,
    mixture_quantile,
    planned_quantile,
)


def test_the_bound_is_that_of_the_formula_and_wider_than_one_look():
    clock = np.array([1.0, 8.0, 100.0])
    assert mixture_quantile(clock) == pytest.approx([3.656, 3.035, 3.273], abs=1e-3)
    assert planned_quantile(clock) == pytest.approx(np.full(3, 1.959964))
    assert (mixture_quantile(clock, 0.9) < mixture_quantile(clock)).all()


def test_a_brownian_motion_crosses_the_bound_in_few_of_many_looks():
    rng = np.random.default_rng(3)
    clock = np.arange(1.0, 201.0)
    paths = rng.normal(size=(4_000, len(clock))).cumsum(axis=1) / np.sqrt(clock)
    assert (np.abs(paths) > planned_quantile(clock)).any(axis=1).mean() > 0.3
    crossed = (np.abs(paths) > mixture_quantile(clock)).any(axis=1).mean()
    assert 0.005 < crossed < 0.05


def test_the_clock_counts_the_days_of_each_customer_in_units_of_the_first_week():
    begin = np.array([10, 10, 12, 16, 17, 40])
    looks = np.arange(10, 21)
    days = [int(np.maximum(look - begin + 1, 0).sum()) for look in looks]
    week = days[6]  # days 10 to 16
    assert customer_clock(begin, looks) == pytest.approx(np.maximum(np.array(days) / week, 1.0))
    assert customer_clock(begin, np.array([10, 11])).tolist() == [1.0, 1.0]
