"""Measures the speed of /v1/decide against a no-op endpoint of the same server, in one run.

    make bench
    python -m tests.bench.decide --keys

Requests to the two endpoints take turns, so that other load on the machine slows both.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil
import sqlalchemy as sa
import yaml
from rich.console import Console
from rich.table import Table

from features.clock import utc_now
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import load_settings
from serving.access.keys import add_key
from serving.access.scopes import KeyScope
from tests.server import Server, running

MB = 2**20
ACTIONS = 30
HEADERS = {"content-type": "application/json"}
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="of each kind, one connection")
    parser.add_argument("--seconds", type=float, default=10, help="for each kind, 16 connections")
    parser.add_argument("--keys", action="store_true", help="add a key, and send it")
    asked = parser.parse_args()
    settings = load_settings()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"  # a copy: a benchmark must not fill the real ledger
        shutil.copytree(settings.home, home)
        env = {
            "NBA_NOOP": "true",
            "NBA_REQUESTS_PER_S": "1000000",
            "NBA_ACTIONS": str(_thirty_actions(Path(scratch), settings.actions)),
            "NBA_MLFLOW_URI": settings.mlflow_uri,
            "NBA_MLFLOW_ARTIFACTS": str(settings.mlflow_artifacts),
        }
        url = f"sqlite:///{home / 'ledger.db'}"
        customers = _customers(url)
        if asked.keys:
            HEADERS["authorization"] = f"Bearer {_key(url)}"
        with running(home, env) as server:
            _starting(server)
            _one_connection(server, customers, asked.requests)
            _many_connections(server, customers, asked.seconds)
            _starting(server, "after the load")


def _thirty_actions(folder: Path, packaged: Path) -> Path:
    """The packaged catalogue with its actions repeated until there are 30 for the app."""
    content = yaml.safe_load(packaged.read_text(encoding="utf-8"))
    templates = [kept for kept in content["actions"].items() if "app" in kept[1]["treatments"]]
    content["actions"] = dict(templates)
    for number in range(len(templates), ACTIONS):
        name, action = templates[number % len(templates)]
        content["actions"][f"{name}_{number}"] = {**action, "value": action["value"] * 0.9}
    path = folder / "thirty.actions.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _customers(url: str) -> list[str]:
    ledger = Ledger(url)
    query = sa.select(tables.customers.c.customer_id).order_by(tables.customers.c.customer_id)
    found = ledger.read(lambda connection: list(connection.execute(query).scalars()))
    ledger.close()
    return found


def _key(url: str) -> str:
    """Add a key to the ledger; its token."""
    ledger = Ledger(url)
    token = add_key(ledger, "bench", list(KeyScope), utc_now())
    ledger.close()
    return token


def _starting(server: Server, when: str = "at rest") -> None:
    (worker,) = server.workers()
    memory = worker.memory_info().rss / MB
    out.print(
        f"Worker ready after {server.ready_after_s:.1f} s (20 allowed); "
        f"{memory:.0f} MB resident {when} (500 allowed)."
    )


def _body(customer: str) -> str:
    return f'{{"customer_id": "{customer}", "channel": "app"}}'


def _post(connection: HTTPConnection, path: str, body: str) -> float:
    began = time.perf_counter()
    connection.request("POST", path, body, HEADERS)
    answer = connection.getresponse()
    said = answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, (answer.status, said)
    return took * 1000


def _one_connection(server: Server, customers: list[str], requests: int) -> None:
    connection = server.connect()
    times: dict[str, list[float]] = {"/v1/noop": [], "/v1/decide": []}
    for number in range(requests + 200):
        body = _body(customers[number % len(customers)])
        for path, took in times.items():
            ms = _post(connection, path, body)
            if number >= 200:  # the first ones warm caches up
                took.append(ms)
    table = Table("one connection, ms", "p50", "p99", "p99.9", "max")
    for path, took in times.items():
        figures = [*np.percentile(took, [50, 99, 99.9]), max(took)]
        table.add_row(path, *(f"{figure:.2f}" for figure in figures))
    out.print(table)
    noop, decide = (float(np.median(took)) for took in times.values())
    out.print(f"p50 ratio decide / no-op: {decide / noop:.2f} (2.5 allowed)")
    out.print(f"p50 of decide less that of the no-op: {decide - noop:.2f} ms")


def _many_connections(server: Server, customers: list[str], seconds: float) -> None:
    rates = {path: _rate(server, path, customers, seconds) for path in ("/v1/noop", "/v1/decide")}
    table = Table("16 connections", "requests/s")
    for path, rate in rates.items():
        table.add_row(path, f"{rate:.0f}")
    out.print(table)
    out.print(f"rate ratio decide / no-op: {rates['/v1/decide'] / rates['/v1/noop']:.2f}")


def _rate(server: Server, path: str, customers: list[str], seconds: float) -> float:
    counts = [0] * 16
    end = time.monotonic() + seconds

    def call(number: int) -> None:
        connection = server.connect()
        while time.monotonic() < end:
            _post(connection, path, _body(customers[(counts[number] * 16 + number) % 2000]))
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


if __name__ == "__main__":
    out.print(f"{psutil.cpu_count()} cores")
    main()
