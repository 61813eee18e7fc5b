"""Erasures and retention run beside the requests, and stop when the server stops."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from features.clock import utc_now
from features.errors import InvalidRequest
from features.ingest.erasure import Erasure
from features.ledger import tables
from features.ledger.simulated_clock import SimulatedClock, set_clock
from features.settings import load_settings
from features.store import retention
from features.store.retention import RetentionPolicy, pruning_lock
from serving.server import deletion
from serving.server.deletion import DeletionThreads
from tests.decided import decided
from tests.features.erasing import Store, count, known
from tests.features.live import SHOP


def threads(ledger, home, clock=utc_now):
    policy = RetentionPolicy(ledger, SHOP, load_settings({"NBA_HOME": str(home)}))
    return DeletionThreads(Erasure(ledger, Store(), home), policy, clock)


def whole(ledger):
    return count(
        ledger, tables.decisions.select().where(tables.decisions.c.answer.is_not(None)).subquery()
    )


def test_what_was_erased_is_finished_and_old_records_are_removed(ledger, tmp_path):
    known(ledger, "ann")
    Erasure(ledger, Store(), tmp_path).forget(["ann"], utc_now())
    decided(ledger, "old", utc_now() - timedelta(days=500), {"call": 7.0})
    running = threads(ledger, tmp_path)
    with pruning_lock(tmp_path):  # another worker is at it
        asyncio.run(running.apply_retention())
    assert whole(ledger) == 1
    asyncio.run(running.apply_retention())
    asyncio.run(running.finish_erasures())
    assert whole(ledger) == count(ledger, tables.erasure_keys) == 0
    decided(ledger, "another", utc_now() - timedelta(days=500), {"call": 7.0})
    asyncio.run(running.apply_retention())
    assert whole(ledger) == 1, "retention is applied once a day"
    running.stop()


def test_retention_stops_after_a_step_when_the_server_stops(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "RECORDS_PER_STEP", 1)
    monkeypatch.setattr(deletion, "PAUSE_S", 60)
    for number in range(3):
        decided(ledger, f"old-{number}", utc_now() - timedelta(days=500), {"call": 7.0})
    running = threads(ledger, tmp_path)

    async def story() -> None:
        task = asyncio.create_task(running.apply_retention())
        async with asyncio.timeout(20):
            while whole(ledger) == 3:
                await asyncio.sleep(0.001)
            await asyncio.to_thread(running.stop)
            await task

    asyncio.run(story())
    assert whole(ledger) == 2


# By a simulated clock -----------------------------------------------------------------------------

MARCH = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)


def set_to(ledger, now):
    ledger.write_now(lambda c: set_clock(c, now, settle=False))


def test_to_settle_removes_all_records_that_are_old_by_the_simulated_clock(
    ledger, tmp_path, monkeypatch
):
    """400 days old; without pauses, as nobody waits for the lock."""
    monkeypatch.setattr(retention, "RECORDS_PER_STEP", 1)
    monkeypatch.setattr(deletion, "PAUSE_S", 1e9)
    for number in range(4):
        decided(ledger, f"d{number}", MARCH + number * DAY, {"call": 7.0})
    running = threads(ledger, tmp_path, SimulatedClock(ledger).begin())
    found = []
    for days in (399, 402, 402.5, 403):
        set_to(ledger, MARCH + days * DAY)
        asyncio.run(running.settle())
        found.append(whole(ledger))
    assert found == [4, 2, 2, 1]  # at most once a day
    running.stop()


def test_to_settle_waits_for_another_process_that_removes(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(deletion, "RETRY_S", 0.0)
    decided(ledger, "old", MARCH, {"call": 7.0})
    running = threads(ledger, tmp_path, SimulatedClock(ledger).begin())
    set_to(ledger, MARCH + 500 * DAY)
    tries, apply = [], running.apply_retention

    async def tried() -> None:
        await apply()
        tries.append(whole(ledger))

    async def story() -> None:
        with pruning_lock(tmp_path):
            task = asyncio.create_task(running.settle())
            async with asyncio.timeout(20):
                while len(tries) < 3:
                    await asyncio.sleep(0)
            assert not task.done()
        await task

    monkeypatch.setattr(running, "apply_retention", tried)
    asyncio.run(story())
    assert tries[:3] == [1, 1, 1] and tries[-1] == 0
    running.stop()


def test_no_retention_is_applied_for_an_earlier_time_as_the_clock_moves_forward_only(
    ledger, tmp_path
):
    running, late = threads(ledger, tmp_path, SimulatedClock(ledger).begin()), MARCH + 500 * DAY
    set_to(ledger, late)
    asyncio.run(running.settle())
    decided(ledger, "old", MARCH, {"call": 7.0})  # as of another process, whose clock was behind
    with pytest.raises(InvalidRequest, match="forward only"):
        set_to(ledger, late - 50 * DAY)
    asyncio.run(running.settle())
    assert whole(ledger) == 1
    applied = ledger.read(lambda c: tables.get_meta(c, retention.DONE_AT))
    assert applied == late.isoformat()
    running.stop()


def test_retention_follows_the_first_setting_of_the_clock_of_an_empty_ledger(ledger, tmp_path):
    """It was applied at the real time, to nothing."""
    clock = SimulatedClock(ledger).begin()
    running = threads(ledger, tmp_path, clock)
    asyncio.run(running.apply_retention())
    back = clock() - 900 * DAY
    set_to(ledger, back)
    decided(ledger, "young", back - 399 * DAY, {"call": 7.0})
    decided(ledger, "young too", back, {"call": 7.0})
    asyncio.run(running.settle())
    assert whole(ledger) == 2
    set_to(ledger, back + 2 * DAY)
    asyncio.run(running.settle())
    assert whole(ledger) == 1
    running.stop()
