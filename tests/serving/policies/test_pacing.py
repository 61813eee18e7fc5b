"""Properties and single steps of the shadow price; `test_paced_days` plays whole days."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidSetting
from serving.policies import pacing, plan_time
from serving.policies.pacing import (
    CEILING,
    BudgetState,
    DailyTarget,
    after_spending,
    fits,
    priced_out,
    shadow_price,
    units_left,
)
from serving.policies.plan_time import PlanTime, TrafficProfile
from tests.serving.paced_day import MIDNIGHT, PLAIN, SHAPED, VALUE

ROME = ZoneInfo("Europe/Rome")
MAXIMUM = DailyTarget(600, None, VALUE)


def noon(profile: TrafficProfile = PLAIN, hours: float = 0.0) -> PlanTime:
    return profile.plan_time(MIDNIGHT + timedelta(hours=12 + hours))


def test_after_months_a_price_still_moves_as_after_a_day():
    target, row = DailyTarget(30, None, VALUE), None
    for event in range(90 * 30):  # as planned, every 48 minutes
        moment = PLAIN.plan_time(MIDNIGHT + timedelta(minutes=48 * event + 24))
        row = after_spending(row, target, moment)
    assert row.spent == 30 and 20 <= row.learned <= 31


def test_a_clock_that_is_behind_at_midnight_does_not_bring_yesterday_back():
    tomorrow = PLAIN.plan_time(MIDNIGHT + timedelta(days=1))
    row = after_spending(None, MAXIMUM, tomorrow)
    behind = PLAIN.plan_time(MIDNIGHT + timedelta(days=1, seconds=-3))
    assert shadow_price(row, MAXIMUM, behind) == row.price
    again = after_spending(row, MAXIMUM, behind)
    assert (again.day, again.spent, again.at) == (row.day, 2, row.at)


def test_workers_whose_clocks_differ_share_one_row_exactly():
    rng = np.random.default_rng(7)
    row, target = None, DailyTarget(50, None, VALUE)
    for seconds in np.sort(rng.uniform(0, 86_400, 3000)):
        moment = PLAIN.plan_time(MIDNIGHT + timedelta(seconds=seconds + rng.uniform(-3, 3)))
        if moment.day != date(2026, 3, 2):
            continue
        before = row
        if fits(row, target, moment) and shadow_price(row, target, moment) < rng.exponential(1.0):
            row = after_spending(row, target, moment)
        assert row is None or (row.spent <= 50 and (before is None or row.at >= before.at))
    assert row is not None and row.spent >= 48


def test_a_changed_target_is_followed_from_the_row_as_it_is():
    row = after_spending(None, DailyTarget(600, None, VALUE), noon(), 100)
    lower, later = DailyTarget(80, None, VALUE), noon(hours=1)
    assert units_left(row, lower, later) == 0 and not fits(row, lower, later)
    assert fits(row, DailyTarget(200, None, VALUE), later)
    assert (
        shadow_price(row, DailyTarget(None, None, VALUE), later) == 0
    )  # a limit that was taken away
    assert (
        shadow_price(row, DailyTarget(None, 50, VALUE), later) == 0
    )  # a minimum reached before it was set
    subsidised = BudgetState(row.day, 3, -1.0, row.at, 3)
    assert shadow_price(subsidised, DailyTarget(None, 50, VALUE), later) < -1
    assert shadow_price(subsidised, DailyTarget(600, None, VALUE), later) == 0


def test_a_target_of_nothing_allows_nothing():
    target = DailyTarget(0, None, VALUE)
    assert not fits(None, target, noon())
    assert fits(None, target, noon(), amount=0.0)  # an action that costs nothing
    assert 0 <= shadow_price(None, target, noon()) <= VALUE


def test_a_minimum_of_nothing_and_no_target_at_all_have_no_price():
    for target in (DailyTarget(None, None, VALUE), DailyTarget(None, 0, VALUE)):
        row = after_spending(None, target, noon())
        assert shadow_price(None, target, noon()) == shadow_price(row, target, noon(hours=6)) == 0
        assert units_left(row, target, noon()) == np.inf and fits(row, target, noon(), 1e9)


def test_tenths_add_up():
    target, row = DailyTarget(0.3, None, 10.0, unit=0.1), None
    for _ in range(3):
        assert fits(row, target, noon(), 0.1)
        row = after_spending(row, target, noon(), 0.1)
    assert not fits(row, target, noon(), 0.1)


amounts = st.floats(0, 1e6)


instants = st.integers(0, 3 * 86_400).map(lambda seconds: MIDNIGHT + timedelta(seconds=seconds))


hourly_weights = st.none() | st.lists(st.integers(0, 9), min_size=24, max_size=24).filter(any).map(
    tuple
)


traffic_profiles = st.builds(
    TrafficProfile,
    st.sampled_from(["UTC", "Europe/Rome", "Asia/Kolkata"]).map(ZoneInfo),
    hourly_weights,
)


@st.composite
def targets(draw):
    least = draw(st.none() | st.floats(0, 1e6))
    most = draw(st.none() | st.floats(least or 0, 1e7))
    return DailyTarget(most, least, draw(st.floats(1e-3, 1e6)), draw(st.floats(1e-3, 1e4)))


@st.composite
def rows(draw, profile, target):
    """Any row, also one that was written under another target."""
    at = draw(instants)
    level = draw(st.floats(pacing.MIN_LEVEL, pacing.MAX_LEVEL))
    return BudgetState(
        day=profile.plan_time(at).day,
        spent=draw(amounts),
        price=pacing.RESOLUTION
        * target.scale
        * float(np.sinh(level))
        * draw(st.sampled_from([1, 10])),
        at=at,
        learned=draw(amounts),
    )


@st.composite
def histories(draw):
    profile, target = draw(traffic_profiles), draw(targets())
    row = draw(st.none() | rows(profile, target))
    return row, target, profile, sorted(draw(st.lists(instants, min_size=3, max_size=3)))


@given(histories(), amounts)
def test_a_price_is_finite_and_within_its_bounds_whatever_the_row(history, amount):
    row, target, profile, moments = history
    for at in moments:
        moment = profile.plan_time(at)
        row_after = after_spending(row, target, moment, amount)
        for cost in (shadow_price(row, target, moment), row_after.price):
            assert -target.scale * (1 + 1e-9) <= cost <= CEILING * target.scale * (1 + 1e-9)
        if target.at_most is None:
            assert shadow_price(row, target, moment) <= 0
        if not target.at_least:
            assert shadow_price(row, target, moment) >= 0


def test_a_subsidy_of_a_larger_scale_is_cut_also_where_the_minimum_is_reached():
    target, moment = DailyTarget(None, 1.0, 1.0), noon()
    written = BudgetState(day=moment.day, spent=5.0, price=-10.0, at=moment.at, learned=1.0)
    assert -1 <= after_spending(written, target, moment, 0.0).price <= 0


@given(histories(), amounts)
def test_who_has_spent_more_pays_more(history, more):
    row, target, profile, moments = history
    if row is None:
        return
    ahead = replace(row, spent=row.spent + more)
    for moment in map(profile.plan_time, moments):
        assert (
            shadow_price(ahead, target, moment)
            >= shadow_price(row, target, moment) - 1e-9 * target.scale
        )


@given(histories(), st.floats(0, 1e3), st.floats(0, 1e3))
def test_spending_raises_the_price_and_waiting_lowers_it(history, amount, more):
    row, target, profile, moments = history
    row = after_spending(row, target, profile.plan_time(moments[0]), amount)
    slack = 1e-9 * (target.scale + abs(row.price))
    moment, later = map(profile.plan_time, moments[1:])
    now = shadow_price(row, target, moment)
    a_little, more_of_it = (
        shadow_price(after_spending(row, target, moment, units), target, moment)
        for units in (amount, amount + more)
    )
    assert now - slack <= a_little <= more_of_it + slack
    if moment.day == later.day and now > 0:
        assert shadow_price(row, target, later) <= now + slack


@given(histories())
def test_one_look_sees_what_many_would_have(history):
    row, target, profile, moments = history
    first, between, last = map(profile.plan_time, moments)
    row = after_spending(row, target, first, 1.0)
    if not row.day == between.day == last.day or between.at < row.at:
        return
    looked = replace(row, price=shadow_price(row, target, between), at=between.at)
    assert shadow_price(looked, target, last) == pytest.approx(
        shadow_price(row, target, last), rel=1e-6, abs=1e-9 * target.scale
    )


@pytest.mark.parametrize("profile", [PLAIN, SHAPED], ids=["plain", "shaped"])
@pytest.mark.parametrize(
    ("most", "least", "spent", "cost", "hour"),
    [(600, None, 100, 2.0, 3), (600, 300, 100, 0.1, 8), (None, 300, 20, -0.01, 20)],
)
def test_a_lazy_price_is_the_sum_of_very_many_small_steps(profile, most, least, spent, cost, hour):
    """Each small step spends nothing, and plans the rest of the target over the rest of the day."""
    target, learned, steps = DailyTarget(most, least, VALUE), 40.0, 20_000
    start = MIDNIGHT + timedelta(hours=hour)
    row = BudgetState(MIDNIGHT.date(), spent, cost, start, learned)
    level = np.arcsinh(cost / (pacing.RESOLUTION * VALUE))
    shares = [
        profile.remaining(row.day, start + timedelta(hours=1) * step / steps)
        for step in range(steps + 1)
    ]
    for before, after in zip(shares[:-1], shares[1:], strict=True):
        bound = most if level > 0 else least + least**0.5 if least else spent
        level -= (bound - spent) / np.sqrt(learned) * (before - after) / before
    expected = pacing.RESOLUTION * VALUE * np.sinh(max(level, pacing.MIN_LEVEL))
    assert abs(expected - cost) > 1e-3  # it does fall
    lazily = shadow_price(row, target, profile.plan_time(start + timedelta(hours=1)))
    assert lazily == pytest.approx(expected, rel=5e-3, abs=1e-5)


@given(histories())
def test_the_same_row_gives_the_same_price_for_ever(history):
    row, target, profile, moments = history
    moment = profile.plan_time(moments[0])
    first = shadow_price(row, target, moment), after_spending(row, target, moment)
    plan_time._remaining_shares.cache_clear()
    again = TrafficProfile(ZoneInfo(profile.zone.key), profile.weights).plan_time(
        moments[0].astimezone(ROME)
    )
    assert (shadow_price(row, target, again), after_spending(row, target, again)) == first


@given(
    st.floats(0, 100),
    st.lists(st.tuples(st.integers(0, 20_000), st.floats(0, 30)), max_size=40),
)
def test_what_fits_is_never_too_much(most, calls):
    target, row, at = DailyTarget(most, None, VALUE), None, MIDNIGHT
    spent: dict[date, float] = {}
    for seconds, amount in calls:
        at += timedelta(seconds=seconds)
        moment = PLAIN.plan_time(at)
        assert units_left(row, target, moment) == pytest.approx(
            max(0.0, most - spent.get(moment.day, 0.0)), abs=1e-6
        )
        if fits(row, target, moment, amount):
            row = after_spending(row, target, moment, amount)
            spent[moment.day] = spent.get(moment.day, 0.0) + amount
    assert all(total <= most * (1 + 1e-8) for total in spent.values())


@pytest.mark.parametrize(
    ("priority", "charge", "out"),
    [
        (2.0, 1.9, False),
        (2.0, 2.1, True),
        (2.0, -5.0, False),  # a subsidy takes nothing out
        (-0.2, 0.001, False),  # as good as no price: what trails may still be tried
        (-0.2, 0.1, True),
    ],
)
def test_what_costs_more_than_it_is_worth_is_priced_out(priority, charge, out):
    assert priced_out(priority, charge, worth=VALUE) is out


@pytest.mark.parametrize(
    ("most", "least", "scale", "unit", "sentence"),
    [
        (-1, None, 8, 1, "at most -1. Expected numbers >= 0"),
        (5, 6, 8, 1, "at least 6 and at most 5. Expected .* the first not above the second"),
        (float("nan"), None, 8, 1, "at most nan"),
        (float("inf"), None, 8, 1, "at most inf"),
        (None, float("inf"), 8, 1, "at least inf"),
        (5, None, 0, 1, "scale of a day's target is 0. Expected a number above 0"),
        (5, None, float("nan"), 1, "scale of a day's target is nan"),
        (5, None, 8, 0, "unit of a day's target is 0"),
    ],
)
def test_a_target_that_makes_no_sense_is_named(most, least, scale, unit, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        DailyTarget(most, least, scale, unit)


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_an_amount_that_makes_no_sense_is_named(amount):
    with pytest.raises(InvalidSetting, match="The amount spent is .* Expected a number >= 0"):
        after_spending(None, MAXIMUM, noon(), amount)
