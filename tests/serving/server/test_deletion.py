"""Erasures and retention run beside the requests, and stop when the server stops."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from features.clock import utc_now
from features.ingest.erasure import Erasure
from features.ledger import tables
from features.settings import load_settings
from features.store import retention
from features.store.retention import RetentionPolicy, pruning_lock
from serving.server import deletion
from serving.server.deletion import DeletionThreads
from tests.decided import decided
from tests.features.erasing import Store, count, known
from tests.features.live import SHOP


def threads(ledger, home):
    policy = RetentionPolicy(ledger, SHOP, load_settings({"NBA_HOME": str(home)}))
    return DeletionThreads(Erasure(ledger, Store(), home), policy, utc_now)


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
