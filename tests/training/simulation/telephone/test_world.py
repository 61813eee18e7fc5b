"""Tests that a world is reproducible, and the same for all policies."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from tests.training.simulation.play import no_action, play, uniform_action
from training.simulation.business import MAX_DAYS
from training.simulation.telephone.actions import (
    CALL_BACK,
    COST,
    PROMOTIONS,
    VALUE,
)
from training.simulation.telephone.world import TelephoneWorld


def test_worlds_of_one_seed_are_equal_and_of_others_differ():
    one, same, other = (play(seed, 5) for seed in (7, 7, 8))
    assert np.array_equal(one.state.usage, same.state.usage)
    assert np.array_equal(one.state.active, same.state.active)
    assert not np.array_equal(one.traits.age, other.traits.age)


def test_two_policies_meet_the_same_customers_on_the_same_days():
    rng = np.random.default_rng(1)
    quiet, busy = TelephoneWorld(400, 3, 20), TelephoneWorld(400, 3, 20)
    for _ in range(20):
        one, two = quiet.begin_day(), busy.begin_day()
        both = quiet.state.active & busy.state.active
        assert set(one.customer[both[one.customer]]) == set(two.customer[both[two.customer]])
        quiet.act(no_action(one))
        busy.act(uniform_action(two, rng))
        quiet.end_day()
        busy.end_day()
    assert busy.shown.any() and not quiet.shown.any()


def test_an_accepted_call_back_solves_the_problem():
    world = TelephoneWorld(3_000, 9, 5)
    arrivals = world.begin_day()
    wrong = world.state.problem[arrivals.customer]
    outcomes = world.act(np.where(arrivals.allowed[:, CALL_BACK], CALL_BACK, 0))
    called = wrong & arrivals.allowed[:, CALL_BACK]
    assert 0 < outcomes.accepted[called].mean() < 1
    assert not world.state.problem[arrivals.customer][called & outcomes.accepted].any()
    assert world.state.problem[arrivals.customer][called & ~outcomes.accepted].all()


def test_no_promotion_is_allowed_during_a_reported_problem():
    world = TelephoneWorld(4_000, 3, 30)
    seen = 0
    for _ in range(30):
        arrivals = world.begin_day()
        suspended = world.state.problem_open[arrivals.customer]
        seen += suspended.sum()
        assert not arrivals.allowed[np.ix_(suspended, PROMOTIONS)].any()
        assert arrivals.allowed[:, 0].all()
        world.act(no_action(arrivals))
    assert seen > 100


def test_acceptances_come_with_a_delay_and_some_are_returned():
    world = TelephoneWorld(6_000, 1, 30)
    rng, back, after = np.random.default_rng(2), [], []
    for _ in range(30):
        arrivals = world.begin_day()
        actions = uniform_action(arrivals, rng)
        outcomes = world.act(actions)
        bought = outcomes.accepted & PROMOTIONS[actions]
        taken = outcomes.returned_after_days <= MAX_DAYS
        assert (outcomes.value_eur == np.where(outcomes.accepted, VALUE[actions], 0)).all()
        assert not taken[~bought].any()
        assert (outcomes.returned_after_days > outcomes.accepted_after_days).all()
        back.append(taken[bought].mean())
        after.append(outcomes.accepted_after_days[bought])
    days = np.concatenate(after)
    assert days.min() == 0 and days.max() == 6 and 0.3 < (days == 0).mean() < 0.5
    assert 0.05 < np.mean(back) < 0.3


def test_customers_who_left_do_not_arrive():
    world = TelephoneWorld(2_000, 1, 60)
    gone = np.zeros(2_000, dtype=bool)
    for _ in range(60):
        arrivals = world.begin_day()
        assert not gone[arrivals.customer].any()
        world.act(no_action(arrivals))
        left = world.end_day()
        assert not (left & gone).any()
        gone |= left
    assert 0.02 < gone.mean() < 0.3


def test_an_action_that_is_not_allowed_is_refused():
    world = TelephoneWorld(50, 1, 3)
    arrivals = world.begin_day()
    world.state.problem_open[:] = True
    world._arrivals = arrivals.__class__(
        arrivals.customer,
        arrivals.channel,
        arrivals.contexts,
        world._allowed(arrivals.customer, arrivals.channel),
    )
    with pytest.raises(
        InvalidSetting, match="actions are not allowed. Expected actions that are allowed"
    ):
        world.act(np.ones(len(arrivals.customer), dtype=np.int64))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"customers": 0, "seed": 1}, "customers is 0. Expected a whole number from 1 to"),
        ({"customers": 5, "seed": 1, "days": 366}, "days is 366. Expected a whole number from 1"),
    ],
)
def test_sizes_out_of_range_are_refused(given, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        TelephoneWorld(**given)


def test_the_value_of_the_days_is_that_of_the_events_and_costs():
    """Summed again from the events that are told, by the shares of the domain's objective."""
    world, rng = TelephoneWorld(1_500, 3, 25), np.random.default_rng(1)
    value, again = np.zeros(1_500), np.zeros(1_500)
    for _ in range(25):
        arrivals = world.begin_day()
        actions = uniform_action(arrivals, rng)
        world.act(actions)
        left = world.end_day()
        events = world.late_events()
        assert (
            sorted(e.customer for e in events if e.type == "left") == np.flatnonzero(left).tolist()
        )
        for event in events:
            sign = {"purchase": 1, "returned": -1, "price_reduced": -1, "left": 0}[event.type]
            again[event.customer] += sign * event.properties.get("amount_eur", 0)
            again[event.customer] -= world.lost_eur[event.customer] * (event.type == "left")
        np.subtract.at(again, arrivals.customer, COST[actions])
        value += world.value_of_day()
        assert value == pytest.approx(again)
    assert world.gone.any()


def test_each_event_of_the_morning_is_told_once_and_before_the_arrival():
    world = TelephoneWorld(2_000, 3, 15)
    opened = np.zeros(2_000, dtype=bool)
    for _ in range(15):
        arrivals = world.begin_day()
        events = world.events()
        assert all(event.minute < world.arrived_at[event.customer] for event in events)
        for event in events:
            if event.type in ("complaint_opened", "complaint_closed"):
                opened[event.customer] ^= True
                assert opened[event.customer] == (event.type == "complaint_opened")
        here = arrivals.customer
        assert (opened[here] == world.state.problem_open[here]).all()
        pages = {e.customer: e.properties["page"] for e in events if e.type == "page_view"}
        assert [one.get("page") for one in world.sent()] == [pages.get(c) for c in here.tolist()]
        world.act(no_action(arrivals))
        world.end_day()


def test_the_table_of_customers_has_the_loss_of_the_world():
    world = TelephoneWorld(40, 3, 1)
    table = world.customers()
    assert table["customer_id"].tolist()[:2] == ["w0", "w1"]
    assert (12 * table["margin_eur"]).to_numpy() == pytest.approx(world.lost_eur)
