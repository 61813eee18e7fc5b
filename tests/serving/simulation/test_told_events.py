"""Events of a simulated day are in the ledger as a server would have written them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from features.errors import InvalidEvent
from features.ledger import tables
from features.states.journey_states import JourneyStates
from serving.simulation.served_business import BEGIN
from training.simulation.business import SimulatedEvent


def test_the_states_in_memory_are_those_of_the_ledger(played):
    served = played.served
    fold = served.engine.model_input.fold
    states, known = JourneyStates(fold), served.engine.features
    some = [f"w{number}" for number in range(0, 120, 7)]
    for customer_id in some:
        refolded = served.ledger.read(lambda c, key=customer_id: states.refold(c, key))
        state = known.online(customer_id).state
        expected = fold.empty() if state is None else state
        assert repr(refolded.state) == repr(expected)  # an unknown number is not equal to itself


def test_each_event_is_told_once_at_its_minute(played):
    query = sa.select(tables.events.c.occurred_at, tables.events.c.received_at)
    rows = played.served.ledger.read(lambda c: c.execute(query).all())
    assert len(rows) > 100
    for row in rows:
        assert BEGIN <= row.occurred_at <= row.received_at


def test_an_event_that_the_domain_does_not_describe_is_refused(played):
    event = SimulatedEvent(0, "moon_landing", "app", 1439, {})
    with pytest.raises(InvalidEvent, match="moon_landing"):
        played.served.events.tell(played.world.day, [event])


def test_a_stranger_has_no_features(played):
    assert played.served.engine.features.online("nobody-known") is None
