"""Tests the checkpoints of the fold: dense near the end, and valid after every change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.ledger import tables
from features.states.checkpoints import (
    EVERY,
    IN_MEMORY,
    Checkpoint,
    add_checkpoint,
    delete_all_checkpoints,
    delete_checkpoints,
    from_bytes,
    is_stored,
    keep_checkpoints,
    latest_checkpoint,
    merge_checkpoints,
    thinned,
    to_bytes,
)
from features.states.stored_events import Position
from tests.features.live import FOLD, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def checkpoint(second, events_n=None):
    return Checkpoint(Position(second * 10**6, "e"), events_n or second, bytes([second]))


def seconds(ledger, key):
    found = [one for one in rows(ledger, tables.journey_checkpoints) if one.customer_id == key]
    return sorted(tables.micros(one.at) // 10**6 for one in found)


@pytest.fixture
def keep(ledger):
    def put(key, *some):
        new = [checkpoint(second) for second in some]
        ledger.write_now(lambda c: keep_checkpoints(c, key, new, some[-1]))

    return put


def at(second):
    return tables.from_micros(second * 10**6)


def test_a_state_is_decoded_as_it_was_encoded():
    state = FOLD.advance(FOLD.empty(), "view", "web", 5.0, {})
    assert str(from_bytes(FOLD, to_bytes(FOLD, state))) == str(state)
    assert from_bytes(FOLD, b"\xff" * 16) is None


def test_the_latest_checkpoint_is_the_last_in_time(ledger, keep):
    keep("ann", 1, 2, 3)
    assert ledger.read(lambda c: latest_checkpoint(c, "ann")) == checkpoint(3)
    later = checkpoint(3, 2 * EVERY)._replace(position=Position(3 * 10**6, "f"))
    ledger.write_now(lambda c: keep_checkpoints(c, "ann", [later], 2 * EVERY))
    assert ledger.read(lambda c: latest_checkpoint(c, "ann")) == later
    assert ledger.read(lambda c: latest_checkpoint(c, "bob")) is None


def test_a_checkpoint_is_stored_only_with_its_state(ledger, keep):
    keep("ann", 1)
    assert ledger.read(lambda c: is_stored(c, "ann", checkpoint(1)))
    assert not ledger.read(lambda c: is_stored(c, "ann", checkpoint(1)._replace(packed=b"?")))
    assert not ledger.read(lambda c: is_stored(c, "bob", checkpoint(1)))


def test_checkpoints_that_are_too_dense_are_deleted(ledger):
    for number in range(1, 17):
        new = [checkpoint(number, number * EVERY)]
        ledger.write_now(lambda c, new=new: keep_checkpoints(c, "ann", new, new[0].events_n))
    # The distances to the end are 15 and 9, 6 and 4, 3 and 2, 1, and 0 times `EVERY`.
    assert seconds(ledger, "ann") == [1, 7, 10, 12, 13, 14, 15, 16]


def test_the_checkpoints_from_a_moment_on_are_deleted(ledger, keep):
    keep("ann", 1, 2, 3)
    keep("bob", 3)
    ledger.write_now(lambda c: delete_checkpoints(c, "ann", 2 * 10**6))
    assert seconds(ledger, "ann") == [1]
    ledger.write_now(lambda c: delete_all_checkpoints(c, ["ann"]))
    assert (seconds(ledger, "ann"), seconds(ledger, "bob")) == ([], [3])


@pytest.mark.parametrize(
    ("survivor_first", "loser_first", "left"),
    [(1, 3, [1, 2]), (3, 1, [11, 12]), (1, None, [1, 2, 3, 4]), (None, 1, [11, 12, 13, 14])],
)
def test_after_a_merge_the_checkpoints_of_one_hold_until_the_other_begins(
    ledger, survivor_first, loser_first, left
):
    # The checkpoints of the survivor are at 1 to 4 s, those of the loser, too.
    far_apart = [checkpoint(n, 10**6 - 32 * 5 ** (5 - n)) for n in (1, 2, 3, 4)]
    mine = [] if survivor_first is None else far_apart
    other = [] if loser_first is None else far_apart
    other = [one._replace(packed=bytes([one.packed[0] + 10])) for one in other]
    ledger.write_now(lambda c: keep_checkpoints(c, "ann", mine, 10**6))
    ledger.write_now(lambda c: keep_checkpoints(c, "cookie:1", other, 10**6))
    survivor = "ann", survivor_first and at(survivor_first)
    loser = "cookie:1", loser_first and at(loser_first)
    ledger.write_now(lambda c: merge_checkpoints(c, survivor, loser))
    found = rows(ledger, tables.journey_checkpoints)
    assert {one.customer_id for one in found} == {"ann"}
    assert sorted(one.state[0] for one in found) == left


@given(st.integers(1, 4000))
def test_few_checkpoints_are_kept_and_each_event_is_near_one(count):
    numbers: list[int] = []
    for number in range(EVERY, count * EVERY + 1, EVERY):
        numbers.append(number)
        numbers = [numbers[place] for place in thinned(numbers, number)]
    last = count * EVERY
    assert len(numbers) <= 2 * (count.bit_length() + 1)
    assert numbers[-1] == last
    for back in (1, EVERY, 5 * EVERY, last // 3, last // 2):
        base = max((one for one in numbers if one < last - back), default=0)
        assert last - base <= 4 * back + 2 * EVERY  # events to fold for a late one


def test_a_history_that_is_folded_keeps_a_bounded_number_of_checkpoints():
    found: list[Checkpoint] = []
    state = FOLD.empty()
    for number in range(5 * IN_MEMORY):
        for _ in range(EVERY):
            state = FOLD.advance(state, "view", "web", float(number), {})
        add_checkpoint(found, FOLD, Position(number, "e"), state)
    assert len(found) <= IN_MEMORY
    assert found[-1].events_n == FOLD.events_n(state) == 5 * IN_MEMORY * EVERY
