"""A look sees the customers who were met by its day, with all their value since then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.rewards.customer_values import CustomerValues, ValueDays
from training.evaluation.lift_looks import MOST_LOOKS, look_at

FIRST = 20_000


def drawn(seed: int, customers: int, days: int = 12) -> tuple[CustomerValues, np.ndarray]:
    rng = np.random.default_rng(seed)
    met = rng.integers(0, days - 2, customers)
    owner = rng.integers(0, customers, 3 * customers)
    day = met[owner] + rng.integers(0, days, len(owner))
    order = np.lexsort((day, owner))
    owner, day = owner[order], day[order]
    rows = ValueDays(
        owner,
        day + FIRST,
        rng.gamma(1.0, 5.0, len(owner)),
        rng.random(len(owner)),
        rng.choice([0, 0, 0, 1, -1], len(owner)),
    )
    values = CustomerValues(
        [f"c{number}" for number in range(customers)],
        met + FIRST,
        rng.gamma(1.0, 20.0, customers),
        rng.random(customers) < 0.1,
        rng.gamma(1.0, 30.0, customers),
        np.zeros(customers, np.uint8),
        rows,
    )
    return values, rng.integers(0, 3, customers)


def counted(values: CustomerValues, arm: np.ndarray, code: int, first: int | None, day: int):
    """The value, the value before and the leaving of each customer of an arm, one by one."""
    found = []
    for number, met in enumerate(values.met_day.tolist()):
        if arm[number] != code or met > day:
            continue
        value, left = 0.0, int(values.gone_before[number]) if first is None else 0
        for row in range(len(values.days.day)):
            if values.days.customer[row] == number and values.days.day[row] <= day:
                gone = int(values.days.left[row])
                lost = gone * values.remaining[number]
                value += float(values.days.margin[row] - values.days.cost[row] - lost)
                left += gone
        found.append((value, values.before[number], left > 0))
    return np.array(found).reshape(-1, 3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 25), st.integers(1, 11))
def test_each_look_counts_all_who_were_met_whatever_they_did(seed, customers, after):
    values, arm = drawn(seed, customers)
    looks = look_at(values, arm, 3, None, FIRST + after)
    if not (values.met_day <= FIRST + after).any():
        assert looks is None
        return
    assert looks is not None and looks.day[-1] == FIRST + after
    for look, day in enumerate(looks.day.tolist()):
        arms = [counted(values, arm, code, None, day) for code in range(3)]
        assert looks.moments.n[look].tolist() == [len(one) for one in arms]
        assert looks.left[look].tolist() == [float(one[:, 2].sum()) for one in arms]
        together = np.concatenate(arms)
        cross = sum(((one[:, 1] - one[:, 1].mean()) * one[:, 0]).sum() for one in arms if len(one))
        squares = sum(((one[:, 1] - one[:, 1].mean()) ** 2).sum() for one in arms if len(one))
        theta = cross / squares if squares else 0.0
        for code, one in enumerate(arms):
            if len(one) < 2:
                assert np.isnan(looks.moments.mean[look, code])
                continue
            # Centred at the mean of all arms: that of each arm would take the difference away.
            adjusted = one[:, 0] - theta * (one[:, 1] - together[:, 1].mean())
            assert looks.moments.mean[look, code] == pytest.approx(adjusted.mean(), abs=1e-9)
            assert looks.moments.variance[look, code] == pytest.approx(adjusted.var(ddof=1))


def test_a_period_drops_days_and_no_customer():
    values, arm = drawn(3, 60)
    since, until = FIRST + 6, FIRST + 9
    keep = (values.days.day >= since) & (values.days.day <= until)
    rows = ValueDays(*(column[keep] for column in values.days))
    period = CustomerValues(
        values.customers,
        values.met_day,
        values.before,
        values.gone_before,
        values.remaining,
        values.arms_logged,
        rows,
    )
    looks = look_at(period, arm, 3, since, until)
    assert looks is not None and looks.day.tolist() == [since, since + 1, since + 2, since + 3]
    for look, day in enumerate(looks.day.tolist()):
        met = values.met_day <= day
        expected = [int((met & (arm == code)).sum()) for code in range(3)]
        assert looks.moments.n[look].tolist() == expected
    assert (looks.moments.n[0] > 0).all()  # met before the period
    # Who had left before the period is not counted as having left in it.
    quiet = CustomerValues(
        values.customers,
        values.met_day,
        values.before,
        np.ones(60, np.bool_),
        values.remaining,
        values.arms_logged,
        ValueDays(*(column[:0] for column in values.days)),
    )
    of_period, of_all = (look_at(quiet, arm, 3, first, until) for first in (since, None))
    assert of_period is not None and not of_period.left.any()
    assert of_all is not None and of_all.left[-1].sum() == 60


def test_a_long_experiment_is_looked_at_on_some_of_its_days_and_the_last():
    values, arm = drawn(4, 30)
    looks = look_at(values, arm, 3, None, FIRST + 1_000)
    assert looks is not None and len(looks.day) == MOST_LOOKS
    assert looks.day[-1] == FIRST + 1_000
    whole = look_at(values, arm, 3, None, FIRST + 30)
    assert whole is not None
    assert looks.moments.mean[-1] == pytest.approx(whole.moments.mean[-1])  # no row is lost
    assert (np.diff(looks.clock) >= 0).all()


def test_an_arm_without_customers_leaves_the_others_as_they_are():
    values, arm = drawn(5, 40)
    none = np.where(arm == 2, 1, arm)
    looks = look_at(values, none, 3, None, FIRST + 11)
    assert looks is not None and looks.moments.n[-1, 2] == 0
    assert np.isnan(looks.moments.mean[-1, 2]) and np.isfinite(looks.moments.mean[-1, :2]).all()
