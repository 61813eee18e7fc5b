"""Tests the journey states in the ledger: advanced, refolded if an event is late, published."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from features.journeys.events import Event
from features.journeys.journey_states import (
    JourneyStates,
    delete_states,
    events_in_fold_order,
    events_of,
    from_bytes,
    publish_states,
    request_refold,
    to_bytes,
)
from features.ledger import tables
from tests.features.live import (
    DAY,
    FOLD,
    NOW,
    InMemoryOnlineStore,
    folded,
    kept,
    kept_state,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def view(number, days_ago, customer="ann"):
    return Event(f"e{number}", (customer,), "view", NOW - days_ago * DAY, "web", {})


@pytest.fixture
def online():
    return InMemoryOnlineStore()


@pytest.fixture
def advance(ledger, online):
    """Inserts events and advances the states of their customers, in one transaction."""
    states = JourneyStates(FOLD, online.state)

    def all_of(*events):
        rows = [
            {
                "event_id": event.event_id,
                "customer_id": event.subject,
                "subject": event.subject,
                "type": event.type,
                "occurred_at": event.occurred_at,
                "channel": event.channel,
                "properties": json.dumps(event.properties),
            }
            for event in events
        ]
        by_customer = {}
        for event in events:
            by_customer.setdefault(event.subject, []).append(event)

        def write(connection):
            tables.insert_new(connection, tables.events, rows)
            states.advance(connection, by_customer, NOW)

        ledger.write_now(write)

    return all_of


@pytest.fixture
def publish(ledger, online):
    states = JourneyStates(FOLD, online.state)
    return lambda: ledger.write_now(lambda c: publish_states(c, online, states, NOW))


def test_a_state_is_decoded_as_it_was_encoded():
    state = FOLD.advance(FOLD.empty(), "view", "web", 5.0, {})
    assert str(from_bytes(FOLD, to_bytes(FOLD, state))) == str(state)
    assert from_bytes(FOLD, b"\xff" * 16) is None


def test_events_advance_a_state_to_what_folding_all_of_them_gives(advance, ledger):
    advance(view(2, 3), view(1, 5))
    advance(view(3, 1))
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))
    row = kept(ledger)["ann"]
    assert (row.last_at, row.last_event_id, row.online) == (NOW - DAY, "e3", False)
    assert row.restated_at is None


def test_a_late_event_refolds_the_state_and_restates_the_customer(advance, ledger):
    advance(view(1, 1))
    advance(view(2, 4))
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))
    row = kept(ledger)["ann"]
    assert (row.last_event_id, row.restated_at) == ("e1", NOW)


def test_the_online_state_is_taken_on_if_it_has_all_earlier_events(
    advance, publish, ledger, online
):
    advance(view(1, 5), view(2, 4))
    publish()
    ledger.write_now(lambda connection: delete_states(connection, ["ann"]))
    advance(view(3, 1))
    assert online.asked[-1] == "ann"
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))
    online.states["ann"] = FOLD.advance(FOLD.empty(), "view", "web", 5.0, {})  # another past
    ledger.write_now(lambda connection: delete_states(connection, ["ann"]))
    advance(view(4, 0.5))
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))


def test_publishing_writes_each_unpublished_state_once(advance, publish, ledger, online):
    advance(view(1, 5), view(2, 4, "bob"))
    assert (publish(), publish()) == (2, 0)
    assert str(online.states["ann"]) == str(folded(ledger, "ann"))
    assert online.at["bob"] == NOW - 4 * DAY
    assert all(row.online for row in kept(ledger).values())


def test_a_transaction_does_not_publish_the_states_that_it_changed(ledger, online):
    states = JourneyStates(FOLD, online.state)

    def write(connection):
        request_refold(connection, ["ann"], NOW)
        return publish_states(connection, online, states, NOW)

    assert ledger.write_now(write) == 0
    assert online.states == {}


def test_a_refold_that_was_requested_is_done_when_the_state_is_published(
    advance, publish, ledger, online
):
    advance(view(1, 5))
    publish()
    ledger.write_now(lambda connection: request_refold(connection, ["ann"], NOW))
    row = kept(ledger)["ann"]
    assert (row.state, row.online, row.profile_online, row.restated_at) == (None, False, False, NOW)
    assert publish() == 1
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))
    assert online.profiles == {"ann": {}}


def test_events_are_read_in_the_order_of_folding(advance, ledger):
    advance(view(2, 3), view(1, 3), view(3, 5), view(4, 9, "bob"))
    found = ledger.read(lambda connection: [row[0] for row in events_of(connection, "ann")])
    assert found == ["e3", "e1", "e2"]
    order = ledger.read(lambda c: [row[:1] + row[3:4] for row in c.execute(events_in_fold_order())])
    micros = [tables.micros(NOW - timedelta(days=days)) for days in (5, 3, 3, 9)]
    assert order == list(zip(["ann", "ann", "ann", "bob"], micros, strict=True))
