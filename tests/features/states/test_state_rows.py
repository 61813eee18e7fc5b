"""Tests the rows of journey states: dropped to be folded again, and deleted."""

import sqlite3

import pytest

from features.ledger import tables
from features.states.checkpoints import Checkpoint, keep_checkpoints
from features.states.journey_states import JourneyStates
from features.states.state_rows import (
    delete_states,
    drop_states,
    republish_attributes,
    request_refold,
    stored_states,
)
from features.states.stored_events import Position
from tests.features.live import FOLD, NOW, kept, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def checkpoints(ledger):
    """Checkpoints of two customers."""
    for name in ("ann", "bob"):
        new = [Checkpoint(Position(5, "e"), 32, b"state")]
        ledger.write_now(lambda c, name=name, new=new: keep_checkpoints(c, name, new, 32))

    def names():
        return {row.customer_id for row in rows(ledger, tables.journey_checkpoints)}

    return names


def test_a_refold_that_is_requested_waits_without_checkpoints(ledger, checkpoints):
    ledger.write_now(lambda c: request_refold(c, ["ann", "ann"], NOW))
    row = kept(ledger)["ann"]
    assert (row.state, row.online, row.profile_online, row.restated_at) == (None, False, False, NOW)
    assert row.generation == 1
    assert checkpoints() == {"bob"}
    assert ledger.write_now(lambda c: JourneyStates(FOLD).fold_waiting(c, "ann"))
    row = kept(ledger)["ann"]
    assert (row.state, row.generation, row.restated_at) == (b"", 1, NOW)


def test_a_state_that_is_dropped_keeps_its_checkpoints_and_counts_its_generations(
    ledger, checkpoints
):
    for _ in range(2):
        ledger.write_now(lambda c: drop_states(c, ["ann"], NOW))
    assert kept(ledger)["ann"].generation == 2
    assert checkpoints() == {"ann", "bob"}


def test_attributes_are_published_again_without_folding_the_events(ledger, checkpoints):
    ready = {"customer_id": "ann", "state": b"", "online": True, "profile_online": True}
    ledger.write_now(lambda c: tables.upsert(c, tables.journey_states, [ready]))
    ledger.write_now(lambda c: drop_states(c, ["bob"], NOW))
    names = ["ann", "bob", "eve"]
    assert ledger.write_now(lambda c: republish_attributes(c, names, NOW)) == ["bob", "eve"]
    row = kept(ledger)["ann"]
    assert (row.state, row.online, row.profile_online, row.restated_at) == (b"", True, False, NOW)
    assert row.generation == 0 and checkpoints() == {"ann", "bob"}


@pytest.mark.databases("sqlite")
def test_more_states_are_dropped_than_one_statement_takes_variables(ledger):
    names = [f"c{n}" for n in range(50)]

    def drop(connection):
        driver = connection.connection.driver_connection
        usual = driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 20)
        request_refold(connection, names, NOW)
        driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, usual)

    ledger.write_now(drop)
    assert {*kept(ledger)} == {*names}


def test_the_states_of_whom_does_not_exist_any_more_are_deleted(ledger, checkpoints):
    ledger.write_now(lambda c: request_refold(c, ["bob", "cy"], NOW))
    ledger.write_now(lambda c: delete_states(c, ["ann", "bob"]))
    assert {*kept(ledger)} == {"cy"}
    assert checkpoints() == set()
    assert {*ledger.read(lambda c: stored_states(c, ["bob", "cy", "nobody"]))} == {"cy"}
