"""Floods for `tests.fuzz`: lines that are no HTTP, made-up paths, and the memory that they cost."""

from __future__ import annotations

import random
import socket
from collections import Counter
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import quote

from tests.server import Server

NO_HTTP = (
    b"\x00\x01\x02\x03\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/decide HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    b"POST /v1/decide HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}",
    b"POST /v1/decide HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /%00%ff%2e%2e/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789/._-~%äß\u4e2d "


@dataclass(frozen=True)
class Paths:
    """Requests to paths that do not exist: their statuses, and what they left behind."""

    statuses: Counter[int]
    grown_mb: float
    metrics_grown: int

    def __str__(self) -> str:
        counts = ", ".join(f"{status}: {n:,}" for status, n in sorted(self.statuses.items()))
        return (
            f"Made-up paths: {self.statuses.total():,} ({counts}), {self.grown_mb:+.1f} MB, "
            f"{self.metrics_grown:+,} bytes in /metrics."
        )


def memory_mb(server: Server) -> float:
    """The resident memory of all workers."""
    return float(sum(worker.memory_info().rss for worker in server.workers())) / 2**20


def garbage(server: Server) -> list[str]:
    """Send lines that are no HTTP; returns the answers that are not a refusal."""
    wrong = []
    for sent in NO_HTTP:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(4096)
            except OSError:  # the server hung up
                continue
        status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/") else b"-"
        if answer and not (status.startswith(b"4") or sent.startswith(b"GET / ")):
            wrong.append(f"{sent[:60]!r} was answered by {answer[:60]!r}")
    if server.get("/livez")[0] != 200:
        wrong.append("The server does not answer after lines that are no HTTP")
    return wrong


def make_up_paths(server: Server, count: int, key: str, seed: int) -> Paths:
    """Ask for paths that do not exist, each another one; every second with a key."""
    draw = random.Random(seed)
    metrics = _metrics_length(server)
    at_first, statuses = memory_mb(server), Counter[int]()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    for number in range(count):
        name = "".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 60)))
        path = f"/{draw.choice(('', 'v1/', 'console/'))}{number}{quote(name, safe='/')}"
        headers = {"authorization": f"Bearer {key}"} if number % 2 else {}
        method = draw.choice(("GET", "GET", "POST", "PUT", "BREW"))
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1
    connection.close()
    return Paths(statuses, memory_mb(server) - at_first, _metrics_length(server) - metrics)


def _metrics_length(server: Server) -> int:
    status, text = server.get("/metrics")
    assert status == 200, text
    return len(text)
