"""Tests the events of the shop's morning."""

from __future__ import annotations

import numpy as np

from training.simulation.business import Arrivals, SimulatedEvent
from training.simulation.shop.shop_events import ShopMorning


def test_complaints_are_told_when_they_change_and_visits_before_the_decision():
    morning = ShopMorning(3)
    arrivals = Arrivals(np.array([0, 2]), np.array([1, 2]), np.zeros((2, 1)), np.ones((2, 1), bool))
    interest, minutes = np.array([3, 0, 1]), np.array([600, 700, 800])
    told = []
    for complained in ([True, False, False], [True, True, False], [False, True, False]):
        morning.begin_day(np.array(complained), np.array([True, False, False]))
        events = morning.events(arrivals, interest, minutes)
        told.append([(e.customer, e.type) for e in events if e.type != "visit"])
        [visit] = [e for e in events if e.type == "visit"]
        assert visit == SimulatedEvent(0, "visit", "web", 599, {"line": "toys"})
    assert told == [
        [(0, "complaint_opened")],
        [(1, "complaint_opened")],
        [(0, "complaint_closed")],
    ]


def test_a_withdrawn_consent_names_purpose_and_channel():
    event = SimulatedEvent(1, "consent_withdrawn", "email", 1320)
    named = {"purpose": "marketing", "for_channel": "email"}
    assert ShopMorning.completed(event).properties == named
    other = SimulatedEvent(1, "order_placed", "web", 1320, {"amount_eur": 1.0})
    assert ShopMorning.completed(other) is other
