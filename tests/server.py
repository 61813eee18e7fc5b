"""A real server process for tests and benchmarks: started, waited for, stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

from features.ledger.ledger import Ledger
from tests import planted
from tests.commands import ROOT
from tests.fast_mode import refuse_in_fast_mode

READY_WITHIN_S = 60.0


@dataclass
class Server:
    """A started server and how to talk to it."""

    process: subprocess.Popen[bytes]
    port: int
    ready_after_s: float
    log: Path

    def __post_init__(self) -> None:
        self._connection: HTTPConnection | None = None
        self.headers: dict[str, str] = {}  # sent with every request, such as a key

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """Send JSON (or raw bytes), keeping the connection open; status and parsed answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask("POST", path, content)

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, content: bytes | None) -> tuple[int, Any]:
        fresh = self._connection is None
        if self._connection is None:
            self._connection = self.connect()
        json_type = {"content-type": "application/json"} if content is not None else {}
        headers = {**self.headers, **json_type}
        try:
            self._connection.request(method, path, content, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException):
            self._connection = None
            if fresh:
                raise
            # The server closes connections that were idle for long; that is no failure.
            return self._ask(method, path, content)
        if answer.will_close:
            self._connection = None
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode()

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=30)

    def again(self) -> Server:
        """The same server over a connection of one's own, for a thread or a worker."""
        other = Server(self.process, self.port, 0.0, self.log)
        other.headers = self.headers
        return other

    def place(self) -> tuple[int, int]:
        """The worker that answers here, and the local port. While both stay the same, the
        connection is the same."""
        if self._connection is None or self._connection.sock is None:
            assert self.get("/livez")[0] == 200
        assert self._connection is not None and self._connection.sock is not None
        ours = int(self._connection.sock.getsockname()[1])
        for worker in self.workers():
            if any(one.raddr and one.raddr.port == ours for one in worker.net_connections("tcp")):
                return worker.pid, ours
        raise AssertionError(f"no worker holds the connection from port {ours}")

    def of_each_worker(self, count: int) -> list[Server]:
        """A connection to each worker; it stays there for as long as it is kept open."""
        found: dict[int, Server] = {}
        spare: list[Server] = []  # held open, so that the busy worker is not the only one to accept

        def another() -> bool:
            one = self.again()
            found.setdefault(one.place()[0], one)
            spare.append(one)
            return len(found) == count

        self.wait_for(lambda: len(self.workers()) == count)
        self.wait_for(another)
        for one in spare:
            if one not in found.values() and one._connection is not None:
                one._connection.close()
        return list(found.values())

    def workers(self) -> list[psutil.Process]:
        """The worker processes, without the supervisor and the learner."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in children if any("worker" in part for part in p.cmdline())]

    def wait_for(self, holds: Any, within_s: float = 20.0) -> Any:
        """Ask again until ``holds()`` is true; its value. Fails with the server's log."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            if value := holds():
                return value
            time.sleep(0.05)
        raise AssertionError(f"Not within {within_s} s. The server said:\n{self.log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    home: Path,
    env: Mapping[str, str],
    target: str = "serving.service:NextBestAction",
    cwd: Path = ROOT,
    host: str = "127.0.0.1",
    by_nba: bool = False,
) -> Server:
    """Start a server on a free port, by BentoML or by `nba serve`, and wait until it is ready."""
    refuse_in_fast_mode("a server")
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / f"server-{port}.log"
    ours = ("NBA_", "OPENBLAS_")  # as a person would start it
    kept = {"NBA_JOURNEYS"}  # the tests switch it off, the benchmarks leave it on
    clean = {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(ours)
    }
    command = [sys.executable, "-m", "bentoml", "serve", target, "--port", str(port)]
    if by_nba:
        command = [str(Path(sys.executable).with_name("nba")), "serve"]
    with log.open("wb") as file:
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, "--host", host],
            env={**clean, **_of_its_own(home), "NBA_HOME": str(home), "NBA_PORT": str(port), **env},
            cwd=cwd,
            stdout=file,
            stderr=subprocess.STDOUT,
            umask=0o022,  # the usual one: the server itself keeps its files private
        )
    server = Server(process, port, 0.0, log)
    while time.monotonic() - began < READY_WITHIN_S and process.poll() is None:
        try:
            if server.get("/readyz")[0] == 200:
                server.ready_after_s = time.monotonic() - began
                return server
        except (OSError, HTTPException):
            pass
        time.sleep(0.05)
    _end(server)
    raise AssertionError(f"The server did not start. It said:\n{log.read_text()}")


def _of_its_own(home: Path) -> dict[str, str]:
    """BentoML's files: a server that starts clears away the metrics of all others beside it."""
    return {"BENTOML_HOME": str(home / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}


def metrics_of(server: Server) -> str:
    """The text of `/metrics`; empty if the server does not answer any more."""
    try:
        status, text = server.again().get("/metrics")
    except (OSError, HTTPException):
        return ""
    return str(text) if status == 200 else ""


def stop(server: Server) -> None:
    """Stop it and everything it started; no planted value may be in its logs and metrics."""
    metrics = metrics_of(server) if server.process.poll() is None else ""
    _end(server)
    planted.check(metrics, server.log)


def _end(server: Server) -> None:
    try:
        family = psutil.Process(server.process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    server.process.terminate()
    try:
        server.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    for process in alive:
        process.kill()


@contextmanager
def running(home: Path, env: Mapping[str, str] | None = None, **more: Any) -> Iterator[Server]:
    """A server for the length of a ``with`` block."""
    server = start(home, env or {}, **more)
    try:
        yield server
    finally:
        stop(server)


@contextmanager
def two_workers(home: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """A server with two workers, as a busy shop would have."""
    with running(home, {**env, "NBA_WORKERS": "2"}) as started:
        started.wait_for(lambda: len(started.workers()) == 2)
        yield started


@contextmanager
def ledger_of(home: Path) -> Iterator[Ledger]:
    """The ledger of a server, seen from outside."""
    opened = Ledger(f"sqlite:///{home / 'ledger.db'}")
    yield opened
    opened.close()
