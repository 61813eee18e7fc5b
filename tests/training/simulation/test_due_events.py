"""Amounts of later days are summed by customer, and told as events."""

from __future__ import annotations

import numpy as np

from training.simulation.business import EVENING_MINUTE
from training.simulation.due_events import DueEvents


def test_the_margin_of_a_day_is_that_of_its_events():
    due = DueEvents(
        3, {"purchase.amount_eur": 0.5, "returned.amount_eur": -1.0, "returned.post_eur": -2.0}
    )
    customer, channel = np.array([2, 0, 2]), np.array([0, 1, 1])
    due.add(
        "purchase", np.array([4, 4, 5]), customer, channel, amount_eur=np.array([10.0, 20.0, 30.0])
    )
    amounts = {"amount_eur": np.array([1.0, 2.0, 3.0]), "post_eur": np.array([0.0, 0.5, 0.0])}
    due.add("returned", np.array([5, 4, 4]), customer, channel, **amounts)
    assert due.margin(4).tolist() == [7.0, 0.0, 2.0]
    assert due.margin(5).tolist() == [0.0, 0.0, 14.0]
    assert due.margin(6).tolist() == [0.0, 0.0, 0.0]
    told = [(e.customer, e.type, e.channel, e.properties) for e in due.events(4, ("web", "app"))]
    assert told == [
        (2, "purchase", "web", {"amount_eur": 10.0}),
        (0, "purchase", "app", {"amount_eur": 20.0}),
        (0, "returned", "app", {"amount_eur": 2.0, "post_eur": 0.5}),
        (2, "returned", "app", {"amount_eur": 3.0, "post_eur": 0.0}),
    ]
    assert {e.minute for e in due.events(4, ("web", "app"))} == {EVENING_MINUTE}
