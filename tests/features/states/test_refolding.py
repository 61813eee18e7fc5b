"""Tests folding again: under the lock from a checkpoint, and without the lock in steps."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.customers.profiles import account_key
from features.ledger import tables
from features.states.checkpoints import EVERY, delete_all_checkpoints, latest_checkpoint
from features.states.refolding import PAGE, TAIL, CannotFold, Refold, fold_rows, refold_tail
from features.states.state_rows import request_refold
from tests.features.live import FOLD, NOW, add, folded, odd, rows, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")

START_AT = NOW - timedelta(days=300)


def view(number, customer="ann", minutes=None):
    at = START_AT + timedelta(minutes=number if minutes is None else minutes)
    return stored(f"{customer}{number:0>5}", customer, at)


@pytest.fixture
def happen(ledger):
    def put(count, customer="ann"):
        add(ledger, tables.events, *(view(number, customer) for number in range(count)))

    return put


def refolded(ledger, key="ann", meanwhile=lambda: None):
    """A refold all of whose steps were run, and which is committed."""
    refold = Refold(ledger, FOLD, key)
    while refold.step():
        pass
    meanwhile()
    ledger.write_now(refold.commit)
    return refold


def tail(ledger, key="ann"):
    return ledger.write_now(lambda c: refold_tail(c, FOLD, key))


def positions(ledger):
    return sorted((row.at, row.event_id) for row in rows(ledger, tables.journey_checkpoints))


def test_a_short_history_is_folded_whole(ledger, happen):
    happen(3)
    found = tail(ledger)
    assert str(found.newest.state) == str(folded(ledger, "ann"))
    assert found.newest.last_at == START_AT + timedelta(minutes=2)
    assert found.event_ids == ["ann00000", "ann00001", "ann00002"]


def test_somebody_without_events_has_the_empty_state(ledger):
    found = tail(ledger)
    assert (found.newest.state, found.newest.last_at) == (FOLD.empty(), None)


def test_a_long_history_is_folded_from_its_last_checkpoint(ledger, happen):
    happen(2 * PAGE + 7)
    assert tail(ledger) is None
    refolded(ledger)
    add(ledger, tables.events, view(2 * PAGE + 7))
    found = tail(ledger)
    assert found.event_ids == [f"ann{2 * PAGE + 7:05}"]
    assert str(found.newest.state) == str(folded(ledger, "ann"))


def test_an_account_is_folded_from_the_events_of_its_members(ledger, happen):
    happen(TAIL)
    happen(TAIL, "bob")
    members = [{"customer_id": one, "account": "Acme"} for one in ("ann", "bob")]
    add(ledger, tables.account_members, *members)
    key = account_key("Acme")
    assert tail(ledger, key) is None
    refolded(ledger, key)
    assert str(tail(ledger, key).newest.state) == str(folded(ledger, key))


def test_checkpoints_after_an_event_that_came_meanwhile_are_not_kept(ledger, happen):
    happen(10 * EVERY)
    late = view("late", minutes=5 * EVERY + 0.5)
    refolded(ledger, meanwhile=lambda: add(ledger, tables.events, late))
    kept = [at for at, _ in positions(ledger)]
    assert kept
    assert max(kept) < late["occurred_at"]
    refolded(ledger)
    assert str(tail(ledger).newest.state) == str(folded(ledger, "ann"))


def test_an_event_after_the_last_one_does_no_harm(ledger, happen):
    happen(TAIL + 1)
    later = view(TAIL + 1)
    refolded(ledger, meanwhile=lambda: add(ledger, tables.events, later))
    assert str(tail(ledger).newest.state) == str(folded(ledger, "ann"))


def test_nothing_is_kept_if_the_customer_was_merged_or_split_meanwhile(ledger, happen):
    happen(TAIL + 1)

    def merge():
        ledger.write_now(lambda c: request_refold(c, ["ann"], NOW))

    refolded(ledger, meanwhile=merge)
    assert positions(ledger) == []


def test_nothing_is_kept_on_a_checkpoint_that_was_replaced_meanwhile(ledger, happen):
    happen(TAIL)
    refolded(ledger)
    base = ledger.read(lambda c: latest_checkpoint(c, "ann"))
    late = view("late", minutes=1.5)
    add(ledger, tables.events, *(view(number) for number in range(TAIL, 2 * TAIL)))

    def replace():
        """A late event deletes the checkpoints, and somebody folds new ones at the same places."""
        add(ledger, tables.events, late)
        ledger.write_now(lambda c: delete_all_checkpoints(c, ["ann"]))
        refolded(ledger)

    refolded(ledger, meanwhile=replace)
    latest = ledger.read(lambda c: latest_checkpoint(c, "ann"))
    assert latest.position > base.position
    assert latest.events_n == 2 * TAIL + 1
    assert str(tail(ledger).newest.state) == str(folded(ledger, "ann"))


def test_the_checkpoints_of_another_domain_file_are_replaced(ledger, happen):
    happen(2 * TAIL)
    refolded(ledger)
    outdated = sa.update(tables.journey_checkpoints).values(state=b"\xff" * 16)
    ledger.write_now(lambda c: c.execute(outdated))
    assert tail(ledger) is None
    refolded(ledger)
    assert str(tail(ledger).newest.state) == str(folded(ledger, "ann"))


def test_an_event_that_cannot_be_folded_is_named(ledger, happen):
    happen(TAIL + 1)
    add(ledger, tables.events, odd("ann", START_AT + timedelta(minutes=50.5)))
    with pytest.raises(CannotFold, match=r"'odd' of type 'order' cannot be folded \(ValueError"):
        refolded(ledger)
    with pytest.raises(CannotFold):
        fold_rows(FOLD, FOLD.empty(), [("e1", "order", "web", 5, '{"amount_eur": []')])
