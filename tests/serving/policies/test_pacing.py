"""Volumes and budgets last the day, go to those they are worth most for, and are never exceeded.

The comments say what was measured with seeds 1 to 8, the tests allow more.
`PACING_SEEDS=8 pytest tests/serving/test_pacing.py` lives through more days.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidSetting
from serving.policies import pacing
from serving.policies.pacing import (
    CEILING,
    BudgetState,
    DailyTarget,
    TrafficProfile,
    advance,
    fits,
    left,
    price,
    priced_out,
)
from tests.serving.paced_day import (
    BUSY,
    MIDNIGHT,
    OPEN,
    PLAIN,
    SHAPED,
    VALUE,
    Day,
    Paced,
    Run,
    a_day,
    at_price,
    in_hindsight,
    live,
    off_plan,
    plan_by_hour,
    share_of_possible_gain,
)

SEEDS = range(1, 1 + int(os.environ.get("PACING_SEEDS", "2")))
ROME = ZoneInfo("Europe/Rome")
VOLUME = Paced(
    DailyTarget(600, None, VALUE), {0: 1.0}
)  # of about 2,000 that would be shown without it
seeds = pytest.mark.parametrize("seed", SEEDS)


def noon(calendar: TrafficProfile = PLAIN, hours: float = 0.0) -> pacing.Moment:
    return calendar.moment(MIDNIGHT + timedelta(hours=12 + hours))


# Days of decisions -------------------------------------------------------------------------------

TRAFFIC = {"even": "even", "bursty": "bursty", "busy": BUSY, "busy, and known": BUSY}


@cache
def two_days(traffic: str, seed: int) -> list[tuple[Day, Run]]:
    """A day that begins without a row, and the one after it."""
    calendar, paces, lived = calendar_of(traffic), None, []
    for number in (0, 1):
        day = a_day(seed, traffic=TRAFFIC[traffic], number=number)
        run = live(day, [VOLUME], calendar, paces)
        paces = run.paces
        lived.append((day, run))
    return lived


def calendar_of(traffic: str) -> TrafficProfile:
    return SHAPED if traffic == "busy, and known" else PLAIN


@seeds
@pytest.mark.parametrize("traffic", TRAFFIC)
def test_a_maximum_is_spent_to_the_end_and_never_exceeded(traffic, seed):
    for day, run in two_days(traffic, seed):
        assert at_price(day, VOLUME.amounts, 0.0)[0] > 1500  # what everybody would have been shown
        assert 0.95 * 600 <= run.by_hour(day, VOLUME).sum() <= 600  # measured: 0.973 and more


@seeds
@pytest.mark.parametrize(
    ("traffic", "so_far", "by_hour"),
    [  # measured: 0.015 and 0.14; 0.07 and 0.36; 0.20 and 0.44; 0.02 and 0.12
        ("even", 0.03, 0.2),
        ("bursty", 0.12, 0.5),
        ("busy", 0.25, 0.55),
        ("busy, and known", 0.03, 0.2),
    ],
)
def test_spending_follows_the_plan_hour_by_hour(traffic, so_far, by_hour, seed):
    plan = plan_by_hour(calendar_of(traffic), 600)
    for day, run in two_days(traffic, seed):
        spent = run.by_hour(day, VOLUME)
        assert off_plan(spent, plan) <= so_far
        assert np.abs(spent - plan).sum() / 600 <= by_hour


@seeds
@pytest.mark.parametrize(
    ("traffic", "share"),  # measured: 0.970, 0.820, 0.867, 0.964; first come, first served: 0.50
    [("even", 0.95), ("bursty", 0.78), ("busy", 0.82), ("busy, and known", 0.94)],
)
def test_it_earns_nearly_what_the_best_price_of_hindsight_earns(traffic, share, seed):
    for day, run in two_days(traffic, seed):
        assert share_of_possible_gain(day, VOLUME, run.value) >= share


@seeds
def test_first_come_first_served_earns_less_and_has_nothing_left_in_the_evening(seed):
    day, paced = two_days("even", seed)[0]
    first = live(day, [VOLUME], PLAIN, first_come=True)
    assert first.by_hour(day, VOLUME)[12:].sum() == 0
    assert share_of_possible_gain(day, VOLUME, first.value) < 0.6
    assert paced.value > 1.05 * first.value


def test_a_day_of_twenty_thousand_decisions():
    day = a_day(4, calls=20_000)
    paced = Paced(DailyTarget(1500, None, VALUE), {0: 1.0})
    run = live(day, [paced], PLAIN)
    spent = run.by_hour(day, paced)
    assert 0.98 * 1500 <= spent.sum() <= 1500
    assert off_plan(spent, plan_by_hour(PLAIN, 1500)) <= 0.02
    assert share_of_possible_gain(day, paced, run.value) >= 0.95


@pytest.mark.parametrize("wrong_by", [1 / 100, 100])
def test_the_scale_need_not_be_right(wrong_by):
    day, _ = two_days("even", 1)[0]
    paced = Paced(DailyTarget(600, None, VALUE * wrong_by), {0: 1.0})
    run = live(day, [paced], PLAIN)
    spent = run.by_hour(day, paced)
    assert 0.95 * 600 <= spent.sum() <= 600
    assert off_plan(spent, plan_by_hour(PLAIN, 600)) <= 0.03
    assert share_of_possible_gain(day, paced, run.value) >= 0.95


@seeds
def test_three_a_day_go_to_the_best_of_thousands_and_not_within_the_first_minutes(seed):
    paced = Paced(DailyTarget(3, None, VALUE), {0: 1.0})
    day = a_day(seed)

    def spent(run: Run) -> np.ndarray:
        return np.flatnonzero(run.drawn == 0)

    def rank(calls: np.ndarray) -> float:
        worth = day.priorities[:, 0]
        return float(np.mean([(worth > worth[call]).mean() for call in calls]))

    shown = spent(live(day, [paced], PLAIN))
    assert len(shown) == 3
    assert rank(shown) < 0.05  # measured: 0.02 at most
    assert day.seconds[shown[-1]] > 12 * 3600
    first = spent(live(day, [paced], PLAIN, first_come=True))
    assert day.seconds[first[-1]] < 3600
    # Why `priced_out` is there: exploration would hand them to just anybody at any price.
    explored = spent(live(day, [paced], PLAIN, explore_at_any_price=True))
    assert len(explored) <= 3 and rank(explored) > 0.2


@pytest.mark.parametrize("more", [1.2, 20])
def test_a_maximum_that_would_not_be_reached_costs_nothing(more):
    day = a_day(8)
    wanted, value = at_price(day, VOLUME.amounts, 0.0)
    paced = Paced(DailyTarget(round(wanted * more), None, VALUE), {0: 1.0})
    run = live(day, [paced], PLAIN)
    assert run.value >= 0.999 * value
    assert np.quantile(run.prices, 0.9) <= pacing.GRAIN * VALUE  # measured: 0.002
    assert run.prices[-1, 0] == 0


def test_an_hour_without_callers_is_made_up_for_without_a_rush():
    day = a_day(5, calls=6000)
    calls = (day.seconds < 10 * 3600) | (day.seconds >= 14 * 3600)
    day = Day(day.seconds[calls], day.priorities[calls])
    run = live(day, [VOLUME], PLAIN)
    spent = run.by_hour(day, VOLUME)
    assert 0.95 * 600 <= spent.sum() <= 600
    # From 14 h on, the plan is 1.4 times that of an even day; all that was missed would be 4 more.
    assert spent[14] <= 3 * 25
    assert 1.0 * 25 <= spent[16:22].mean() <= 1.6 * 25


def test_a_shop_that_is_closed_at_night_spends_its_volume_if_it_says_so():
    day = a_day(9, traffic=OPEN)
    said = live(day, [VOLUME], TrafficProfile(ZoneInfo("UTC"), OPEN)).by_hour(day, VOLUME).sum()
    assert said >= 0.98 * 600
    unsaid = live(day, [VOLUME], PLAIN).by_hour(day, VOLUME).sum()
    assert 0.7 * 600 <= unsaid <= 0.9 * 600  # four of its hours are planned for the night


# Minima, both, budgets ---------------------------------------------------------------------------

WEAK = (-1.5, -1.7, -2.0, -4.0)  # the last action is shown some 145 times if nobody cares


@seeds
@pytest.mark.parametrize("traffic", TRAFFIC)
def test_a_minimum_is_reached_and_not_at_the_cost_of_those_who_call_last(traffic, seed):
    paced = Paced(DailyTarget(None, 400, VALUE), {3: 1.0})
    day = a_day(seed, traffic=TRAFFIC[traffic], liking=WEAK)
    assert at_price(day, paced.amounts, 0.0)[0] < 200
    run = live(day, [paced], calendar_of(traffic))
    assert 400 <= run.by_hour(day, paced).sum() <= 420  # measured: 401 to 415
    # Measured: 0.987. Giving up the other actions costs 1.7 % at hindsight's price, too.
    assert run.value >= 0.98 * in_hindsight(day, paced.amounts, 400)[1]
    if traffic != "busy":  # there, with no profile, the night's few callers must make up for it
        assert run.prices.min() > -VALUE


@seeds
def test_a_minimum_out_of_reach_costs_its_scale_and_no_more(seed):
    day = a_day(seed, liking=WEAK)
    day.priorities[np.random.default_rng(seed).random(len(day.seconds)) > 0.02, 3] = np.nan
    run = live(day, [Paced(DailyTarget(None, 400, 2.0), {3: 1.0})], PLAIN)
    assert run.prices.min() == pytest.approx(-2.0)
    assert run.prices[-1, 0] == pytest.approx(-2.0)
    afternoon = ~np.isnan(day.priorities[:, 3]) & (day.seconds > 43_200)
    lead = day.priorities[:, :3].max(axis=1) - day.priorities[:, 3]
    assert (run.drawn[afternoon & (lead < 1.5)] == 3).mean() > 0.7
    # Who values another action by more than the subsidy still gets that one.
    assert (run.drawn[afternoon & (lead > 2.5)] == 3).mean() < 0.2


@seeds
def test_a_minimum_that_is_reached_anyway_costs_nothing(seed):
    day = a_day(seed)
    run = live(day, [Paced(DailyTarget(None, 30, VALUE), {3: 1.0})], PLAIN)
    assert (run.drawn == 3).sum() > 100
    assert run.prices.min() >= -0.01 * VALUE
    assert run.value >= 0.999 * at_price(day, {}, 0.0)[1]


@seeds
@pytest.mark.parametrize("liking", [-1.5, -4.0])
def test_an_exact_volume_is_both_paced_and_met(liking, seed):
    day = a_day(seed, liking=(liking, -1.7, -2.0, -2.3))
    paced = Paced(DailyTarget(300, 300, VALUE), {0: 1.0})
    run = live(day, [paced], PLAIN)
    spent = run.by_hour(day, paced)
    assert 0.98 * 300 <= spent.sum() <= 300  # measured: 298 and more
    assert off_plan(spent, plan_by_hour(PLAIN, 300)) <= 0.1
    assert run.value >= 0.99 * in_hindsight(day, paced.amounts, 300)[1]


COSTS = (0.2, 0.5, 1.5, 0.3)
BUDGET = Paced(DailyTarget(300, None, VALUE / 0.2, unit=0.73), {0: 0.2, 1: 0.5, 2: 1.5})


@seeds
@pytest.mark.parametrize(
    ("traffic", "share", "so_far"),  # measured: 0.985 and 0.015; 0.88 and 0.09; 0.81 and 0.19
    [("even", 0.95, 0.03), ("bursty", 0.82, 0.13), ("busy", 0.76, 0.25)],
)
def test_a_budget_that_three_actions_share_lasts_the_day(traffic, share, so_far, seed):
    day = a_day(seed, traffic=TRAFFIC[traffic], cost=COSTS)
    run = live(day, [BUDGET], PLAIN)
    spent = run.by_hour(day, BUDGET)
    assert 0.95 * 300 <= spent.sum() <= 300 * (1 + 1e-9)
    assert off_plan(spent, plan_by_hour(PLAIN, 300)) <= so_far
    assert share_of_possible_gain(day, BUDGET, run.value) >= share


def test_a_budget_is_spent_on_what_brings_most_for_the_money():
    day = a_day(6, cost=COSTS)
    freely = live(day, [BUDGET], PLAIN, first_come=True)
    assert share_of_possible_gain(day, BUDGET, freely.value) < 0.4
    paced = live(day, [BUDGET], PLAIN)
    assert (paced.drawn == 2).sum() < 0.5 * (freely.drawn == 2).sum()
    assert (paced.drawn == 0).sum() > 2 * (freely.drawn == 0).sum()


@seeds
def test_a_volume_inside_a_budget_holds_with_it(seed):
    day = a_day(seed, cost=COSTS)
    own = Paced(DailyTarget(100, None, VALUE), {0: 1.0})
    run = live(day, [BUDGET, own], PLAIN)
    assert 0.95 * 100 <= run.by_hour(day, own).sum() <= 100
    assert 0.95 * 300 <= run.by_hour(day, BUDGET).sum() <= 300 * (1 + 1e-9)
    assert off_plan(run.by_hour(day, own), plan_by_hour(PLAIN, 100)) <= 0.1


# From day to day, from worker to worker ----------------------------------------------------------


def test_the_new_day_begins_with_nothing_spent_at_the_price_of_the_night():
    day, run = two_days("even", 1)[0]
    [row] = run.paces
    last, first = (
        PLAIN.moment(MIDNIGHT + timedelta(days=1, seconds=seconds)) for seconds in (-0.001, 0)
    )
    assert left(row, VOLUME.target, last) < 10
    assert left(row, VOLUME.target, first) == 600
    assert price(row, VOLUME.target, first) == pytest.approx(
        price(row, VOLUME.target, last), rel=1e-3
    )
    assert price(row, VOLUME.target, first) > 0.5


def test_what_a_minimum_needed_is_known_the_next_morning():
    paced = Paced(DailyTarget(None, 400, VALUE), {3: 1.0})
    day = a_day(1, liking=WEAK)
    run = live(day, [paced], PLAIN)
    [row] = run.paces
    evening, morning = (PLAIN.moment(MIDNIGHT + timedelta(hours=hours)) for hours in (23.999, 24))
    assert row.spent >= 400 and price(row, paced.target, evening) == 0
    needed = in_hindsight(day, paced.amounts, 400)[0]
    assert price(row, paced.target, morning) == pytest.approx(needed, rel=0.4)


def test_after_months_a_price_still_moves_as_after_a_day():
    target, row = DailyTarget(30, None, VALUE), None
    for pacing_result in range(90 * 30):  # as planned, every 48 minutes
        moment = PLAIN.moment(MIDNIGHT + timedelta(minutes=48 * pacing_result + 24))
        row = advance(row, target, moment)
    assert row.spent == 30 and 20 <= row.learned <= 31


def test_days_without_a_row_change_nothing():
    [row] = two_days("even", 1)[0][1].paces
    tuesday, friday = (PLAIN.moment(MIDNIGHT + timedelta(days=days, hours=0.1)) for days in (1, 4))
    assert price(row, VOLUME.target, friday) == price(row, VOLUME.target, tuesday)
    assert left(row, VOLUME.target, friday) == 600


def test_a_clock_that_is_behind_at_midnight_does_not_bring_yesterday_back():
    tomorrow = PLAIN.moment(MIDNIGHT + timedelta(days=1))
    row = advance(None, VOLUME.target, tomorrow)
    behind = PLAIN.moment(MIDNIGHT + timedelta(days=1, seconds=-3))
    assert price(row, VOLUME.target, behind) == row.price
    again = advance(row, VOLUME.target, behind)
    assert (again.day, again.spent, again.at) == (row.day, 2, row.at)


def test_workers_whose_clocks_differ_share_one_row_exactly():
    rng = np.random.default_rng(7)
    row, target = None, DailyTarget(50, None, VALUE)
    for seconds in np.sort(rng.uniform(0, 86_400, 3000)):
        moment = PLAIN.moment(MIDNIGHT + timedelta(seconds=seconds + rng.uniform(-3, 3)))
        if moment.day != date(2026, 3, 2):
            continue
        before = row
        if fits(row, target, moment) and price(row, target, moment) < rng.exponential(1.0):
            row = advance(row, target, moment)
        assert row is None or (row.spent <= 50 and (before is None or row.at >= before.at))
    assert row is not None and row.spent >= 48


def test_a_changed_target_is_followed_from_the_row_as_it_is():
    row = advance(None, DailyTarget(600, None, VALUE), noon(), 100)
    lower, later = DailyTarget(80, None, VALUE), noon(hours=1)
    assert left(row, lower, later) == 0 and not fits(row, lower, later)
    assert fits(row, DailyTarget(200, None, VALUE), later)
    assert price(row, DailyTarget(None, None, VALUE), later) == 0  # a limit that was taken away
    assert (
        price(row, DailyTarget(None, 50, VALUE), later) == 0
    )  # a minimum reached before it was set
    subsidised = BudgetState(row.day, 3, -1.0, row.at, 3)
    assert price(subsidised, DailyTarget(None, 50, VALUE), later) < -1
    assert price(subsidised, DailyTarget(600, None, VALUE), later) == 0


def test_a_target_of_nothing_allows_nothing():
    target = DailyTarget(0, None, VALUE)
    assert not fits(None, target, noon())
    assert fits(None, target, noon(), amount=0.0)  # an action that costs nothing
    assert 0 <= price(None, target, noon()) <= VALUE


def test_a_minimum_of_nothing_and_no_target_at_all_have_no_price():
    for target in (DailyTarget(None, None, VALUE), DailyTarget(None, 0, VALUE)):
        row = advance(None, target, noon())
        assert price(None, target, noon()) == price(row, target, noon(hours=6)) == 0
        assert left(row, target, noon()) == np.inf and fits(row, target, noon(), 1e9)


def test_tenths_add_up():
    target, row = DailyTarget(0.3, None, 10.0, unit=0.1), None
    for _ in range(3):
        assert fits(row, target, noon(), 0.1)
        row = advance(row, target, noon(), 0.1)
    assert not fits(row, target, noon(), 0.1)


# Properties --------------------------------------------------------------------------------------

amounts = st.floats(0, 1e6)
instants = st.integers(0, 3 * 86_400).map(lambda seconds: MIDNIGHT + timedelta(seconds=seconds))
profiles = st.none() | st.lists(st.integers(0, 9), min_size=24, max_size=24).filter(any).map(tuple)
calendars = st.builds(
    TrafficProfile, st.sampled_from(["UTC", "Europe/Rome", "Asia/Kolkata"]).map(ZoneInfo), profiles
)


@st.composite
def targets(draw):
    least = draw(st.none() | st.floats(0, 1e6))
    most = draw(st.none() | st.floats(least or 0, 1e7))
    return DailyTarget(most, least, draw(st.floats(1e-3, 1e6)), draw(st.floats(1e-3, 1e4)))


@st.composite
def rows(draw, calendar, target):
    """Any row, also one that was written under another target."""
    at = draw(instants)
    level = draw(st.floats(pacing.LOWEST, pacing.HIGHEST))
    return BudgetState(
        day=calendar.moment(at).day,
        spent=draw(amounts),
        price=pacing.GRAIN * target.scale * float(np.sinh(level)) * draw(st.sampled_from([1, 10])),
        at=at,
        learned=draw(amounts),
    )


@st.composite
def context_reader(draw):
    calendar, target = draw(calendars), draw(targets())
    row = draw(st.none() | rows(calendar, target))
    return row, target, calendar, sorted(draw(st.lists(instants, min_size=3, max_size=3)))


@given(context_reader(), amounts)
def test_a_price_is_finite_and_within_its_bounds_whatever_the_row(decision_context, amount):
    row, target, calendar, moments = decision_context
    for at in moments:
        moment = calendar.moment(at)
        row_after = advance(row, target, moment, amount)
        for cost in (price(row, target, moment), row_after.price):
            assert -target.scale * (1 + 1e-9) <= cost <= CEILING * target.scale * (1 + 1e-9)
        if target.at_most is None:
            assert price(row, target, moment) <= 0
        if not target.at_least:
            assert price(row, target, moment) >= 0


def test_a_subsidy_of_a_larger_scale_is_cut_also_where_the_minimum_is_reached():
    target, moment = DailyTarget(None, 1.0, 1.0), noon()
    written = BudgetState(day=moment.day, spent=5.0, price=-10.0, at=moment.at, learned=1.0)
    assert -1 <= advance(written, target, moment, 0.0).price <= 0


@given(context_reader(), amounts)
def test_who_has_spent_more_pays_more(decision_context, more):
    row, target, calendar, moments = decision_context
    if row is None:
        return
    ahead = replace(row, spent=row.spent + more)
    for moment in map(calendar.moment, moments):
        assert price(ahead, target, moment) >= price(row, target, moment) - 1e-9 * target.scale


@given(context_reader(), st.floats(0, 1e3), st.floats(0, 1e3))
def test_spending_raises_the_price_and_waiting_lowers_it(decision_context, amount, more):
    row, target, calendar, moments = decision_context
    row = advance(row, target, calendar.moment(moments[0]), amount)
    slack = 1e-9 * (target.scale + abs(row.price))
    moment, later = map(calendar.moment, moments[1:])
    now = price(row, target, moment)
    a_little, more_of_it = (
        price(advance(row, target, moment, units), target, moment)
        for units in (amount, amount + more)
    )
    assert now - slack <= a_little <= more_of_it + slack
    if moment.day == later.day and now > 0:
        assert price(row, target, later) <= now + slack


@given(context_reader())
def test_one_look_sees_what_many_would_have(decision_context):
    row, target, calendar, moments = decision_context
    first, between, last = map(calendar.moment, moments)
    row = advance(row, target, first, 1.0)
    if not row.day == between.day == last.day or between.at < row.at:
        return
    looked = replace(row, price=price(row, target, between), at=between.at)
    assert price(looked, target, last) == pytest.approx(
        price(row, target, last), rel=1e-6, abs=1e-9 * target.scale
    )


@pytest.mark.parametrize("calendar", [PLAIN, SHAPED], ids=["plain", "shaped"])
@pytest.mark.parametrize(
    ("most", "least", "spent", "cost", "hour"),
    [(600, None, 100, 2.0, 3), (600, 300, 100, 0.1, 8), (None, 300, 20, -0.01, 20)],
)
def test_a_lazy_price_is_the_sum_of_very_many_small_steps(calendar, most, least, spent, cost, hour):
    """Each small step spends nothing, and plans the rest of the target over the rest of the day."""
    target, learned, steps = DailyTarget(most, least, VALUE), 40.0, 20_000
    start = MIDNIGHT + timedelta(hours=hour)
    row = BudgetState(MIDNIGHT.date(), spent, cost, start, learned)
    level = np.arcsinh(cost / (pacing.GRAIN * VALUE))
    shares = [
        calendar.remaining(row.day, start + timedelta(hours=1) * step / steps)
        for step in range(steps + 1)
    ]
    for before, after in zip(shares[:-1], shares[1:], strict=True):
        bound = most if level > 0 else least + least**0.5 if least else spent
        level -= (bound - spent) / np.sqrt(learned) * (before - after) / before
    expected = pacing.GRAIN * VALUE * np.sinh(max(level, pacing.LOWEST))
    assert abs(expected - cost) > 1e-3  # it does fall
    lazily = price(row, target, calendar.moment(start + timedelta(hours=1)))
    assert lazily == pytest.approx(expected, rel=5e-3, abs=1e-5)


@given(context_reader())
def test_the_same_row_gives_the_same_price_for_ever(decision_context):
    row, target, calendar, moments = decision_context
    moment = calendar.moment(moments[0])
    first = price(row, target, moment), advance(row, target, moment)
    pacing._shares.cache_clear()
    again = TrafficProfile(ZoneInfo(calendar.zone.key), calendar.weights).moment(
        moments[0].astimezone(ROME)
    )
    assert (price(row, target, again), advance(row, target, again)) == first


@given(
    st.floats(0, 100),
    st.lists(st.tuples(st.integers(0, 20_000), st.floats(0, 30)), max_size=40),
)
def test_what_fits_is_never_too_much(most, calls):
    target, row, at = DailyTarget(most, None, VALUE), None, MIDNIGHT
    spent: dict[date, float] = {}
    for seconds, amount in calls:
        at += timedelta(seconds=seconds)
        moment = PLAIN.moment(at)
        assert left(row, target, moment) == pytest.approx(
            max(0.0, most - spent.get(moment.day, 0.0)), abs=1e-6
        )
        if fits(row, target, moment, amount):
            row = advance(row, target, moment, amount)
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


# The calendar ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 28), 24), ((2026, 3, 29), 23), ((2026, 10, 25), 25)]
)
def test_a_day_is_as_long_as_it_is_in_the_zone_of_the_business(day, hours):
    calendar, start = TrafficProfile(ROME), datetime(*day, tzinfo=ROME).astimezone(UTC)
    for hour in range(hours):
        moment = calendar.moment(start + timedelta(hours=hour))
        assert moment.day == date(*day)
        assert calendar.remaining(moment.day, moment.at) == pytest.approx(1 - hour / hours)
    assert calendar.moment(start + timedelta(hours=hours)).day > date(*day)


def test_a_profile_is_read_off_the_local_clock():
    calendar = TrafficProfile(ROME, (0.0,) * 9 + (3.0, 1.0) + (0.0,) * 13)
    july = date(2026, 7, 1)  # nine o'clock in Rome is seven in UTC
    for clock, remaining in (((6, 59), 1), ((7, 20), 0.75), ((8, 0), 0.25), ((9, 0), 0)):
        at = datetime(2026, 7, 1, *clock, tzinfo=UTC)
        assert calendar.remaining(july, at) == pytest.approx(remaining)


def test_an_hour_that_comes_twice_counts_twice_and_one_that_is_skipped_not_at_all():
    at_two = TrafficProfile(ROME, (0.0, 0.0, 1.0, 1.0) + (0.0,) * 20)
    autumn, spring = date(2026, 10, 25), date(2026, 3, 29)
    midnight = datetime(2026, 10, 25, tzinfo=ROME).astimezone(UTC)
    assert at_two.remaining(autumn, midnight + timedelta(hours=4)) == pytest.approx(1 / 3)
    midnight = datetime(2026, 3, 29, tzinfo=ROME).astimezone(UTC)
    assert at_two.remaining(spring, midnight + timedelta(hours=2.5)) == pytest.approx(1 / 2)
    skipped = TrafficProfile(
        ROME, (0.0, 0.0, 1.0) + (0.0,) * 21
    )  # all of its traffic: taken as even
    assert skipped.remaining(spring, midnight + timedelta(hours=11.5)) == pytest.approx(1 / 2)


@given(
    st.sampled_from(
        # Half-hour shifts, midnights that are skipped and hours before midnight that come twice.
        ["Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "Asia/Kathmandu", "Asia/Beirut"]
    ),
    st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_the_rest_of_a_day_shrinks_from_all_to_nothing_in_every_zone(zone, at):
    calendar = TrafficProfile(ZoneInfo(zone))
    moment = calendar.moment(at)
    shares = [
        calendar.remaining(moment.day, at + timedelta(minutes=minutes))
        for minutes in range(-1560, 1561, 20)
    ]
    assert shares[0] == 1 and shares[-1] == 0
    assert shares == sorted(shares, reverse=True)
    assert 0 < calendar.remaining(moment.day, at) <= 1


# Mistakes ----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("weights", [(1.0,) * 23, (0.0,) * 24, (-1.0,) + (1.0,) * 23])
def test_a_profile_that_makes_no_sense_is_named(weights):
    with pytest.raises(InvalidSetting, match="weights of the day are .* Expected 24 numbers"):
        TrafficProfile(ROME, weights)


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(InvalidSetting, match="has no time zone. Expected an aware time"):
        PLAIN.moment(datetime(2026, 3, 2, 12))


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_an_amount_that_makes_no_sense_is_named(amount):
    with pytest.raises(InvalidSetting, match="The amount spent is .* Expected a number >= 0"):
        advance(None, VOLUME.target, noon(), amount)
