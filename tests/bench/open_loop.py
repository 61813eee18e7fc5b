"""Sends decisions, events and outcomes to a server at a rate that does not depend on its answers.

    python -m tests.bench.open_loop PLAN

A process of its own, so that it does not share an interpreter with what it measures with. PLAN is a
JSON file, see `Plan`; the result is written beside it, see `Result`. A sender that waits for
answers would slow down with the server, and hide the waiting (Schroeder, Wierman and
Harchol-Balter, "Open versus closed", 2006).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

KINDS = ("decide", "events", "outcomes")
_PATHS = dict(zip(KINDS, ("/v1/decide", "/v1/events", "/v1/outcomes"), strict=True))
_TICK_S = 0.001
_PROBE = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
_OPENED_S = 60  # for all connections to be accepted: a server that is busy accepts one at a time
LAST_S = 12  # for the last answers; the server gives up after 10 s


@dataclass(frozen=True)
class Plan:
    """The load.

    Attributes
    ----------
    per_s
        Requests a second; 0 for as many as are answered on `connections` connections.
    mix
        How many of each of `KINDS` follow each other, such as 2 decisions, 1 event, 1 outcome.
    prefix
        Of all ids.
    token
        A key of the server; none is sent if it is empty.
    """

    port: int
    per_s: float
    seconds: float
    connections: int
    customers: list[str]
    event: dict[str, Any]
    outcome: str
    channel: str
    prefix: str
    mix: tuple[int, int, int] = (2, 1, 1)
    token: str = ""


class Answered(NamedTuple):
    """One request: its kind and id, the status (0 without an answer), and the times.

    Attributes
    ----------
    late_ms
        From when it was due until it was sent: the lag of this process.
    ms
        From when it was due until the whole answer had come.
    again
        Whether the answer has `Retry-After`.
    """

    kind: str
    id: str
    status: int
    late_ms: float
    ms: float
    again: bool


@dataclass
class Result:
    """All requests, the seconds of the load, and this process's share of a core.

    Attributes
    ----------
    unsent
        Requests that were due, while no connection was free.
    unanswered
        Requests without an answer at the end.
    """

    requests: list[Answered] = field(default_factory=list)
    seconds: float = 0.0
    cpu_share: float = 0.0
    unsent: int = 0
    unanswered: int = 0

    @staticmethod
    def read(path: Path) -> Result:
        """Read what `main` has written."""
        content = json.loads(path.read_text(encoding="utf-8"))
        requests = [Answered(*one) for one in content.pop("requests")]
        return Result(requests, **content)


class _Requests:
    """Makes the bytes of one request after the other."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        order = [kind for kind, times in zip(KINDS, plan.mix, strict=True) for _ in range(times)]
        self._order = order
        self._count = 0
        self.decided: deque[str] = deque()  # acknowledged, without an outcome
        key = f"authorization: Bearer {plan.token}\r\n" if plan.token else ""
        self._heads = {
            kind: f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{plan.port}\r\n{key}"
            "content-type: application/json\r\ncontent-length: "
            for kind, path in _PATHS.items()
        }
        now = datetime.now(UTC).isoformat()
        self._event = json.dumps({**plan.event, "occurred_at": now})[1:]

    def make(self) -> tuple[str, str, bytes]:
        """Return the kind, the id and the bytes of the next request."""
        number, plan = self._count, self._plan
        self._count += 1
        kind = self._order[number % len(self._order)]
        if kind == "outcomes" and not self.decided:
            kind = "decide"
        customer = plan.customers[number * 7919 % len(plan.customers)]
        made = f"{plan.prefix}-{number}"
        if kind == "decide":
            body = (
                f'{{"customer_id":"{customer}","channel":"{plan.channel}","decision_id":"{made}"}}'
            )
        elif kind == "events":
            body = f'{{"events":[{{"event_id":"{made}","customer_id":"{customer}",{self._event}]}}'
        else:
            decision = self.decided.popleft()
            body = (
                f'{{"decision_id":"{decision}","outcome":"{plan.outcome}","outcome_id":"{made}"}}'
            )
        return kind, made, f"{self._heads[kind]}{len(body)}\r\n\r\n{body}".encode()


