"""Tests the journey states in the ledger: advanced, and refolded if an event is late."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from features.journeys.events import Event
from features.ledger import tables
from features.states.checkpoints import EVERY, MANY
from features.states.journey_states import JourneyStates
from features.states.refolding import TAIL
from features.states.set_aside import try_again
from features.states.state_rows import delete_states, request_refold
from tests.features.live import (
    DAY,
    FOLD,
    NOW,
    add,
    folded,
    kept,
    kept_state,
    odd,
    past,
    rows,
    stored,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def view(number, days_ago, customer="ann"):
    return Event(f"e{number}", (customer,), "view", NOW - days_ago * DAY, "web", {})


@pytest.fixture
def advance(ledger, online):
    """Inserts events and advances the states of their customers, in one transaction."""
    states = JourneyStates(FOLD, online.state)

    def all_of(*events):
        new = [
            stored(
                *(one.event_id, one.subject, one.occurred_at),
                type=one.type,
                properties=json.dumps(one.properties),
            )
            for one in events
        ]
        by_customer = {}
        for event in events:
            by_customer.setdefault(event.subject, []).append(event)

        def write(connection):
            tables.insert_new(connection, tables.events, new)
            states.advance(connection, by_customer, NOW)

        ledger.write_now(write)

    return all_of


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
    publish("ann")
    ledger.write_now(lambda connection: delete_states(connection, ["ann"]))
    advance(view(3, 1))
    assert online.asked[-1] == "ann"
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))
    online.states["ann"] = FOLD.advance(FOLD.empty(), "view", "web", 5.0, {})  # another past
    ledger.write_now(lambda connection: delete_states(connection, ["ann"]))
    advance(view(4, 0.5))
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))


def test_the_online_state_of_a_long_history_is_not_counted_under_the_lock(advance, ledger, online):
    past(ledger, "ann", MANY)
    online.states["ann"] = folded(ledger, "ann")
    advance(view("new", 0))
    assert kept(ledger)["ann"].state is None


def checkpoints(ledger, key):
    return [row for row in rows(ledger, tables.journey_checkpoints) if row.customer_id == key]


def test_a_long_history_has_checkpoints_and_a_late_event_deletes_those_after_it(advance, ledger):
    for number in range(3 * EVERY):
        advance(view(number, 1000 - number))
    assert [one.events_n for one in checkpoints(ledger, "ann")] == [EVERY, 2 * EVERY, 3 * EVERY]
    advance(view("late", 1000 - 2 * EVERY + 1.5))
    assert [one.events_n for one in checkpoints(ledger, "ann")] == [EVERY]
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))


def test_a_late_event_far_back_leaves_the_state_to_be_folded_without_the_lock(advance, ledger):
    advance(*(view(number, 1000 - number) for number in range(TAIL + 1)))
    advance(view("late", 2000))
    row = kept(ledger)["ann"]
    assert (row.state, row.online, row.restated_at) == (None, False, NOW)


def test_a_transaction_folds_a_bounded_number_of_events_again(advance, ledger, monkeypatch):
    monkeypatch.setattr("features.states.refolding.TAILS", 5)
    advance(*(view(f"{name}{number}", 9 - number, name) for name in "ab" for number in range(3)))
    advance(view("a-late", 20, "a"), view("b-late", 20, "b"))  # 4 events each
    states = {name: row.state for name, row in kept(ledger).items()}
    assert states["a"] is not None
    assert states["b"] is None
    assert str(kept_state(ledger, "a")) == str(folded(ledger, "a"))
    advance(view("c1", 9, "c"))  # a new transaction may fold again
    assert kept(ledger)["c"].state is not None


def test_an_event_that_cannot_be_folded_sets_its_customer_aside_and_nobody_else(advance, ledger):
    odd = Event("odd", ("ann",), "order", NOW, "web", {"amount_eur": "many"})
    advance(odd, view(1, 1, "bob"))
    assert kept(ledger)["ann"].problem == (
        "Its event 'odd' of type 'order' cannot be folded (ValueError)."
    )
    assert str(kept_state(ledger, "bob")) == str(folded(ledger, "bob"))


def test_somebody_set_aside_stays_so_until_they_are_tried_again(advance, ledger):
    def fold():
        return ledger.write_now(lambda c: JourneyStates(FOLD).fold_waiting(c, "ann"))

    add(ledger, tables.events, odd("ann", NOW - DAY))
    ledger.write_now(lambda c: request_refold(c, ["ann"], NOW))
    assert fold()
    problem = kept(ledger)["ann"].problem
    assert problem.startswith("Its event 'odd'")
    ledger.write_now(lambda c: c.execute(sa.delete(tables.events)))
    assert fold()
    assert kept(ledger)["ann"].state is None
    advance(view(1, 0))
    assert (kept(ledger)["ann"].state, kept(ledger)["ann"].problem) == (None, problem)
    ledger.write_now(try_again)
    assert fold()
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))
