"""Writers of several processes get their turns in the order in which they ask."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from errno import ENOLCK

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.writing import writer_queue
from features.ledger.writing.unwaiting import UnwaitingConnection
from features.ledger.writing.writer_queue import COUNTER, SUFFIX, WriterQueue

# Enters the queue, says so, and stays there until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from features.ledger.writing.writer_queue import WriterQueue
queue = WriterQueue(Path(sys.argv[1]))
print("asking", flush=True)
with queue.turn():
    print("entered", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    path.touch()
    return path


@pytest.fixture
def queue(path):
    opened = WriterQueue(path)
    yield opened
    opened.close()


@pytest.fixture
def process(path):
    """Start processes that enter the queue and stay there; they are killed at the end."""
    started = []

    def start():
        command = [sys.executable, "-c", HOLDER, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        begun = subprocess.Popen(command, **pipes)
        started.append(begun)
        assert begun.stdout.readline() == "asking\n"
        return begun

    yield start
    for one in started:
        one.kill()
        one.communicate()


def tickets(path):
    """The number of tickets that were taken; one that finds nobody takes none."""
    content = path.with_name(path.name + SUFFIX).read_bytes()
    return COUNTER.unpack(content)[0] - 1 if content else 0


def until(holds, within_s=20.0):
    """Wait for another thread or process."""
    waiting, found = threading.Event(), None
    for _ in range(int(within_s / 0.002)):
        if found := holds():
            return found
        waiting.wait(0.002)
    raise AssertionError("it did not happen")


def in_order(path, names, done):
    """Start a thread for each name, one after the other, that notes its name in its turn."""

    def write(name):
        own = WriterQueue(path)
        with own.turn():
            done.append(name)
        own.close()

    threads = []
    for name in names:
        before = tickets(path)
        threads.append(threading.Thread(target=write, args=(name,)))
        threads[-1].start()
        until(lambda before=before: tickets(path) == before + 1)
    return threads


def test_whoever_asks_first_writes_first(path, queue):
    done, names = [], [f"writer {n}" for n in range(12)]
    with queue.turn():
        threads = in_order(path, names, done)
        assert done == []
    for thread in threads:
        thread.join()
    assert done == names


def test_the_one_who_was_in_asks_again_behind_those_who_wait(path, queue):
    done = []
    with queue.turn():
        threads = in_order(path, ["first", "second"], done)
    with queue.turn():
        assert done == ["first", "second"]
    for thread in threads:
        thread.join()


def test_nobody_is_waited_for_at_once(path, queue):
    other = WriterQueue(path)
    assert queue.enter_at_once()
    assert not other.enter_at_once()
    other.leave()
    queue.leave()
    assert other.enter_at_once()
    other.close()  # gives the turn back
    assert queue.enter_at_once()


def test_a_place_is_not_taken_at_once_before_one_who_waits(path, queue, process):
    done, other = [], WriterQueue(path)
    holder = process()
    assert holder.stdout.readline() == "entered\n"
    threads = in_order(path, ["waits"], done)
    assert not other.enter_at_once()
    holder.kill()
    threads[0].join()
    assert other.enter_at_once()
    other.close()


def test_a_process_that_is_killed_in_its_turn_blocks_nobody(queue, process):
    holder = process()
    assert holder.stdout.readline() == "entered\n"
    assert not queue.enter_at_once()
    holder.kill()
    with queue.turn():
        pass


def test_a_process_that_is_killed_while_it_waits_lets_nobody_pass(path, queue, process):
    done = []
    with queue.turn():
        waiting = process()
        until(lambda: tickets(path) == 1)
        threads = in_order(path, ["after it"], done)
        waiting.kill()
        waiting.wait()
        assert done == []  # the one who writes is still waited for
    threads[0].join()
    assert done == ["after it"]


def test_a_turn_that_raises_is_given_back(path, queue):
    with pytest.raises(ZeroDivisionError), queue.turn():
        1 / 0  # noqa: B018
    other = WriterQueue(path)
    assert other.enter_at_once()
    other.close()


def test_waiting_may_end_without_a_turn(path, queue):
    other = WriterQueue(path)
    with queue.turn(), other.turn(at_most_s=0.01):
        pass
    other.close()


@pytest.mark.parametrize("content", [b"", b"spoilt", COUNTER.pack(-5), COUNTER.pack(2**62)])
def test_tickets_begin_again_after_the_last_one_and_in_a_spoilt_file(path, queue, content):
    file = path.with_name(path.name + SUFFIX)
    file.write_bytes(content)
    done = []
    with queue.turn():
        own = WriterQueue(path)
        writing = threading.Thread(target=lambda: enter(own, done))
        writing.start()
        until(lambda: file.read_bytes() == COUNTER.pack(2))
        assert done == []
    writing.join()
    assert done == ["entered"]
    own.close()


def enter(queue, done):
    with queue.turn():
        done.append("entered")


def test_a_file_that_was_deleted_is_made_again_and_shared(path, queue, monkeypatch):
    monkeypatch.setattr(writer_queue, "LOOK_EVERY_S", 0.0)
    other = WriterQueue(path)
    for one in (queue, other):
        with one.turn():
            pass
    path.with_name(path.name + SUFFIX).unlink()
    assert queue.enter_at_once()
    for later in (other, WriterQueue(path)):
        assert not later.enter_at_once()
        later.close()


def test_a_file_system_without_locks_is_said_once_and_nobody_is_stopped(path, monkeypatch, caplog):
    asked = []

    def refuse(*request):
        asked.append(request)
        raise OSError(ENOLCK, os.strerror(ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            queue = WriterQueue(path)
            with queue.turn():
                pass
            assert queue.enter_at_once()
            queue.leave()
    assert len(asked) == 2  # once by each queue
    (record,) = caplog.records
    assert "cannot be used (No locks available)" in record.getMessage()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path, caplog):
    queue = WriterQueue(tmp_path / "not there" / "ledger.db")
    with queue.turn():
        pass
    assert "No such file or directory" in caplog.text


@pytest.mark.databases("sqlite")
def test_each_kind_of_transaction_of_a_ledger_takes_its_turn(ledger, ledger_url):
    holder = WriterQueue(ledger._file)
    threads, done = [], []
    works = {
        "a unit": lambda: ledger.write_now(lambda c: tables.set_meta(c, "a", "x")),
        "opening": lambda: Ledger(ledger_url).close(),
        "compacting": ledger.compact,
    }
    with holder.turn():
        for name, work in works.items():
            before = tickets(ledger._file)
            run = lambda name=name, work=work: (work(), done.append(name))  # noqa: E731
            threads.append(threading.Thread(target=run))
            threads[-1].start()
            until(lambda before=before: tickets(ledger._file) == before + 1)
        own = UnwaitingConnection(ledger.engine, WriterQueue(ledger._file))
        with own.transaction() as connection:
            assert connection is None
        own.close()
        assert done == []
    for thread in threads:
        thread.join()
    assert sorted(done) == ["a unit", "compacting", "opening"]
    holder.close()


class WithoutLock(WriterQueue):
    """A queue whose turns end after the lock of the ledger was given back."""

    def leave(self):
        with sqlite3.connect(self._ledger, timeout=0, isolation_level=None) as beside:
            beside.execute("BEGIN IMMEDIATE")
        beside.close()
        super().leave()


@pytest.mark.databases("sqlite")
def test_a_brief_transaction_gives_its_turn_back_when_it_ends_or_fails(ledger):
    own = UnwaitingConnection(ledger.engine, WithoutLock(ledger._file))
    other = WriterQueue(ledger._file)
    with own.transaction():
        assert not other.enter_at_once()
    assert other.enter_at_once()
    other.leave()
    with pytest.raises(ZeroDivisionError), own.transaction():
        1 / 0  # noqa: B018
    assert other.enter_at_once()
    other.leave()
    own._queue = WriterQueue(ledger._file)
    with ledger.engine.begin(), own.transaction() as connection:  # a program without the queue
        assert connection is None
    assert other.enter_at_once()
    other.close()
    own.close()


def test_a_ledger_in_memory_has_no_queue():
    ledger = Ledger("sqlite://")
    assert ledger._file is None
    ledger.close()


@pytest.mark.databases("postgresql")
def test_the_advisory_lock_of_postgresql_is_given_in_the_order_of_asking(ledger, ledger_url):
    done, others = [], [Ledger(ledger_url) for _ in range(6)]

    def write(number):
        def note(connection):
            done.append(number)
            tables.set_meta(connection, "last", str(number))

        return others[number].submit(note)

    with ledger.engine.connect() as watcher:
        with ledger.engine.begin():
            futures = []
            for number in range(len(others)):
                futures.append(write(number))
                until(lambda count=number + 1: waiting_for_the_lock(watcher) == count)
        for future in futures:
            future.result(10)
    assert done == list(range(len(others)))
    for other in others:
        other.close()


def waiting_for_the_lock(connection):
    query = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
    )
    with connection.execution_options(read_only=True).begin():
        return connection.execute(sa.text(query)).scalar()
