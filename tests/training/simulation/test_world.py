"""The simulated business: seeded, fair to all policies, honest about its truth."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.simulation.actions import (
    CALL_BACK,
    CAPS,
    FATIGUE_PER_CONTACT,
    HOW_TO,
    NAMES,
    PRICE_CUT,
    PROMOTIONS,
    VALUE,
    ContactCounts,
    K,
    cap_violations,
)
from training.simulation.observed_features import FEATURES
from training.simulation.world import MAX_DAYS, World


def nothing(arrivals):
    return np.zeros(len(arrivals.customer), dtype=np.int64)


def at_random(arrivals, rng):
    wish = rng.random(arrivals.allowed.shape)
    wish[~arrivals.allowed] = -1
    return wish.argmax(axis=1)


def lived(seed, days, choose=nothing, customers=300):
    world = World(customers, seed, days)
    for _ in range(days):
        world.act(choose(world.begin_day()))
        world.end_day()
    return world


def test_the_same_seed_makes_the_same_world_and_another_another():
    one, same, other = (lived(seed, 5) for seed in (7, 7, 8))
    assert np.array_equal(one.state.usage, same.state.usage)
    assert np.array_equal(one.state.active, same.state.active)
    assert not np.array_equal(one.traits.age, other.traits.age)


def test_two_policies_meet_the_same_luck():
    rng = np.random.default_rng(1)
    quiet, busy = World(400, 3, 20), World(400, 3, 20)
    for _ in range(20):
        one, two = quiet.begin_day(), busy.begin_day()
        both = quiet.state.active & busy.state.active
        assert set(one.customer[both[one.customer]]) == set(two.customer[both[two.customer]])
        quiet.act(nothing(one))
        busy.act(at_random(two, rng))
        quiet.end_day()
        busy.end_day()
    assert busy.contacts.shown.any() and not quiet.contacts.shown.any()


@pytest.mark.parametrize("action", ["more_data", "price_cut", "call_back", "how_to"])
def test_the_oracle_says_what_an_action_brings_when_everybody_is_shown_it(action):
    """Two worlds of the same luck; in one of them, one day, whoever may be is shown the action."""
    index, days, customers = NAMES.index(action), 50, 12_000
    worth = np.zeros((2, customers))
    for arm in (0, 1):
        world = World(customers, 5, days)
        for day in range(days):
            arrivals = world.begin_day()
            actions = nothing(arrivals)
            if day == 4:
                expected = world.expected()[:, index] * arrivals.allowed[:, index]
                customer = arrivals.customer
                actions = np.where(arrivals.allowed[:, index], index * arm, 0)
            outcomes = world.act(actions)
            worth[arm, arrivals.customer] += outcomes.net_value_eur
            left = world.end_day()
            worth[arm] -= left * world.traits.lost_eur
    gained = (worth[1] - worth[0])[customer]
    error = gained.std() / np.sqrt(len(gained))
    # The mean path is not the mean over paths: a tenth of the worth is left to that.
    assert gained.mean() == pytest.approx(
        expected.mean(), abs=3 * error + 0.1 * abs(expected.mean())
    )
    assert abs(expected.mean()) > 2 * error or action == "how_to"  # the test can fail


def test_no_action_is_worth_nothing_and_each_other_is_best_for_somebody():
    world = World(3_000, 2, 10)
    best = np.zeros(K)
    for _ in range(10):
        arrivals = world.begin_day()
        expected = world.expected()
        assert (expected[:, 0] == 0).all()
        choice = np.where(arrivals.allowed, expected, -np.inf).argmax(axis=1)
        best += np.bincount(choice, minlength=K)
        world.act(nothing(arrivals))
        world.end_day()
    share = best / best.sum()
    assert share.min() > 0.003 and share.max() < 0.8


def test_what_can_be_seen_tells_a_good_part_of_the_truth_but_not_all():
    world = World(8_000, 4, 12)
    for _ in range(12):
        arrivals = world.begin_day()
        if world.day < 11:
            world.act(at_random(arrivals, np.random.default_rng(world.day)))
            world.end_day()
    expected = world.expected()
    table = np.column_stack([np.ones(len(arrivals.customer)), arrivals.contexts])
    for index in np.flatnonzero(PROMOTIONS):
        told = table @ np.linalg.lstsq(table, expected[:, index], rcond=None)[0]
        explained = 1 - np.var(expected[:, index] - told) / np.var(expected[:, index])
        assert 0.2 < explained < 0.95
    assert arrivals.contexts.shape == (len(arrivals.customer), len(FEATURES))
    assert np.isfinite(arrivals.contexts).all()


def test_contacts_tire_and_rest_recovers():
    world = World(200, 6, 20)
    for _ in range(6):
        arrivals = world.begin_day()
        world.act(np.where(arrivals.allowed[:, 1], 1, 0))
    shown = (world.contacts.shown > 0).sum(axis=1)
    tired = world.state.fatigue.copy()
    assert (tired[shown >= 2] > 0.5).mean() > 0.9 and (tired[shown == 0] == 0).all()
    for _ in range(14):
        world.act(nothing(world.begin_day()))
    assert (world.state.fatigue <= 0.11 * tired + 1e-12).all()


def test_a_promotion_angers_who_has_a_problem_and_has_not_said_so():
    world = World(3_000, 9, 5)
    arrivals = world.begin_day()
    silent = world.state.problem[arrivals.customer] & ~world.state.problem_open[arrivals.customer]
    before = world.state.satisfaction[arrivals.customer].copy()
    outcomes = world.act(np.where(arrivals.allowed[:, 1], 1, 0))
    mood = world.state.satisfaction[arrivals.customer] - before
    shown = arrivals.allowed[:, 1] & ~outcomes.accepted
    assert silent.sum() > 20
    assert mood[silent & shown] == pytest.approx(-0.5)
    assert (mood[~silent & shown & ~world.state.problem[arrivals.customer]] > -0.1).all()


def test_a_call_back_that_is_accepted_solves_the_problem():
    world = World(3_000, 9, 5)
    arrivals = world.begin_day()
    wrong = world.state.problem[arrivals.customer]
    outcomes = world.act(np.where(arrivals.allowed[:, CALL_BACK], CALL_BACK, 0))
    called = wrong & arrivals.allowed[:, CALL_BACK]
    assert 0 < outcomes.accepted[called].mean() < 1
    assert not world.state.problem[arrivals.customer][called & outcomes.accepted].any()
    assert world.state.problem[arrivals.customer][called & ~outcomes.accepted].all()


def test_nothing_is_promoted_while_a_problem_is_open_and_doing_nothing_is_always_allowed():
    world = World(4_000, 3, 30)
    seen = 0
    for _ in range(30):
        arrivals = world.begin_day()
        suspended = world.state.problem_open[arrivals.customer]
        seen += suspended.sum()
        assert not arrivals.allowed[np.ix_(suspended, PROMOTIONS)].any()
        assert arrivals.allowed[:, 0].all()
        world.act(nothing(arrivals))
    assert seen > 100


def test_outcomes_come_days_later_and_some_are_taken_back():
    world = World(6_000, 1, 30)
    rng, back, after, kept = np.random.default_rng(2), [], [], []
    for _ in range(30):
        arrivals = world.begin_day()
        actions = at_random(arrivals, rng)
        outcomes = world.act(actions)
        bought = outcomes.accepted & PROMOTIONS[actions]
        taken = outcomes.returned_after_days <= MAX_DAYS
        assert (outcomes.value_eur == np.where(outcomes.accepted, VALUE[actions], 0)).all()
        assert not taken[~bought].any()
        assert (outcomes.returned_after_days > outcomes.accepted_after_days).all()
        back.append(taken[bought].mean())
        after.append(outcomes.accepted_after_days[bought])
        kept.append((outcomes.net_value_eur + outcomes.cost_eur)[taken])
    days = np.concatenate(after)
    assert days.min() == 0 and days.max() == 6 and 0.3 < (days == 0).mean() < 0.5
    assert 0.05 < np.mean(back) < 0.3
    assert (np.concatenate(kept) == 0).all()


def test_who_has_left_does_not_come_back():
    world = World(2_000, 1, 60)
    gone = np.zeros(2_000, dtype=bool)
    for _ in range(60):
        arrivals = world.begin_day()
        assert not gone[arrivals.customer].any()
        world.act(nothing(arrivals))
        left = world.end_day()
        assert not (left & gone).any()
        gone |= left
    assert 0.02 < gone.mean() < 0.3


def test_caps_hold_whatever_is_wished_and_a_breach_would_be_counted():
    rng = np.random.default_rng(3)
    world = lived(5, 40, lambda arrivals: at_random(arrivals, rng))
    shown = world.contacts.shown
    assert cap_violations(shown) == 0
    assert cap_violations(np.ones_like(shown)) > 0
    for cap in CAPS:  # counted once more, the slow way
        for customer in range(20):
            for day in range(40):
                window = shown[customer, max(0, day - cap.days + 1) : day + 1]
                assert sum(NAMES[index] in cap.actions for index in window) <= cap.at_most


def test_a_full_cap_closes_its_actions_and_opens_again():
    contacts, customer = ContactCounts(1, 70), np.array([0])
    contacts.count(customer, 0, np.array([PRICE_CUT]))
    assert not contacts.allowed(customer, 59)[0, PRICE_CUT]
    assert contacts.allowed(customer, 60)[0, PRICE_CUT]
    for day in (60, 61):
        contacts.count(customer, day, np.array([HOW_TO]))
    assert not contacts.allowed(customer, 73 - 4)[0, HOW_TO]
    assert contacts.allowed(customer, 69)[0, 1]


def test_an_action_that_is_not_allowed_is_refused():
    world = World(50, 1, 3)
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
def test_a_world_that_cannot_be_is_refused(given, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        World(**given)


def test_whatever_is_shown_tires_but_doing_nothing():
    assert (FATIGUE_PER_CONTACT[1:] > 0).all() and FATIGUE_PER_CONTACT[0] == 0
