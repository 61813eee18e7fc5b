"""Threads of their own for each kind of slow work, so that one kind cannot hold up another.

The default executor of asyncio has a few threads for everything. Six slow reads would take them
all, and requests and background tasks of every other kind would wait behind them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from features.errors import Overloaded

T = TypeVar("T")


class WorkPool:
    """The threads of one kind of work.

    Parameters
    ----------
    name : str
        Of the kind of work: named in errors, and in the names of the threads.
    threads : int
    most_waiting : int
        Calls that wait for a thread, at most.
    """

    def __init__(self, name: str, threads: int, most_waiting: int) -> None:
        self._name = name
        self._most = threads + most_waiting
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"nba-{name}")
        self._calls = 0  # that wait or run
        self._closed = False
        self._lock = threading.Lock()  # of `_calls`
        self._shared: dict[str, asyncio.Future[Any]] = {}

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in one of the threads; a call that is cancelled in time is not made.

        Raises
        ------
        Overloaded
            If too many calls wait already, or the pool was closed.
        """
        with self._lock:
            if self._closed:
                raise self._stopped()
            if self._calls >= self._most:
                raise self._overloaded()
            call: Future[T] = self._executor.submit(function, *arguments)
            self._calls += 1
        call.add_done_callback(self._end_call)
        try:
            return await asyncio.wrap_future(call)
        except asyncio.CancelledError:
            if self._closed and call.cancelled():
                raise self._stopped() from None
            raise

    async def share(self, key: str, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function, or wait for a call with the same key that is running already.

        A caller who hangs up does not stop the call, because others may wait for it.
        """
        running = self._shared.get(key)
        if running is None:
            running = asyncio.ensure_future(self.run(function, *arguments))
            self._shared[key] = running
            running.add_done_callback(partial(self._end_shared, key))
        return await asyncio.shield(running)

    def close(self) -> None:
        """Wait for the calls that run, and refuse those that wait."""
        with self._lock:
            self._closed = True
        self._executor.shutdown(cancel_futures=True)

    def _end_call(self, _: object) -> None:
        with self._lock:
            self._calls -= 1

    def _end_shared(self, key: str, ended: asyncio.Future[Any]) -> None:
        del self._shared[key]
        if not ended.cancelled():
            ended.exception()  # asyncio would log it if all callers have hung up

    def _stopped(self) -> Overloaded:
        return Overloaded(
            f"The server stops, and begins no more work for {self._name}.",
            expected="a server that runs",
            remedy="Send the same again in a second.",
        )

    def _overloaded(self) -> Overloaded:
        return Overloaded(
            f"{self._most} requests for {self._name} wait or are being answered by this worker.",
            expected="fewer at a time",
            remedy="Send the same again in a second.",
        )
