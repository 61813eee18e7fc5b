"""Tests the caps on contacts, and the counts that they are applied to."""

from __future__ import annotations

import numpy as np

from tests.training.simulation.play import play, uniform_action
from training.simulation.business import SimulatedCap
from training.simulation.contact_caps import ShownActions, cap_violations
from training.simulation.telephone.actions import CAPS, CHANNELS, NAMES

ACTIONS, WAYS = ("no_action", "letter", "card"), ("shop", "post")


def test_caps_hold_for_random_actions_and_violations_are_counted():
    rng = np.random.default_rng(3)
    world = play(5, 40, lambda arrivals: uniform_action(arrivals, rng))
    shown = world.shown
    assert cap_violations(shown, world.shown_on, CAPS, NAMES, CHANNELS) == 0
    always = np.ones_like(shown), np.zeros_like(shown)
    assert cap_violations(*always, CAPS, NAMES, CHANNELS) > 0
    for cap in CAPS:  # counted again by a loop
        for customer in range(20):
            for day in range(40):
                window = shown[customer, max(0, day - cap.days + 1) : day + 1]
                assert sum(NAMES[index] in cap.actions for index in window) <= cap.at_most


def test_a_full_cap_forbids_its_actions_until_the_window_has_passed():
    customer, caps = (
        np.array([0]),
        [SimulatedCap(1, 60, ("letter",)), SimulatedCap(2, 14, ("card",))],
    )
    contacts = ShownActions(1, 80, caps, ACTIONS, WAYS)
    contacts.count(customer, np.array([0]), 0, np.array([1]))
    assert not contacts.allowed(customer, np.array([0]), 59)[0, 1]
    assert contacts.allowed(customer, np.array([0]), 60)[0, 1]
    for day in (60, 61):
        contacts.count(customer, np.array([1]), day, np.array([2]))
    assert contacts.allowed(customer, np.array([0]), 73).tolist() == [[True, True, False]]
    assert contacts.allowed(customer, np.array([0]), 74).all()


def test_a_cap_of_a_channel_counts_and_forbids_on_that_channel_only():
    customer, shop, post = np.array([0]), np.array([0]), np.array([1])
    caps = [SimulatedCap(1, 7, ("letter", "card"), ("post",))]
    contacts = ShownActions(1, 9, caps, ACTIONS, WAYS)
    contacts.count(customer, shop, 0, np.array([1]))
    assert contacts.allowed(customer, post, 1).all()
    contacts.count(customer, post, 1, np.array([2]))
    assert contacts.allowed(customer, post, 2).tolist() == [[True, False, False]]
    assert contacts.allowed(customer, shop, 2).all()
    assert cap_violations(contacts.shown, contacts.shown_on, caps, ACTIONS, WAYS) == 0
    contacts.count(customer, post, 7, np.array([1]))
    assert cap_violations(contacts.shown, contacts.shown_on, caps, ACTIONS, WAYS) == 1
