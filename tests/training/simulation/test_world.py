"""The simulated business: seeded, fair to all policies, honest about its truth."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.simulation.actions import (
    CALL_BACK,
    CAPS,
    HOW_TO,
    NAMES,
    PRICE_CUT,
    PROMOTIONS,
    TIRES,
    VALUE,
    ContactCounts,
    K,
    breaches,
)
from training.simulation.customer_state import FEATURES
from training.simulation.world import SUPPOSED_DAYS, World


def nothing(moments):
    return np.zeros(len(moments.who), dtype=np.int64)


def at_random(moments, rng):
    wish = rng.random(moments.allowed.shape)
    wish[~moments.allowed] = -1
    return wish.argmax(axis=1)


def lived(seed, days, choose=nothing, customers=300):
    world = World(customers, seed, days)
    for _ in range(days):
        world.act(choose(world.morning()))
        world.evening()
    return world


def test_the_same_seed_makes_the_same_world_and_another_another():
    one, same, other = (lived(seed, 5) for seed in (7, 7, 8))
    assert np.array_equal(one.state.usage, same.state.usage)
    assert np.array_equal(one.state.here, same.state.here)
    assert not np.array_equal(one.people.age, other.people.age)


def test_two_policies_meet_the_same_luck():
    rng = np.random.default_rng(1)
    quiet, busy = World(400, 3, 20), World(400, 3, 20)
    for _ in range(20):
        one, two = quiet.morning(), busy.morning()
        both = quiet.state.here & busy.state.here
        assert set(one.who[both[one.who]]) == set(two.who[both[two.who]])
        quiet.act(nothing(one))
        busy.act(at_random(two, rng))
        quiet.evening()
        busy.evening()
    assert busy.contacts.shown.any() and not quiet.contacts.shown.any()


@pytest.mark.parametrize("action", ["more_data", "price_cut", "call_back", "how_to"])
def test_the_oracle_says_what_an_action_brings_when_everybody_is_shown_it(action):
    """Two worlds of the same luck; in one of them, one day, whoever may be is shown the action."""
    index, days, customers = NAMES.index(action), 50, 12_000
    worth = np.zeros((2, customers))
    for arm in (0, 1):
        world = World(customers, 5, days)
        for day in range(days):
            moments = world.morning()
            actions = nothing(moments)
            if day == 4:
                expected = world.expected()[:, index] * moments.allowed[:, index]
                who = moments.who
                actions = np.where(moments.allowed[:, index], index * arm, 0)
            followed = world.act(actions)
            worth[arm, moments.who] += followed.kept_eur
            left = world.evening()
            worth[arm] -= left * world.people.lost_eur
    gained = (worth[1] - worth[0])[who]
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
        moments = world.morning()
        expected = world.expected()
        assert (expected[:, 0] == 0).all()
        choice = np.where(moments.allowed, expected, -np.inf).argmax(axis=1)
        best += np.bincount(choice, minlength=K)
        world.act(nothing(moments))
        world.evening()
    share = best / best.sum()
    assert share.min() > 0.003 and share.max() < 0.8


def test_what_can_be_seen_tells_a_good_part_of_the_truth_but_not_all():
    world = World(8_000, 4, 12)
    for _ in range(12):
        moments = world.morning()
        if world.day < 11:
            world.act(at_random(moments, np.random.default_rng(world.day)))
            world.evening()
    expected = world.expected()
    table = np.column_stack([np.ones(len(moments.who)), moments.contexts])
    for index in np.flatnonzero(PROMOTIONS):
        told = table @ np.linalg.lstsq(table, expected[:, index], rcond=None)[0]
        explained = 1 - np.var(expected[:, index] - told) / np.var(expected[:, index])
        assert 0.2 < explained < 0.95
    assert moments.contexts.shape == (len(moments.who), len(FEATURES))
    assert np.isfinite(moments.contexts).all()


def test_contacts_tire_and_rest_recovers():
    world = World(200, 6, 20)
    for _ in range(6):
        moments = world.morning()
        world.act(np.where(moments.allowed[:, 1], 1, 0))
    shown = (world.contacts.shown > 0).sum(axis=1)
    tired = world.state.fatigue.copy()
    assert (tired[shown >= 2] > 0.5).mean() > 0.9 and (tired[shown == 0] == 0).all()
    for _ in range(14):
        world.act(nothing(world.morning()))
    assert (world.state.fatigue <= 0.11 * tired + 1e-12).all()


def test_a_promotion_angers_who_has_a_problem_and_has_not_said_so():
    world = World(3_000, 9, 5)
    moments = world.morning()
    silent = world.state.problem[moments.who] & ~world.state.problem_open[moments.who]
    before = world.state.satisfaction[moments.who].copy()
    followed = world.act(np.where(moments.allowed[:, 1], 1, 0))
    mood = world.state.satisfaction[moments.who] - before
    shown = moments.allowed[:, 1] & ~followed.accepted
    assert silent.sum() > 20
    assert mood[silent & shown] == pytest.approx(-0.5)
    assert (mood[~silent & shown & ~world.state.problem[moments.who]] > -0.1).all()


def test_a_call_back_that_is_accepted_solves_the_problem():
    world = World(3_000, 9, 5)
    moments = world.morning()
    wrong = world.state.problem[moments.who]
    followed = world.act(np.where(moments.allowed[:, CALL_BACK], CALL_BACK, 0))
    called = wrong & moments.allowed[:, CALL_BACK]
    assert 0 < followed.accepted[called].mean() < 1
    assert not world.state.problem[moments.who][called & followed.accepted].any()
    assert world.state.problem[moments.who][called & ~followed.accepted].all()


def test_nothing_is_promoted_while_a_problem_is_open_and_doing_nothing_is_always_allowed():
    world = World(4_000, 3, 30)
    seen = 0
    for _ in range(30):
        moments = world.morning()
        suspended = world.state.problem_open[moments.who]
        seen += suspended.sum()
        assert not moments.allowed[np.ix_(suspended, PROMOTIONS)].any()
        assert moments.allowed[:, 0].all()
        world.act(nothing(moments))
    assert seen > 100


def test_outcomes_come_days_later_and_some_are_taken_back():
    world = World(6_000, 1, 30)
    rng, back, after, kept = np.random.default_rng(2), [], [], []
    for _ in range(30):
        moments = world.morning()
        actions = at_random(moments, rng)
        followed = world.act(actions)
        bought = followed.accepted & PROMOTIONS[actions]
        taken = followed.back_after_days <= SUPPOSED_DAYS
        assert (followed.value_eur == np.where(followed.accepted, VALUE[actions], 0)).all()
        assert not taken[~bought].any()
        assert (followed.back_after_days > followed.after_days).all()
        back.append(taken[bought].mean())
        after.append(followed.after_days[bought])
        kept.append((followed.kept_eur + followed.cost_eur)[taken])
    days = np.concatenate(after)
    assert days.min() == 0 and days.max() == 6 and 0.3 < (days == 0).mean() < 0.5
    assert 0.05 < np.mean(back) < 0.3
    assert (np.concatenate(kept) == 0).all()


def test_who_has_left_does_not_come_back():
    world = World(2_000, 1, 60)
    gone = np.zeros(2_000, dtype=bool)
    for _ in range(60):
        moments = world.morning()
        assert not gone[moments.who].any()
        world.act(nothing(moments))
        left = world.evening()
        assert not (left & gone).any()
        gone |= left
    assert 0.02 < gone.mean() < 0.3


def test_caps_hold_whatever_is_wished_and_a_breach_would_be_counted():
    rng = np.random.default_rng(3)
    world = lived(5, 40, lambda moments: at_random(moments, rng))
    shown = world.contacts.shown
    assert breaches(shown) == 0
    assert breaches(np.ones_like(shown)) > 0
    for cap in CAPS:  # counted once more, the slow way
        for customer in range(20):
            for day in range(40):
                window = shown[customer, max(0, day - cap.days + 1) : day + 1]
                assert sum(NAMES[index] in cap.actions for index in window) <= cap.at_most


def test_a_full_cap_closes_its_actions_and_opens_again():
    contacts, who = ContactCounts(1, 70), np.array([0])
    contacts.count(who, 0, np.array([PRICE_CUT]))
    assert not contacts.allowed(who, 59)[0, PRICE_CUT]
    assert contacts.allowed(who, 60)[0, PRICE_CUT]
    for day in (60, 61):
        contacts.count(who, day, np.array([HOW_TO]))
    assert not contacts.allowed(who, 73 - 4)[0, HOW_TO]
    assert contacts.allowed(who, 69)[0, 1]


def test_an_action_that_is_not_allowed_is_refused():
    world = World(50, 1, 3)
    moments = world.morning()
    world.state.problem_open[:] = True
    world._moments = moments.__class__(
        moments.who, moments.channel, moments.contexts, world._allowed(moments.who, moments.channel)
    )
    with pytest.raises(InvalidSetting, match="actions are not allowed. Expected actions that the"):
        world.act(np.ones(len(moments.who), dtype=np.int64))


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
    assert (TIRES[1:] > 0).all() and TIRES[0] == 0
