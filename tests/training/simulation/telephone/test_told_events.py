"""Events tell the changes of the reported journeys, and who left."""

from __future__ import annotations

import numpy as np

from training.simulation.business import LEAVING_MINUTE
from training.simulation.telephone.told_events import leaving_events
from training.simulation.telephone.world import TelephoneWorld


def test_calls_scores_and_questions_are_those_of_the_state():
    world = TelephoneWorld(600, 5, 3)
    arrivals = world.begin_day()
    told = {}
    for event in world.events():
        told.setdefault(event.type, []).append(event)
    state = world.state
    assert [e.customer for e in told["call"]] == np.flatnonzero(state.called).tolist()
    assert [e.customer for e in told["chat"]] == np.flatnonzero(state.support_open).tolist()
    scores = {e.customer: e.properties["score"] for e in told["nps"]}
    assert sorted(scores) == np.flatnonzero(state.answered).tolist()
    assert all(abs(score - 5 - 5 * state.nps[one]) <= 0.5 for one, score in scores.items())
    assert set(scores.values()) <= set(range(11))  # a survey has whole numbers
    assert {e.customer for e in told["page_view"]} <= set(arrivals.customer.tolist())


def test_leaving_is_told_last():
    events = list(leaving_events(np.array([False, True, False, True])))
    assert [(e.customer, e.type, e.minute) for e in events] == [
        (1, "left", LEAVING_MINUTE),
        (3, "left", LEAVING_MINUTE),
    ]