class _Connection(asyncio.Protocol):
    """A connection with at most one request on its way."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self.transport: Any = None
        self.sent: tuple[str, str, float, float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(_PROBE)  # type: ignore[attr-defined]

    def send(self, kind: str, made: str, content: bytes, due: float) -> None:
        """Send a request that was due at this time."""
        self.sent = (kind, made, due, time.perf_counter())
        self.transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = buffer.find(b"content-length: ", 0, end) + 16
        if len(buffer) < end + 4 + int(buffer[at : buffer.index(b"\r", at)]):
            return
        self._buffer = b""
        if self.sent is None:  # of the probe
            self._load.opened(self)
            return
        self._load.answered(self, int(buffer[9:12]), b"retry-after" in buffer[:end])

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(self)


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = _Requests(plan)
        self._late = deque[float]()  # due times without a free connection
        self._waiting = 0  # requests that were sent and not answered
        self.free = deque[_Connection]()  # in turns, as the server closes those that idle for 5 s
        self.result = Result()

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_OPENED_S):
            for _ in range(self._plan.connections):
                await self._connect()
            while len(self.free) < self._plan.connections:
                await asyncio.sleep(0.01)
        began, cpu = time.perf_counter(), time.process_time()
        self._end = began + self._plan.seconds
        if self._plan.per_s:
            self._due = began
            self._tick(loop)
        else:
            while self.free:
                self._send(self.free.popleft(), time.perf_counter())
        await asyncio.sleep(self._plan.seconds)
        seconds = time.perf_counter() - began
        self.result.cpu_share = (time.process_time() - cpu) / seconds
        self.result.seconds = seconds
        last = time.perf_counter() + LAST_S
        while self._waiting and time.perf_counter() < last:
            await asyncio.sleep(0.05)
        self.result.unsent, self.result.unanswered = len(self._late), self._waiting
        return self.result

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._plan.port)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.perf_counter()
        if now >= self._end:
            return
        while self._due <= now:
            self._late.append(self._due)
            self._due += 1 / self._plan.per_s
        while self._late and self.free:
            self._send(self.free.popleft(), self._late.popleft())
        loop.call_later(_TICK_S, self._tick, loop)

    def _send(self, one: _Connection, due: float) -> None:
        kind, made, content = self._requests.make()
        self._waiting += 1
        one.send(kind, made, content, due)

    def opened(self, one: _Connection) -> None:
        """Use a connection that the server has accepted."""
        self.free.append(one)

    def answered(self, one: _Connection, status: int, again: bool) -> None:
        """Keep an answer; the connection is free for another request."""
        now = time.perf_counter()
        self._keep(one, status, again, now)
        if self._plan.per_s:
            self.free.append(one)
        elif now < self._end:
            self._send(one, now)

    def lost(self, one: _Connection) -> None:
        """Keep a request whose connection was closed as one without an answer."""
        if one.sent:
            self._keep(one, 0, False, time.perf_counter())
        if one in self.free:
            self.free.remove(one)
        self._opening = asyncio.ensure_future(self._connect())

    def _keep(self, one: _Connection, status: int, again: bool, now: float) -> None:
        assert one.sent is not None
        kind, made, due, sent = one.sent
        one.sent = None
        self._waiting -= 1
        times = ((sent - due) * 1000, (now - due) * 1000)
        self.result.requests.append(Answered(kind, made, status, *times, again))
        if status == 200 and kind == "decide":
            self._requests.decided.append(made)


def main() -> None:
    """Send the load of a plan, and write its result."""
    path = Path(sys.argv[1])
    plan = Plan(**json.loads(path.read_text(encoding="utf-8")))

    async def run() -> Result:
        return await _Load(plan).run()

    result = uvloop.run(run())
    path.with_suffix(".result.json").write_text(json.dumps(asdict(result)), encoding="utf-8")


if __name__ == "__main__":
    main()
