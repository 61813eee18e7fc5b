"""Tests the estimates of how often each rank is looked at, and how a silence counts by them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.outcomes.examination import (
    ALL_CHANNELS,
    RankedShowings,
    estimate_looks,
    fit_looks,
    look_at,
    looked_at_in_silence,
    looks_on,
)

ONES = np.ones(3)
TRUE = np.array([1.0, 0.45, 0.2])


def showings(orders, believed, accepted, channel="app") -> RankedShowings:
    """Decisions, each with its actions by rank; believed and accepted have the shape of orders."""
    n, ranks = orders.shape
    return RankedShowings(
        channel=np.repeat(np.broadcast_to(np.array(channel), (n,)), ranks),
        action=orders.ravel().astype(np.str_),
        rank=np.tile(np.arange(1, ranks + 1), n),
        believed=believed.ravel(),
        shown=np.ones(n * ranks),
        accepted=accepted.ravel().astype(np.float64),
    )


def test_of_one_cell_the_looks_are_the_rates_by_that_of_rank_1():
    shown, accepted = np.array([[100.0, 200.0, 50.0]]), np.array([[20.0, 18.0, 2.0]])
    found = fit_looks(shown, accepted, ONES, 1e-9)
    assert found == pytest.approx([1.0, 0.09 / 0.2, 0.04 / 0.2], rel=1e-6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 50))
def test_looks_are_where_both_equations_of_the_maximum_hold(seed, weight):
    rng = np.random.default_rng(seed)
    shown = rng.uniform(1, 300, (7, 3))
    accepted = rng.poisson(rng.uniform(0.01, 0.3, (7, 1)) * rng.uniform(0.1, 0.9, 3) * shown)
    prior = np.array([1.0, *rng.uniform(0.3, 1, 2)])
    found = fit_looks(shown, accepted.astype(np.float64), prior, weight)
    free = found < 1  # the others are cut
    if not free[1:].all():
        return
    appeal = accepted.sum(axis=1) / (shown @ found)
    expected = (weight + accepted.sum(axis=0)) / (weight / prior + appeal @ shown)
    assert found[0] == 1 and found[1:] == pytest.approx(expected[1:], rel=1e-6)


def test_a_rank_that_shares_no_cell_with_another_keeps_its_prior():
    shown, accepted = np.diag([100.0, 100.0, 100.0]), np.diag([20.0, 5.0, 0.0])
    prior = np.array([1.0, 0.6, 0.7])
    assert fit_looks(shown, accepted, prior, 5.0) == pytest.approx(prior)


def test_no_look_is_above_that_of_rank_1():
    shown, accepted = np.full((1, 3), 100.0), np.array([[10.0, 40.0, 5.0]])
    found = fit_looks(shown, accepted, ONES, 5.0)
    assert found[:2] == pytest.approx([1.0, 1.0]) and found[2] < 1


def test_the_order_of_a_policy_that_shows_the_better_first_does_not_bend_the_looks():
    """Appeals depend on the customer; the policy knows them, and mostly shows the best first."""
    rng = np.random.default_rng(7)
    appeal = rng.beta(2, 6, (20_000, 4)) * np.array([0.4, 0.8, 1.2, 1.6])
    orders = np.argsort(-(appeal + rng.gumbel(0, 0.08, appeal.shape)), axis=1)[:, :3]
    by_rank = np.take_along_axis(appeal, orders, axis=1)
    accepted = rng.random(by_rank.shape) < by_rank * TRUE
    found = estimate_looks(showings(orders, by_rank, accepted))
    naive = accepted.mean(axis=0) / accepted[:, 0].mean()
    assert np.abs(naive / TRUE - 1)[1:].min() > 0.3
    assert found["app"] == pytest.approx(TRUE, rel=0.1)


def test_each_channel_has_its_own_looks_and_an_unknown_one_those_of_all():
    rng = np.random.default_rng(3)
    orders = rng.permuted(np.tile(np.arange(3), (6_000, 1)), axis=1)
    channel = np.where(np.arange(6_000) < 3_000, "app", "web")
    true = np.where((channel == "app")[:, None], [1.0, 0.8, 0.6], [1.0, 0.3, 0.1])
    accepted = rng.random(orders.shape) < 0.3 * true
    found = estimate_looks(showings(orders, np.full(orders.shape, 0.3), accepted, channel))
    assert looks_on(found, "app") == pytest.approx([1.0, 0.8, 0.6], abs=0.06)
    assert looks_on(found, "web") == pytest.approx([1.0, 0.3, 0.1], abs=0.04)
    assert looks_on(found, "phone") == found[ALL_CHANNELS]
    assert 0.5 < look_at(found, "phone", 2) < 0.6
    assert look_at(found, "app", 4) == 1.0  # nothing is known of a fourth rank


def test_few_acceptances_hardly_move_a_look():
    orders = np.array([[0, 1], [1, 0]])
    accepted = np.array([[1, 0], [0, 0]])
    found = estimate_looks(showings(orders, np.full((2, 2), 0.2), accepted))
    assert 0.6 < look_at(found, "app", 2) < 1
    assert estimate_looks(showings(orders[:0], np.empty((0, 2)), accepted[:0])) == {}
    assert look_at({}, "app", 2) == 1.0


def test_a_part_of_an_acceptance_counts_as_that_part():
    """Rank 1 was accepted 40 times of 400; rank 2 was clicked 40 times, which is a quarter each."""
    orders = np.tile([[0, 1], [1, 0]], (200, 1))
    accepted = np.zeros(orders.shape)
    accepted[:40, 0], accepted[100:140, 1] = 1.0, 0.25
    found = estimate_looks(showings(orders, np.full(orders.shape, 0.2), accepted))
    # Both actions are alike: (1 + 10) / (1 + appeal x 400), appeal = 50 / (400 + 400 look).
    look = look_at(found, "app", 2)
    assert look == pytest.approx(11 / (1 + 50 / (1 + look)), rel=0.02)


def test_what_was_believed_may_be_unknown():
    orders = np.tile([[0, 1], [1, 0]], (200, 1))
    accepted = np.zeros(orders.shape)
    accepted[::4, 0], accepted[::20, 1] = 1, 1
    found = estimate_looks(showings(orders, np.full(orders.shape, np.nan), accepted))
    assert look_at(found, "app", 2) == pytest.approx((1 + 20) / (1 + 100), rel=0.25)


@pytest.mark.parametrize(("look", "acceptance"), [*product([0.1, 0.45, 1.0], [0.0, 0.2, 0.9])])
def test_a_silence_counts_as_a_no_as_often_as_it_was_looked_at(look, acceptance):
    """Of 1,000 showings, those that were looked at and not accepted, by those without a word."""
    looked = 1_000 * look
    accepted = looked * acceptance
    chance = looked_at_in_silence(look, acceptance)
    assert chance == pytest.approx((looked - accepted) / (1_000 - accepted))
    # So the rate among those that count is the appeal.
    assert accepted / (accepted + (1_000 - accepted) * chance) == pytest.approx(acceptance)


def test_a_silence_of_a_belief_that_is_not_known_or_certain_counts_by_the_look():
    assert looked_at_in_silence(0.45, float("nan")) == 0.45
    assert looked_at_in_silence(0.45, 1.0) == 0.0
    assert looked_at_in_silence(1.0, 1.0) == 1.0
    assert looked_at_in_silence(1.0, float("nan")) == 1.0


def test_acceptances_of_showings_that_are_too_young_to_count_leave_a_look():
    shown = np.array([[0.0, 0.3], [0.0, 0.3], [0.1, 0.0]])
    accepted = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]])
    looks = fit_looks(shown, accepted, np.ones(2), 1.0)
    assert looks[0] == 1
    assert looks[1] == pytest.approx(1e-6)
