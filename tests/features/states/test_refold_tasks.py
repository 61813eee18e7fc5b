"""Tests that long histories are folded in turns, and once for several callers."""

import asyncio

import pytest

from features.ledger import tables
from features.states import refold_tasks
from features.states.checkpoints import delete_checkpoints
from features.states.journey_states import JourneyStates
from features.states.refold_tasks import RefoldTasks
from features.states.refolding import PAGE, TAIL
from features.states.state_rows import request_refold
from tests.features.live import DAY, FOLD, NOW, add, folded, kept, kept_state, odd, past, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def steps(monkeypatch):
    """The customers of all steps, in their order."""
    found = []

    class Noted(refold_tasks.Refold):
        def __init__(self, ledger, fold, key):
            super().__init__(ledger, fold, key)
            self.name = key

        def step(self):
            found.append(self.name)
            return super().step()

    monkeypatch.setattr(refold_tasks, "Refold", Noted)
    return found


@pytest.fixture
def history(ledger):
    """Writes events of a customer whose state waits to be folded."""

    def put(customer, count):
        past(ledger, customer, count)
        ledger.write_now(lambda c: request_refold(c, [customer], NOW))

    return put


def fold_all(ledger, *keys):
    async def all_at_once():
        tasks = RefoldTasks(ledger, JourneyStates(FOLD))
        await asyncio.gather(*(tasks.run(key) for key in keys))
        tasks.close()

    asyncio.run(all_at_once())


def test_callers_of_one_customer_share_the_work(ledger, history, steps):
    history("ann", TAIL + 9)
    fold_all(ledger, *["ann"] * 5)
    assert steps == ["ann"]
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))


def test_a_short_history_does_not_wait_for_a_long_one(ledger, history, steps):
    history("long", 3 * PAGE)
    history("short", TAIL + 9)
    fold_all(ledger, "long", "short")
    assert steps.index("short") == 1
    assert steps.count("long") == 4
    assert str(kept_state(ledger, "long")) == str(folded(ledger, "long"))


@pytest.mark.parametrize("late", [False, True])
def test_a_long_history_is_committed_in_between_and_begun_again_if_it_changed(
    ledger, history, steps, monkeypatch, late
):
    monkeypatch.setattr("features.states.refolding.PAGES_TO_COMMIT", 1)
    history("ann", 3 * PAGE + 9)
    commit, commits = refold_tasks.Refold.commit, []

    def noted(self, connection):
        if late and len(commits) == 1:
            early = NOW - 99 * DAY
            tables.insert_new(connection, tables.events, [stored("late", "ann", early)])
            delete_checkpoints(connection, "ann", tables.micros(early))
        commits.append(commit(self, connection))
        return commits[-1]

    monkeypatch.setattr(refold_tasks.Refold, "commit", noted)
    fold_all(ledger, "ann")
    assert commits == ([True, False] if late else [True] * 4)
    assert (kept(ledger)["ann"].state is None) == late
    if late:
        fold_all(ledger, "ann")
    assert str(kept_state(ledger, "ann")) == str(folded(ledger, "ann"))


def test_a_customer_who_cannot_be_folded_is_set_aside(ledger, history):
    history("ann", TAIL + 9)
    add(ledger, tables.events, odd("ann", NOW))
    fold_all(ledger, "ann")
    assert "'odd' of type 'order' cannot be folded" in kept(ledger)["ann"].problem
