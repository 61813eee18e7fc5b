"""Tests of the order in which the parts of a server settle, in one worker and in two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import SimulatedClock, note_part, set_clock
from serving.server.settling import workers
from serving.server.settling.workers import WorkerSettling, WorkOfSettling

MARCH = datetime(2026, 3, 1, 8, tzinfo=UTC)


class Parts:
    """Workers of one ledger, and what they did, in order."""

    def __init__(self, ledger: Ledger, count: int) -> None:
        self.ledger, self.clock = ledger, SimulatedClock(ledger).begin()
        self.done: list[str] = []
        self.workers = [self.worker(index + 1, count) for index in range(count)]

    def worker(self, index: int, count: int) -> WorkerSettling:
        work = [[self.noting(f"{name} {index}")] for name in ("fold", "total", "load")]
        return WorkerSettling(self.ledger, self.clock, index, count, WorkOfSettling(*work))

    def noting(self, name: str) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            self.done.append(name)

        return work

    def ask(self) -> None:
        self.ledger.write_now(lambda c: set_clock(c, MARCH, settle=True))

    def look(self) -> None:
        for worker in self.workers:
            asyncio.run(worker.look())

    def learn(self) -> None:
        self.ledger.write_now(lambda c: note_part(c, "learned", 1, MARCH))


@pytest.mark.parametrize("count", [1, 2])
def test_the_first_worker_folds_and_sums_and_each_loads_what_was_learned(ledger, count):
    parts = Parts(ledger, count)
    parts.look()
    assert parts.done == []
    parts.ask()
    parts.look()
    assert parts.done == ["fold 1", "total 1"]  # the learner has not learned yet
    parts.look()
    assert parts.done == ["fold 1", "total 1"] and parts.clock.state().is_settling
    parts.learn()
    parts.look()
    parts.look()
    assert parts.done[2:] == [f"load {index + 1}" for index in range(count)]
    assert parts.clock.state().settled_until == MARCH
    parts.look()
    assert len(parts.done) == 2 + count


def test_work_that_fails_is_done_again(ledger, monkeypatch):
    monkeypatch.setattr(workers, "AGAIN_S", 0.0)
    parts = Parts(ledger, 1)

    async def fail() -> None:
        raise OSError("the store is down")

    fold = [fail]
    broken = WorkerSettling(ledger, parts.clock, 1, 1, WorkOfSettling(fold, [], []))
    parts.ask()
    with pytest.raises(OSError, match="down"):
        asyncio.run(broken.look())
    assert parts.clock.state_of(["folded"])[1] == ["folded"]
    fold[0] = parts.noting("fold 1")
    asyncio.run(broken.look())
    assert parts.done == ["fold 1"] and parts.clock.state_of(["folded"])[1] == []


def test_what_is_set_meanwhile_is_not_noted_as_done(ledger):
    """The work of each part was that of the time at which it began."""
    parts, later = Parts(ledger, 1), MARCH + timedelta(days=1)

    async def moves() -> None:
        ledger.write_now(lambda c: set_clock(c, later, settle=False))

    work = WorkOfSettling([moves], [], [])
    parts.workers = [WorkerSettling(ledger, parts.clock, 1, 1, work)]
    parts.ask()
    ledger.write_now(lambda c: note_part(c, "learned", 1, later))
    parts.look()
    assert parts.clock() == later and parts.clock.state().settled_until == MARCH
