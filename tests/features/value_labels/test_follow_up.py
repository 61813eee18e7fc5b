"""Customers of decisions are followed over some days, as a computation day by day does."""

from __future__ import annotations

import numpy as np
import pytest

from features.rewards.event_rows import EventDay, pack_event_days
from features.value_labels.follow_up import customer_days, follow


def by_day(rows, first, last):
    """The margin of some days, and the days until the leaving that still holds at their end."""
    margin, gone_since = 0.0, None
    for row in sorted(rows):
        if row.day > last:
            break
        margin += row.value if row.day >= first else 0.0
        if row.left:
            gone_since = row.day if row.left == 1 else None
    return margin, np.nan if gone_since is None else max(gone_since - first, -1)


def test_each_decision_is_followed_as_day_by_day():
    rng = np.random.default_rng(19)
    customers = []
    for _ in range(40):
        days = np.sort(rng.choice(np.arange(-15, 45), rng.integers(0, 9), replace=False)).tolist()
        changes, gone = [], False
        for day in days:
            changing = rng.random() < 0.4
            left = (-1 if gone else 1) if changing else 0
            gone ^= changing
            changes.append(EventDay(day, left, float(rng.integers(-2, 5))))
        customers.append(changes)
    customer = rng.integers(0, len(customers), 300)
    first = rng.integers(-5, 40, 300)
    last = first + rng.integers(0, 12, 300)
    found = follow(
        customer_days([pack_event_days(one) for one in customers]), customer, first, last
    )
    expected = [
        by_day(customers[one], *days)
        for one, *days in zip(customer.tolist(), first.tolist(), last.tolist(), strict=True)
    ]
    margin, left_after_days = map(np.array, zip(*expected, strict=True))
    assert np.array_equal(found.margin, margin)
    assert np.array_equal(found.left_after_days, left_after_days, equal_nan=True)
    assert 20 < np.isnan(left_after_days).sum() < 280 and (margin != 0).sum() > 50


@pytest.mark.parametrize("packed", [[b""], [b"", pack_event_days([EventDay(3, 1, 9.0)])]])
def test_a_customer_without_events_has_no_margin_and_stays(packed):
    days = np.array([3])
    found = follow(customer_days(packed), np.array([0]), days, days)
    assert found.margin.tolist() == [0.0] and np.isnan(found.left_after_days).all()


def test_sums_of_others_leave_no_rest():
    rows = [EventDay(day, 0, 0.1 * day) for day in range(1, 50)] + [EventDay(60, 0, 1.0)]
    days = customer_days([pack_event_days(rows)])
    found = follow(days, np.array([0, 0]), np.array([51, 51]), np.array([59, 60]))
    assert found.margin.tolist() == [0.0, 1.0]
