"""Settles in one worker: does at once what is due by the simulated clock.

The first worker folds events, applies retention and sums rewards, and the learner learns; see
`serving.learn.process`. Then each worker loads the snapshot that the learner has published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from features.clock import Clock
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import (
    FOLDED,
    LEARNED,
    SUMMED,
    finish_settle,
    note_part,
    parts_of,
    read_clock,
    settle_due,
    worker_part,
)

AGAIN_S = 1.0  # after a failure, such as a feature store that is down

Work = Sequence[Callable[[], Awaitable[object]]]


class WorkOfSettling(NamedTuple):
    """The work of a worker, as functions that are called one after the other.

    Attributes
    ----------
    fold, total
        For the first worker alone: show events to decisions; then all that is counted of them.
    load
        For each worker: use what is decided with from now on.
    """

    fold: Work
    total: Work
    load: Work


class WorkerSettling:
    """Settles in one worker of a server.

    Parameters
    ----------
    index : int
        Of the worker; the first has 1.
    workers : int
        Of the server.
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, index: int, workers: int, work: WorkOfSettling
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._index = index
        self._parts = parts_of(workers)
        self._work = work

    async def look(self) -> None:
        """Do the work of this worker that a request to settle waits for."""
        state = await self._ledger.read_briefly(read_clock)
        if state is None or not state.is_settling:
            return
        if self._index == 1:
            await self._settle(FOLDED, (), self._work.fold)
            await self._settle(SUMMED, (FOLDED,), self._work.total)
        await self._settle(worker_part(self._index), (LEARNED, SUMMED), self._work.load)
        if self._index == 1:
            await self._ledger.write(lambda connection: finish_settle(connection, self._parts))

    async def _settle(self, part: str, after: Sequence[str], work: Work) -> None:
        due = await self._ledger.read_briefly(lambda c: settle_due(c, part, after))
        if due is None:
            return
        now = self._clock()
        try:
            for one in work:
                await one()
        except Exception:
            await asyncio.sleep(AGAIN_S)
            raise

        def note(connection: sa.Connection) -> None:
            note_part(connection, part, due, now)

        await self._ledger.write(note)
