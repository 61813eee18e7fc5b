"""Tests the caps on contacts, and the counts that they are applied to."""

from __future__ import annotations

import numpy as np

from tests.training.simulation.play import play, uniform_action
from training.simulation.actions import (
    CAPS,
    FATIGUE_PER_CONTACT,
    HOW_TO,
    NAMES,
    PRICE_CUT,
    ContactCounts,
    cap_violations,
)


def test_caps_hold_for_random_actions_and_violations_are_counted():
    rng = np.random.default_rng(3)
    world = play(5, 40, lambda arrivals: uniform_action(arrivals, rng))
    shown = world.contacts.shown
    assert cap_violations(shown) == 0
    assert cap_violations(np.ones_like(shown)) > 0
    for cap in CAPS:  # counted again by a loop
        for customer in range(20):
            for day in range(40):
                window = shown[customer, max(0, day - cap.days + 1) : day + 1]
                assert sum(NAMES[index] in cap.actions for index in window) <= cap.at_most


def test_a_full_cap_forbids_its_actions_until_the_window_has_passed():
    contacts, customer = ContactCounts(1, 70), np.array([0])
    contacts.count(customer, 0, np.array([PRICE_CUT]))
    assert not contacts.allowed(customer, 59)[0, PRICE_CUT]
    assert contacts.allowed(customer, 60)[0, PRICE_CUT]
    for day in (60, 61):
        contacts.count(customer, day, np.array([HOW_TO]))
    assert not contacts.allowed(customer, 73 - 4)[0, HOW_TO]
    assert contacts.allowed(customer, 69)[0, 1]


def test_every_action_but_no_action_adds_fatigue():
    assert (FATIGUE_PER_CONTACT[1:] > 0).all() and FATIGUE_PER_CONTACT[0] == 0
