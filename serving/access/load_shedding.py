"""Load shedding: a worker takes on what it can answer soon, and refuses the rest at once.

A request waits as long as those before it take. By Little's law (1961) that is their number divided
by the requests that the worker ends in a second. So the number that may be in the worker follows
from the time that a request may wait, and from the rate that is measured while several requests
are there. The rate adapts to the machine, to the kind of requests, and to a ledger that is locked.
"""

from __future__ import annotations

import asyncio
from collections import deque

from features.errors import Overloaded
from serving.access.throughput import Throughput

WAIT_S = 0.2  # the mean time of a request in a full worker; the 99th percentile is twice that
FEWEST = 32  # requests that may be in the worker at any rate
MOST = 1_000
RETRY_AFTER_S = 1
# Slow requests, which wait in the pools of `serving.server.work_pools`; each pool has a bound.
IN_POOLS = frozenset(
    (
        *("/v1/customer", "/v1/explain", "/v1/forget", "/v1/guardrails"),
        *("/v1/guardrails/lift", "/v1/journeys", "/v1/lift"),
        *("/v1/merge_candidates", "/v1/replay"),
    )
)
PER_TURN = 1  # requests that begin in one turn of the event loop; a decision takes 2 ms of it


class LoadShedding:
    """Bounds the requests that are in one worker, and how many begin in a turn of its event loop.

    A request is read, or refused, between two turns of the event loop. If all requests that wait
    began in one turn, it would take `WAIT_S`.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._throughput = Throughput()
        self._begun = 0  # in this turn
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def is_full(self, path: str, now_s: float) -> bool:
        """Say if a request must be refused; what is no route of the API is never refused."""
        if self._inside < FEWEST or path in IN_POOLS or not path.startswith("/v1/"):
            return False
        return self._inside >= min(MOST, self._throughput.per_s(now_s) * WAIT_S)

    async def begin(self, path: str, now_s: float) -> None:
        """Count a request, and wait for a turn of the event loop that begins it."""
        if path in IN_POOLS:
            return
        self._inside += 1
        self._throughput.note(now_s, self._inside)
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)
        if self._begun < PER_TURN and not self._waiting:
            self._begun += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._inside -= 1
            raise

    def end(self, path: str, now_s: float) -> None:
        """Count a request that `begin` has begun as ended."""
        if path not in IN_POOLS:
            self._inside -= 1
            self._throughput.note(now_s, self._inside, ended=1)

    def _turn(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < PER_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # a caller who hung up has cancelled it
                turn.set_result(None)
                self._begun += 1
        self._turning = bool(self._begun)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)


def too_many() -> Overloaded:
    """Say that the worker has taken on what it can answer soon."""
    return Overloaded(
        "This worker has taken on what it can answer soon; nothing was done with this request.",
        expected="fewer at a time",
        remedy=f"Send the same again after {RETRY_AFTER_S} s, or start more workers.",
    )
