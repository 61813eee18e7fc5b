"""Tests the writing of waiting states to the online store."""

import pytest
import sqlalchemy as sa

from features.journeys.events import Event
from features.ledger import tables
from features.states import publishing
from features.states.journey_states import JourneyStates
from features.states.publishing import (
    Unpublished,
    finish,
    fold_steps,
    publish_all,
    refold_now,
    waiting_keys,
)
from features.states.refolding import PAGE, TAIL, Refold
from features.states.set_aside import set_aside
from features.states.state_rows import request_refold
from tests.features.live import DAY, FOLD, NOW, add, folded, kept, kept_state, odd, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def states(online):
    return JourneyStates(FOLD, online.state)


@pytest.fixture
def happen(ledger, states):
    """Inserts events of a customer, one a day until today, and advances the state."""

    def all_of(customer, count, last=NOW):
        some = [
            Event(f"{customer}{n}", (customer,), "view", last - n * DAY, "web", {})
            for n in range(count)
        ]
        new = (stored(one.event_id, customer, one.occurred_at) for one in some)
        add(ledger, tables.events, *new)
        ledger.write_now(lambda c: states.advance(c, {customer: some}, NOW))

    return all_of


def test_only_the_states_of_the_keys_are_written_and_each_once(happen, publish, ledger, online):
    happen("ann", 2)
    happen("bob", 1, NOW - 4 * DAY)
    happen("cy", 1)
    assert publish("ann", "bob", "nobody") == Unpublished([], {})
    assert sorted(online.states) == ["ann", "bob"]
    assert str(online.states["ann"]) == str(folded(ledger, "ann"))
    assert online.at["bob"] == NOW - 4 * DAY
    online.states.clear()
    publish("ann", "bob")
    assert online.states == {}
    assert ledger.read(waiting_keys) == ["cy"]


def test_a_state_that_must_be_folded_first_is_returned(happen, publish, ledger, online):
    happen("ann", 1)
    ledger.write_now(lambda c: request_refold(c, ["ann"], NOW))
    assert publish("ann") == Unpublished(["ann"], {})
    assert online.states == {}


def test_somebody_set_aside_is_named_and_not_waiting(happen, publish, ledger, online):
    happen("ann", 1)
    happen("bob", 1)
    ledger.write_now(lambda c: set_aside(c, "ann", "It is odd."))
    assert publish("ann", "bob") == Unpublished([], {"ann": "It is odd."})
    assert list(online.states) == ["bob"]
    assert ledger.read(waiting_keys) == []


def test_all_waiting_states_are_written_also_those_to_be_folded(
    happen, ledger, online, states, monkeypatch
):
    monkeypatch.setattr(publishing, "_WAITING", publishing._WAITING.limit(2))
    for name in ("ann", "bob", "cy", "dee"):
        happen(name, 2)
    ledger.write_now(lambda c: request_refold(c, ["bob"], NOW))
    ledger.write_now(lambda c: set_aside(c, "dee", "It is odd."))
    publish_all(ledger, online, states, NOW)
    assert sorted(online.states) == ["ann", "bob", "cy"]
    assert str(online.states["bob"]) == str(folded(ledger, "bob"))
    assert online.profiles == {"bob": {}}


def test_a_long_history_is_folded_without_the_lock_and_keeps_checkpoints(happen, ledger, states):
    happen("ann", TAIL + 50)
    assert kept(ledger)["ann"].state is None
    refold_now(ledger, states, "ann")
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))


def test_a_long_history_is_committed_in_between(happen, ledger, states, monkeypatch):
    monkeypatch.setattr("features.states.refolding.PAGES_TO_COMMIT", 1)
    commits = []
    commit = Refold.commit
    monkeypatch.setattr(Refold, "commit", lambda self, c: commits.append(commit(self, c)) or True)
    happen("ann", PAGE + 50)
    refold_now(ledger, states, "ann")
    assert commits == [True, True]
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))


def test_a_history_that_cannot_be_folded_is_set_aside(happen, ledger, states):
    happen("ann", TAIL + 50)
    add(ledger, tables.events, odd("ann", NOW - 200 * DAY))
    refold_now(ledger, states, "ann")
    assert "'odd' of type 'order' cannot be folded (ValueError)" in kept(ledger)["ann"].problem


def test_nobody_is_set_aside_for_an_event_that_was_erased_meanwhile(happen, ledger, states):
    happen("ann", TAIL + 50)
    add(ledger, tables.events, odd("ann", NOW - 200 * DAY))
    refold = Refold(ledger, FOLD, "ann")
    error = fold_steps(ledger, refold)

    def erase(connection):
        erased = sa.delete(tables.events).where(tables.events.c.event_id == "odd")
        connection.execute(erased)
        request_refold(connection, ["ann"], NOW)

    ledger.write_now(erase)
    assert not ledger.write_now(lambda c: finish(c, states, "ann", refold, error))
    assert kept(ledger)["ann"].problem is None
