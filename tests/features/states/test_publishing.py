"""Tests the writing of waiting states to the online store."""

import pytest

from features.journeys.events import Event
from features.ledger import tables
from features.states.journey_states import JourneyStates
from features.states.publishing import (
    Unpublished,
    publish_all,
    publish_states,
    refold_now,
    waiting_keys,
)
from features.states.refolding import PAGE, TAIL, Refold
from features.states.set_aside import set_aside
from features.states.state_rows import request_refold
from tests.features.live import DAY, FOLD, NOW, InMemoryOnlineStore, add, folded, kept, kept_state

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def online():
    return InMemoryOnlineStore()


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
        told = {"customer_id": customer, "subject": customer, "type": "view", "channel": "web"}
        for one in some:
            at = {"event_id": one.event_id, "occurred_at": one.occurred_at, "properties": "{}"}
            add(ledger, tables.events, told | at)
        ledger.write_now(lambda c: states.advance(c, {customer: some}, NOW))

    return all_of


@pytest.fixture
def publish(ledger, online):
    return lambda *keys: ledger.write_now(lambda c: publish_states(c, online, keys, NOW))


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
    monkeypatch.setattr("features.states.publishing._WAITING", _few())
    for name in ("ann", "bob", "cy", "dee"):
        happen(name, 2)
    ledger.write_now(lambda c: request_refold(c, ["bob"], NOW))
    ledger.write_now(lambda c: set_aside(c, "dee", "It is odd."))
    publish_all(ledger, online, states, NOW)
    assert sorted(online.states) == ["ann", "bob", "cy"]
    assert str(online.states["bob"]) == str(folded(ledger, "bob"))
    assert online.profiles == {"bob": {}}


def _few():
    from features.states import publishing

    return publishing._WAITING.limit(2)


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
    odd = {"event_id": "odd", "occurred_at": NOW - 200 * DAY, "properties": '{"score": "ten"}'}
    told = {"customer_id": "ann", "subject": "ann", "type": "complaint", "channel": "web"}
    add(ledger, tables.events, told | odd)
    refold_now(ledger, states, "ann")
    assert "'odd' of type 'complaint' cannot be folded (ValueError)" in kept(ledger)["ann"].problem
