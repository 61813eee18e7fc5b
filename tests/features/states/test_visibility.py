"""Tests that callers wait until their own customers are shown, and for nobody else."""

import asyncio

import pytest

from features.errors import NotVisible
from features.ledger import tables
from features.ledger.writing import group_commit
from features.states import refold_tasks
from features.states.refolding import TAIL
from features.states.state_rows import request_refold
from tests.features.live import (
    DAY,
    FOLD,
    MINUTE,
    NOW,
    InMemoryOnlineStore,
    add,
    event,
    folded,
    kept,
    live,
    odd,
    past,
    rows,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


class CountingStore(InMemoryOnlineStore):
    """An online store that counts its writes, and lets something happen during a write."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def write_packed(self, customer_ids, packed, at):
        super().write_packed(customer_ids, packed, at)
        self.writes.append(sorted(customer_ids))


@pytest.fixture
def shown():
    return CountingStore()


@pytest.fixture
def worker(ledger, shown):
    return live(ledger, shown)


async def acknowledge(worker, shown, name, acknowledged, wrong, caller):
    """Send events one after the other; each must be shown when it is acknowledged."""
    for number in range(15):
        await worker.ingest([event(f"{caller}-{number}", name, at=NOW - number * MINUTE)], NOW)
        acknowledged.append(number)
        wrong.append(FOLD.events_n(shown.states[name]) < len(acknowledged))


def test_an_event_is_shown_when_it_is_acknowledged_whatever_else_arrives(worker, shown):
    async def all_at_once():
        told, wrong = [], []  # of all callers
        callers = (acknowledge(worker, shown, "c1", told, wrong, caller) for caller in range(8))
        await asyncio.gather(*callers)
        return wrong

    assert asyncio.run(all_at_once()) == [False] * 120
    assert FOLD.events_n(shown.states["c1"]) == 120


def test_states_of_several_callers_are_written_at_once(worker, shown):
    async def all_at_once():
        await asyncio.gather(*(worker.ingest([event(n, f"c{n}")], NOW) for n in range(9)))

    asyncio.run(all_at_once())
    assert sorted(name for names in shown.writes for name in names) == [f"c{n}" for n in range(9)]
    assert len(shown.writes) < 9


def test_so_many_callers_that_one_write_cannot_take_them_are_all_shown(worker, shown, monkeypatch):
    monkeypatch.setattr(group_commit, "monotonic_s", lambda: 0.0)  # one transaction takes them all

    async def all_at_once():
        await asyncio.gather(*(worker.ingest([event(n, f"c{n}")], NOW) for n in range(130)))

    asyncio.run(all_at_once())
    assert {*shown.states} == {f"c{n}" for n in range(130)}
    assert max(map(len, shown.writes)) <= 50


def test_states_are_shown_before_another_unit_of_the_transaction_can_change_them(
    ledger, worker, shown
):
    seen = []

    async def together():
        other = ledger.write(lambda _: seen.extend(shown.states))
        await asyncio.gather(other, worker.publisher.show(["c1"], NOW))

    shown.broken = True
    with pytest.raises(NotVisible):
        asyncio.run(worker.ingest([event(1, "c1")], NOW))
    shown.broken = False
    asyncio.run(together())
    assert seen == ["c1"]


def test_the_backlog_moves_the_rows_of_merged_customers(ledger, worker):
    past(ledger, "cookie:1", 2)
    known = [{"key": key, "customer_id": "c1", "rank": 0} for key in ("c1", "cookie:1")]
    add(ledger, tables.identities, *known)
    listed = {"customer_id": "cookie:1", "subject": "cookie:1", "after_us": -1}
    add(ledger, tables.relocations, listed)
    asyncio.run(worker.publisher.show_backlog(NOW))
    assert [row.customer_id for row in rows(ledger, tables.events)] == ["c1", "c1"]
    assert rows(ledger, tables.relocations) == []


def test_a_caller_does_not_wait_for_the_backlog(ledger, worker, shown):
    names = [f"waiting{n}" for n in range(250)]
    ledger.write_now(lambda c: request_refold(c, names, NOW))
    asyncio.run(worker.ingest([event(1, "c1")], NOW))
    assert list(shown.states) == ["c1"]
    assert asyncio.run(worker.publisher.show_backlog(NOW)) == 250
    assert {*shown.states} == {"c1", *names}
    assert max(map(len, shown.writes)) <= 50
    assert asyncio.run(worker.publisher.show_backlog(NOW)) == 0


def test_a_long_history_is_folded_before_its_event_is_acknowledged(ledger, worker, shown):
    past(ledger, "c1", 2 * TAIL)
    asyncio.run(worker.ingest([event(1, "c1", at=NOW - 9 * MINUTE)], NOW))
    assert str(shown.states["c1"]) == str(folded(ledger, "c1"))
    asyncio.run(worker.ingest([event(2, "c1", at=NOW - 2 * DAY)], NOW))
    assert str(shown.states["c1"]) == str(folded(ledger, "c1"))


def test_a_customer_who_cannot_be_folded_is_told_and_harms_nobody(ledger, worker, shown):
    add(ledger, tables.events, odd("c1", NOW - DAY))
    sent = [event(1, "c1", at=NOW), event(2, "c2", at=NOW)]
    result = asyncio.run(worker.ingest(sent, NOW))
    assert (result.accepted, result.duplicates) == (1, 0)
    [rejected] = result.rejected
    assert (rejected.index, rejected.field) == (0, "customer_id")
    assert rejected.error == (
        "The event is kept, but the past of customer 'c1' cannot be folded. Its event 'odd' of "
        "type 'order' cannot be folded (ValueError). Expected a past that fits the domain file. "
        "Correct the domain file and restart, or forget the customer."
    )
    assert list(shown.states) == ["c2"]
    again = asyncio.run(worker.ingest(sent, NOW))
    assert (again.accepted, again.duplicates, len(again.rejected)) == (0, 1, 1)
    assert asyncio.run(worker.publisher.show_backlog(NOW)) == 0
    assert kept(ledger)["c1"].problem is not None


def test_a_past_that_changes_all_the_time_is_said_so(ledger, worker, monkeypatch):
    past(ledger, "c1", 2 * TAIL)
    monkeypatch.setattr(refold_tasks, "finish", lambda *given, **named: False)
    with pytest.raises(NotVisible, match="'c1' changes faster than its features are computed"):
        asyncio.run(worker.ingest([event(1, "c1")], NOW))


def test_the_store_may_be_down_for_a_long_history_too(ledger, worker, shown):
    past(ledger, "c1", 2 * TAIL)
    shown.broken = True
    with pytest.raises(NotVisible, match=r"OSError.*The events are kept"):
        asyncio.run(worker.ingest([event(1, "c1")], NOW))
    shown.broken = False
    asyncio.run(worker.publisher.show_backlog(NOW))
    assert str(shown.states["c1"]) == str(folded(ledger, "c1"))
