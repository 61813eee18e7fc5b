"""Erases and prunes in threads of their own, which no request and no other task waits for."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from features.clock import Clock
from features.errors import InvalidSetting
from features.ingest.erasure import Erasure
from features.ledger.simulated_clock import SimulatedClock
from features.store.retention import RetentionPolicy, pruning_lock
from serving.server.work_pools import WorkPool

PAUSE_S = 0.1  # after each transaction of retention: 1,000 records a second at most
RETRY_S = 0.05  # while another process applies retention


class DeletionThreads:
    """One thread that cleans files of forgotten customers, and one that applies retention.

    Of several workers, one at a time does either; file locks see to that.
    """

    def __init__(self, erasure: Erasure, retention: RetentionPolicy, clock: Clock) -> None:
        self._erasure = erasure
        self._retention = retention
        self._clock = clock
        self._pause_s = 0.0 if isinstance(clock, SimulatedClock) else PAUSE_S
        self._stopping = threading.Event()
        self._files = WorkPool("erasures", threads=1, most_waiting=1)
        self._records = WorkPool("retention", threads=1, most_waiting=1)

    async def finish_erasures(self) -> None:
        """Clean the files of the customers who were forgotten."""
        await self._files.run(self._erasure.finish)

    async def apply_retention(self) -> None:
        """Remove old records if that was not done today."""
        await self._records.run(self._prune)

    async def settle(self) -> None:
        """Remove old records by now, and wait for another process that does."""
        while await self._records.run(self._retention.is_due, self._clock()):
            await self.apply_retention()
            await asyncio.sleep(RETRY_S)

    def stop(self) -> None:
        """Stop after the transaction, or the file, that is being written."""
        self._stopping.set()
        self._files.close()
        self._records.close()

    def _prune(self) -> None:
        now = self._clock()
        if self._retention.is_due(now):
            with suppress(InvalidSetting), pruning_lock(self._retention.settings.home):
                self._retention.prune(now, after_step=self._goes_on)

    def _goes_on(self) -> bool:
        return not self._stopping.wait(self._pause_s)
