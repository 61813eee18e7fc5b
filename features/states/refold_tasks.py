"""Folds long histories in a thread, beside an event loop; callers of one customer share the work.

Each step folds some hundred events. The steps of several customers take turns in one thread, so a
short history does not wait for a long one.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from features.ledger.ledger import Ledger
from features.states.journey_states import JourneyStates
from features.states.publishing import finish
from features.states.refolding import CannotFold, Refold


class RefoldTasks:
    """The histories that are being folded, one task for each customer or account."""

    def __init__(self, ledger: Ledger, states: JourneyStates) -> None:
        self._ledger = ledger
        self._states = states
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refold")

    async def run(self, key: str) -> None:
        """Fold a customer or account without the ledger's lock, and store the state.

        The state may still wait afterwards, if many events came meanwhile.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(self._fold(key))
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        await asyncio.shield(task)

    def close(self) -> None:
        """Stop the thread after the step that it runs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _fold(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        refold, problem = Refold(self._ledger, self._states.fold, key), None
        try:
            while await loop.run_in_executor(self._thread, refold.step):
                if refold.is_due:
                    if not await self._ledger.write(refold.commit, begun=True):
                        return  # the past has changed: the caller begins again
                    refold.go_on()
        except CannotFold as error:
            problem = error
        store = partial(finish, states=self._states, key=key, refold=refold, error=problem)
        await self._ledger.write(store, begun=True)
