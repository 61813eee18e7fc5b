"""Brief units run on the event loop's own thread, but never before units that wait already."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from queue import SimpleQueue

import pytest
import sqlalchemy as sa

from features.errors import InvalidRequest, LedgerDown
from features.ledger import databases, tables
from features.ledger.databases import LedgerClosed
from features.ledger.ledger import Ledger
from features.ledger.writing import group_commit
from features.ledger.writing.group_commit import GroupCommit, Unit
from features.ledger.writing.writer_queue import WriterQueue

pytestmark = pytest.mark.databases("sqlite", "postgresql")
SQLITE = pytest.mark.databases("sqlite")


def note(key, threads=None):
    """A unit that writes one row; it adds the name of its thread to ``threads``."""

    def write(connection):
        if threads is not None:
            threads.append(threading.current_thread().name)
        tables.insert_new(connection, tables.meta, [{"key": key, "value": "x"}])
        return key

    return write


def found(ledger, key):
    return ledger.read(lambda connection: tables.get_meta(connection, key)) == "x"


def test_a_brief_unit_is_committed_when_it_is_answered(ledger):
    async def write():
        answer = await ledger.write(note("a"), brief=True)
        return answer, found(ledger, "a")

    assert asyncio.run(write()) == ("a", True)


@SQLITE
def test_brief_units_of_one_turn_run_on_the_thread_of_their_loop(ledger):
    threads = []

    async def write():
        units = (ledger.write(note(f"k{n}", threads), brief=True) for n in range(5))
        return await asyncio.gather(*units)

    assert asyncio.run(write()) == [f"k{n}" for n in range(5)]
    assert threads == [threading.current_thread().name] * 5


def test_a_unit_that_is_not_brief_takes_the_others_of_its_turn_to_the_thread(ledger):
    threads = []

    async def write():
        brief = ledger.write(note("a", threads), brief=True)
        return await asyncio.gather(brief, ledger.write(note("b", threads)))

    assert asyncio.run(write()) == ["a", "b"]
    assert threads == ["ledger", "ledger"]


def test_a_brief_unit_waits_for_the_units_before_it(ledger):
    threads, inside, go = [], threading.Event(), threading.Event()

    async def write():
        ledger.submit(lambda _: (inside.set(), go.wait(10)))
        assert inside.wait(10)
        writing = asyncio.create_task(ledger.write(note("a", threads), brief=True))
        await asyncio.sleep(0)  # lets it begin; no time passes
        await asyncio.sleep(0)  # lets the loop pass it on
        go.set()
        return await writing

    assert asyncio.run(write()) == "a"
    assert threads == ["ledger"]


@SQLITE
def test_a_brief_unit_goes_to_the_thread_while_another_process_has_the_lock(ledger):
    threads, other = [], Ledger(ledger.url)

    async def write():
        with other.engine.begin() as connection:
            tables.set_meta(connection, "b", "x")
            writing = asyncio.create_task(ledger.write(note("a", threads), brief=True))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return await writing

    assert asyncio.run(write()) == "a"
    assert threads == ["ledger"]
    assert found(ledger, "b")
    other.close()


def fail(connection):
    note("half")(connection)
    raise LookupError("only I failed")


def refuse(_):
    raise InvalidRequest("no.", expected="yes", remedy="Say yes.")


@pytest.mark.parametrize("bad", [fail, refuse])
@pytest.mark.parametrize("others", [0, 3])
def test_a_brief_unit_that_fails_takes_no_other_with_it(ledger, bad, others):
    async def write():
        units = [note(f"k{n}") for n in range(others)]
        writes = (ledger.write(unit, brief=True) for unit in [bad, *units])
        return await asyncio.gather(*writes, return_exceptions=True)

    failed, *answers = asyncio.run(write())
    assert isinstance(failed, LookupError if bad is fail else InvalidRequest)
    assert answers == [f"k{n}" for n in range(others)]
    assert all(found(ledger, key) for key in answers)
    assert not found(ledger, "half")


def lose(_):
    raise sa.exc.DBAPIError("", None, OSError("cut"), connection_invalidated=True)


@pytest.mark.parametrize("work", [note("a"), fail, refuse, lose])
def test_a_unit_that_is_answered_is_pending_no_more(ledger, work):
    pending, future = SimpleQueue(), Future()
    future.add_done_callback(lambda _: pending.put(ledger._group_commit.pending))
    ledger._group_commit.queue([Unit(work, future)])
    assert pending.get(timeout=10) == 0


def test_a_brief_unit_that_was_cancelled_is_not_run(ledger):
    async def write():
        writing = asyncio.create_task(ledger.write(note("given up"), brief=True))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await ledger.write(note("later"), brief=True)

    asyncio.run(write())
    assert found(ledger, "later")
    assert not found(ledger, "given up")


def test_a_closed_group_commit_refuses_both_ways(ledger):
    closed = GroupCommit(ledger.engine, None)
    closed.close()
    for write in (closed.queue, closed.run_or_queue):
        with pytest.raises(LedgerClosed, match="nothing can be written any more"):
            write([])


@pytest.fixture
def clock(monkeypatch):
    """The time of the group commit, which passes only when a unit says so."""
    clock = [0.0]
    monkeypatch.setattr(group_commit, "monotonic_s", lambda: clock[0])
    return clock


@pytest.fixture
def group(ledger, clock):
    """Runs the units, given with ``first`` or not, as one group; returns their futures."""

    def run(*units):
        inside, go = threading.Event(), threading.Event()
        ledger.submit(lambda _: (inside.set(), go.wait(10)))
        assert inside.wait(10)
        futures = [ledger.submit(work, first) for work, first in units]
        go.set()
        return futures

    return run


def test_units_that_are_first_run_before_the_others_in_one_transaction(ledger, group):
    seen = []

    def unit(key):
        def write(connection):
            seen.append((key, found(ledger, "a")))
            return note(key)(connection)

        return write

    units = [("a", False), ("b", True), ("c", False), ("d", True)]
    futures = group(*((unit(key), first) for key, first in units))
    assert [future.result() for future in futures] == ["a", "b", "c", "d"]
    assert seen == [("b", False), ("d", False), ("a", False), ("c", False)]


def test_units_that_are_first_are_repeated_before_the_others_of_a_group_that_failed(ledger, group):
    ran = []

    def unit(key):
        return lambda connection: (ran.append(key), note(key)(connection))

    first, failed, last = group((unit("a"), False), (fail, False), (unit("b"), True))
    assert isinstance(failed.exception(), LookupError)
    assert (first.result()[1], last.result()[1]) == ("a", "b")
    assert ran == ["b", "a", "b", "a"]
    assert not found(ledger, "half")


@SQLITE
def test_brief_units_that_are_first_run_before_the_others_of_their_turn(ledger):
    ran = []

    async def write():
        units = [("a", False), ("b", True)]
        writes = (
            ledger.write(lambda _, key=key: ran.append(key), brief=True, first=first)
            for key, first in units
        )
        await asyncio.gather(*writes)

    asyncio.run(write())
    assert ran == ["b", "a"]


def test_a_transaction_ends_when_its_time_is_over_and_the_rest_follows(ledger, group, clock):
    committed = []

    def unit(key):
        def write(connection):
            committed.append([one for one in "abcd" if found(ledger, one)])
            clock[0] += group_commit.UNITS_S * 0.6
            return note(key)(connection)

        return write

    futures = group(*((unit(key), key == "d") for key in "abcd"))
    assert [future.result() for future in futures] == list("abcd")
    # "d" is first; "a" and "b" take more than the time of the transaction, so "c" follows.
    assert committed == [[], [], [], ["a", "b", "d"]]


def test_units_that_are_first_do_not_keep_the_others_waiting(ledger, group, clock):
    ran = []

    def unit(key):
        def write(_):
            ran.append(key)
            clock[0] += group_commit.UNITS_S * 2

        return write

    futures = group(*((unit(key), key != "other") for key in ["a", "other", "b", "c"]))
    assert [future.result() for future in futures] == [None] * 4
    assert ran == ["a", "other", "b", "c"]


def test_a_unit_that_is_cancelled_while_its_group_runs_is_not_run(ledger, clock):
    async def write():
        def give_up(_):
            loop.call_soon_threadsafe(writing.cancel)
            loop.call_soon_threadsafe(cancelled.set)
            assert cancelled.wait(10)
            clock[0] += group_commit.UNITS_S * 2

        loop, cancelled = asyncio.get_running_loop(), threading.Event()
        earlier = asyncio.create_task(ledger.write(give_up))
        writing = asyncio.create_task(ledger.write(note("given up")))
        await asyncio.gather(earlier, writing, return_exceptions=True)
        await ledger.write(note("later"))

    asyncio.run(write())
    assert found(ledger, "later")
    assert not found(ledger, "given up")


def test_closing_runs_the_units_for_which_a_transaction_had_no_time(ledger, clock):
    def slow(connection):
        clock[0] += group_commit.UNITS_S * 2
        return note("a")(connection)

    closing = GroupCommit(ledger.engine, None)
    futures = [Future() for _ in range(3)]
    works = [slow, note("b"), note("c")]
    closing.queue([Unit(work, one) for work, one in zip(works, futures, strict=True)])
    closing.close()
    assert [future.result(0) for future in futures] == ["a", "b", "c"]


@SQLITE
def test_a_process_that_keeps_its_turn_is_not_waited_for_without_end(ledger, monkeypatch):
    monkeypatch.setattr(databases, "NO_TURN_S", 0.05)
    monkeypatch.setattr(group_commit, "CLOSE_S", 0.05)
    stopped, waiting = WriterQueue(ledger._file), Ledger(ledger.url)
    with stopped.turn():
        with pytest.raises(LedgerDown, match=r"was not free within 0.05 seconds"):
            waiting.write_now(note("never"))
        waiting.close()
    stopped.close()
    ledger.write_now(note("later"))
    assert not found(ledger, "never")


@SQLITE
def test_units_that_come_while_the_thread_waits_for_its_turn_join_its_transaction(ledger):
    other, seen = WriterQueue(ledger._file), []

    def look(connection):
        return tables.get_meta(connection, "a"), found(ledger, "a")

    with other.turn():
        first = ledger.submit(lambda c: (seen.append("begun"), note("a")(c)))
        while not ledger._group_commit._turns.waiting:
            pass
        second = ledger.submit(look)
        assert seen == []
    assert first.result(10)[1] == "a"
    assert second.result(10) == ("x", False)
    other.close()
