"""Sends requests to a server: at a steady rate whatever it does, or as fast as it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import NamedTuple

import numpy as np

from tests.server import Server

HEADERS = {"content-type": "application/json"}
STEADY_CONNECTIONS = 16
Request = tuple[str, bytes]  # path and body


class Sent(NamedTuple):
    """A request that was answered: its path, the status, and its time.

    Attributes
    ----------
    due_s : on the monotonic clock, when it was due
    ms : from then until it was answered, whether or not a connection was free
    """

    path: str
    status: int
    due_s: float
    ms: float


def ask(connection: HTTPConnection, request: Request) -> tuple[int, bytes]:
    """Send a request and read its answer; the status and the body."""
    path, body = request
    connection.request("POST", path, body, HEADERS)
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextmanager
def beside(threads: Sequence[threading.Thread], over: threading.Event) -> Iterator[None]:
    """Run threads for the length of the block; ``over`` tells them that it has ended."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def steady(server: Server, per_s: float, request: Callable[[int], Request]) -> Iterator[list[Sent]]:
    """Send ``request(0)``, ``request(1)`` and so on at a fixed rate for the length of the block.

    The list is complete when the block has ended. A request without an answer has status 0.
    """
    sent: list[Sent] = []
    numbers, begin, over = count(), time.monotonic() + 0.1, threading.Event()

    def call() -> None:
        connection = server.connect()
        while not over.is_set():
            number = next(numbers)
            due = begin + number / per_s
            if over.wait(max(0.0, due - time.monotonic())):
                return
            path, body = request(number)
            try:
                status, _ = ask(connection, (path, body))
            except (OSError, HTTPException):
                connection, status = server.connect(), 0
            sent.append(Sent(path, status, due, (time.monotonic() - due) * 1000))

    threads = [threading.Thread(target=call) for _ in range(STEADY_CONNECTIONS)]
    with beside(threads, over):
        yield sent


def hammer(
    server: Server,
    connections: int,
    seconds: float,
    request: Callable[[np.random.Generator], Request],
    holds: Callable[[bytes], bool] = lambda body: True,
) -> list[float]:
    """Send requests on several connections, each as soon as the one before is answered.

    The connections are opened before, one after the other, so that no worker gets all of them.

    Parameters
    ----------
    holds
        Whether the body of an answer is right.

    Returns
    -------
    list of float
        The time of each request in milliseconds.
    """
    times: list[float] = []
    failed: list[object] = []
    opened = [_opened(server) for _ in range(connections)]
    end = time.monotonic() + seconds

    def call(number: int) -> None:
        rng = np.random.default_rng([number, connections])
        try:
            while time.monotonic() < end:
                one = request(rng)
                began = time.perf_counter()
                status, body = ask(opened[number], one)
                times.append((time.perf_counter() - began) * 1000)
                assert status == 200 and holds(body), (status, body)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in opened:
        connection.close()
    assert not failed, failed[:3]
    return times


def _opened(server: Server) -> HTTPConnection:
    connection = server.connect()
    connection.request("GET", "/livez")
    connection.getresponse().read()
    return connection
