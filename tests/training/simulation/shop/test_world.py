"""Tests that the shop is reproducible, the same for all policies, and counts what it tells."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.simulation.play import no_action, uniform_action
from tests.training.simulation.shop.play_shop import both_branches
from training.simulation.shop.actions import (
    APOLOGY,
    COST,
    EMAIL,
    FLASH_SALE,
    FREE_RETURNS,
    PROMOTIONS,
    SIZE_ADVICE,
)
from training.simulation.shop.seasons import SALE_SEASON
from training.simulation.shop.shopper_state import SILENT_DAYS
from training.simulation.shop.world import ShopWorld

SHARES = {"amount_eur": 0.3, "discount_eur": -0.7, "handling_eur": -1.0}


def test_two_policies_meet_the_same_customers_until_an_action_has_an_effect():
    """The draws of a day do not depend on actions, and nobody depends on another customer."""
    rng = np.random.default_rng(1)
    quiet, busy = ShopWorld(400, 3, 20), ShopWorld(400, 3, 20)
    for _ in range(20):
        one, two = quiet.begin_day(), busy.begin_day()
        assert np.array_equal(quiet._uniform, busy._uniform)
        assert np.array_equal(quiet._noise, busy._noise)
        quiet.act(no_action(one))
        actions = uniform_action(two, rng)
        actions[two.customer >= 200] = 0  # half of them are left alone in both worlds
        busy.act(actions)
        assert np.array_equal(quiet.end_day()[200:], busy.end_day()[200:])
        assert np.array_equal(quiet.value_of_day()[200:], busy.value_of_day()[200:])
        assert np.array_equal(quiet.state.goodwill[200:], busy.state.goodwill[200:])
    assert not np.array_equal(quiet.state.irritation[:200], busy.state.irritation[:200])


def test_the_value_of_the_days_is_that_of_the_events_costs_and_silences():
    """Counted again from what is told: shares of amounts, costs, and gaps between visits."""
    days, n = 70, 500
    world, rng = ShopWorld(n, 3, days), np.random.default_rng(1)
    value, again = np.zeros(n), np.zeros(n)
    visits = [[] for _ in range(n)]
    for day in range(days):
        arrivals = world.begin_day()
        for event in world.events():
            if event.type == "visit":
                visits[event.customer].append(day)
        actions = uniform_action(arrivals, rng)
        world.act(actions)
        world.end_day()
        np.subtract.at(again, arrivals.customer, COST[actions])
        for event in world.late_events():
            sign = -1 if event.type == "parcel_returned" else 1
            for name, share in SHARES.items():
                signed = share * (sign if name == "amount_eur" else 1)
                again[event.customer] += signed * event.properties.get(name, 0)
        value += world.value_of_day()
    gone = np.array([bool(v) and days - 1 - v[-1] >= SILENT_DAYS for v in visits])
    assert (gone == world.gone).all() and 0 < gone.mean() < 0.6
    assert any(
        after - at > SILENT_DAYS for v in visits for at, after in zip(v, v[1:], strict=False)
    )
    assert value == pytest.approx(again - gone * world.lost_eur)


def test_the_slow_poison_pleases_for_a_week_and_drives_away_later():
    _, _, margin, alive, _ = both_branches(FLASH_SALE, 3, 60, 4_000, 7)
    gained = (margin[1] - margin[0]).mean(axis=1)
    fewer = (alive[0].sum(axis=1) - alive[1].sum(axis=1)) / alive.shape[2]
    assert gained[3:11].sum() > 0.2  # euro a customer
    assert fewer[14] < 0.003 and fewer[59] > 0.02
    assert gained[45:].sum() < 0


def test_customers_order_more_in_the_sale_season_without_any_action():
    world, orders = ShopWorld(3_000, 2, 50), np.zeros(50)
    for day in range(50):
        world.act(no_action(world.begin_day()))
        world.end_day()
        orders[day] = sum(event.type == "order_placed" for event in world.late_events())
    first, last = SALE_SEASON
    assert orders[first : last + 1].mean() > 1.2 * orders[first - 14 : first].mean()
    assert orders[last + 3 :].mean() < 0.9 * orders[first : last + 1].mean()


def test_size_advice_lowers_the_returns_that_follow():
    returned = []
    for action in (0, SIZE_ADVICE):
        world, count = ShopWorld(4_000, 8, 30), 0
        for day in range(30):
            arrivals = world.begin_day()
            world.act(np.where(arrivals.allowed[:, action], action, 0))
            world.end_day()
            events = world.late_events()
            count += sum(event.type == "parcel_returned" for event in events) * (day > 10)
        returned.append(count)
    assert returned[1] < 0.85 * returned[0]


def test_mailings_reach_who_does_not_visit_and_stop_when_consent_is_withdrawn():
    world, stopped = ShopWorld(2_000, 5, 40), set()
    lapsed_mailed = 0
    for _ in range(40):
        arrivals = world.begin_day()
        mailed = arrivals.customer[arrivals.channel == EMAIL]
        assert not stopped & set(mailed.tolist())
        lapsed_mailed += (~world.state.alive[mailed]).sum()
        world.act(np.where(arrivals.allowed[:, 1], 1, 0))
        world.end_day()
        for event in world.late_events():
            if event.type == "consent_withdrawn":
                assert event.properties == {"purpose": "marketing", "for_channel": "email"}
                stopped.add(event.customer)
    assert len(stopped) > 10 and lapsed_mailed > 10


def test_eligibility_and_suspension():
    world, complained = ShopWorld(2_000, 5, 25), 0
    opened = np.zeros(2_000, bool)
    for _ in range(25):
        arrivals = world.begin_day()
        for event in world.events():
            if event.type.startswith("complaint"):
                opened[event.customer] = event.type == "complaint_opened"
        open_now, allowed = opened[arrivals.customer], arrivals.allowed
        complained += open_now.sum()
        assert not allowed[np.ix_(open_now, PROMOTIONS)].any()
        assert not allowed[~open_now, APOLOGY].any() and allowed[:, 0].all()
        assert not allowed[~world.traits.club[arrivals.customer], FREE_RETURNS].any()
        assert not allowed[arrivals.channel == EMAIL, SIZE_ADVICE].any()
        world.act(np.where(allowed[:, APOLOGY], APOLOGY, 0))
        world.end_day()
    assert complained > 50
