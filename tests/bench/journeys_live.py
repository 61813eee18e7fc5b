"""Measures how fresh journeys are under load, and what a recount costs decisions.

    python -m tests.bench.journeys_live

The business is that of `tests.bench.journeys`. Events come at a fixed rate. Every second a new
customer does something, and it is measured when the journeys have it. Then decisions are asked for
with and without a recount beside them, in turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from features.analytics.upkeep.kept_state import FOLDER, open_journeys, read_state
from features.business.domain import Domain
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from tests.bench.journeys import CHANNELS, PLAIN, make_ledger, shop
from tests.commands import nba
from tests.server import Server, running

BATCH = 20  # events of a request
WITHIN_S = 60.0
BUILT_WITHIN_S = 900.0
MOST_RATIO = 1.5
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000, help="each with 100 events")
    parser.add_argument("--rate", type=float, default=2_000.0, help="events in a second")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the load")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home, env, domain = make_home(Path(scratch), asked.customers)
        ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
        with running(home, env) as server:
            server.wait_for(lambda: ledger.read(read_state), BUILT_WITHIN_S)
            show_freshness(server, ledger, domain, home, asked)
            show_decisions(server, env, asked.customers, asked.turns)
        ledger.close()


def make_home(scratch: Path, customers: int) -> tuple[Path, dict[str, str], Domain]:
    """Make the ledger and the online store of the business."""
    home = scratch / "home"
    home.mkdir()
    make_ledger(home, customers)
    content = shop().model_dump(mode="json", by_alias=True, exclude_defaults=True)
    env = {
        "NBA_HOME": str(home),
        "NBA_DOMAIN": str(scratch / "domain.yaml"),
        "NBA_ACTIONS": str(scratch / "actions.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{scratch / 'mlflow.db'}",
        "NBA_LEARNER": "false",
        "NBA_JOURNEYS": "true",
        "NBA_REQUESTS_PER_S": "1000000",
    }
    Path(env["NBA_DOMAIN"]).write_text(yaml.safe_dump(content), encoding="utf-8")
    Path(env["NBA_ACTIONS"]).write_text(yaml.safe_dump(catalog()), encoding="utf-8")
    done = nba(["build"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    return home, env, open_domain(Path(env["NBA_DOMAIN"]))


def catalog() -> dict[str, Any]:
    """Describe ten actions."""
    action = {
        "issue": "serve",
        "group": "offers",
        "value": 1,
        "cost": 0,
        "attribution_days": 7,
        "prior": {"acceptance": 0.1},
        "treatments": {channel: {"title": "Offer"} for channel in CHANNELS},
    }
    return {
        "outcomes": {"accepted": {"acceptance": 1}, "rejected": {"acceptance": 0}},
        "arms": {"random": 0, "nobody": 0},
        "groups": {"offers": {"kind": "other"}},
        "actions": {f"offer_{number}": action for number in range(10)},
    }


def show_freshness(
    server: Server, ledger: Ledger, domain: Domain, home: Path, asked: argparse.Namespace
) -> None:
    """Measure the time from an event to the journeys that have it."""
    probes: dict[str, float] = {}
    seen: dict[str, float] = {}
    with load(server, asked.customers, asked.rate) as sent:
        began = time.monotonic()
        version, probe = -1, server.again()
        while (left := began + asked.seconds - time.monotonic()) > -WITHIN_S:
            if left > 0:
                name = f"probe{len(probes):05}"
                probes[name] = time.monotonic()
                send(probe, [event(name, 0)])
            version = look(ledger, domain, home, version, seen)
            if left < 0 and len(seen) == len(probes):
                break
            time.sleep(1.0)
        rate = sent() / (time.monotonic() - began)
    took = [seen.get(name, np.inf) - at for name, at in probes.items()]
    table = Table("event to page", "measured", "at most")
    table.add_row("events in a second", f"{rate:,.0f}", "")
    table.add_row("median", f"{np.median(took):.1f} s", "")
    table.add_row("longest", f"{max(took):.1f} s", f"{WITHIN_S:g} s")
    out.print(table)


def look(ledger: Ledger, domain: Domain, home: Path, version: int, seen: dict[str, float]) -> int:
    """Note the probes that the journeys have; return the version that was looked at."""
    state = ledger.read(read_state)
    if state is None or state.version == version:
        return version
    data = open_journeys(ledger, domain, home / FOLDER)
    if data is None:
        return version
    with data:
        found = data.rows("SELECT DISTINCT customer_id FROM journeys WHERE customer_id >= 'probe'")
    for (name,) in found:
        seen.setdefault(name, time.monotonic())
    return state.version


@contextmanager
def load(server: Server, customers: int, rate: float) -> Iterator[Callable[[], int]]:
    """Send events at a rate, on eight connections; yields a function that counts them."""
    ended, counts = threading.Event(), [0] * 8

    def call(number: int) -> None:
        rng, mine = np.random.default_rng(number), server.again()
        due = time.monotonic()
        while not ended.is_set():
            due += BATCH * len(counts) / rate
            time.sleep(max(due - time.monotonic(), 0.0))
            who = rng.integers(customers, size=BATCH).tolist()
            what = rng.integers(PLAIN, size=BATCH).tolist()
            send(mine, [event(f"c{one:07}", kind) for one, kind in zip(who, what, strict=True)])
            counts[number] += BATCH

    with ThreadPoolExecutor(len(counts)) as pool:
        running = [pool.submit(call, number) for number in range(len(counts))]
        try:
            yield lambda: sum(counts)
        finally:
            ended.set()
        for one in running:
            one.result()


def event(customer_id: str, kind: int) -> dict[str, Any]:
    return {
        "event_id": uuid.uuid4().hex,
        "type": f"step_{kind:02}",
        "channel": "web",
        "occurred_at": datetime.now(UTC).isoformat(),
        "customer_id": customer_id,
    }


def send(server: Server, events: list[dict[str, Any]]) -> None:
    status, answer = server.post("/v1/events", {"events": events})
    assert (status, answer["accepted"]) == (200, len(events)), answer


def show_decisions(server: Server, env: dict[str, str], customers: int, turns: int) -> None:
    """Ask for decisions beside a recount, and as long without one, in turns."""
    decide(server, customers, lambda passed_s: passed_s < 5.0)  # warm
    table, ratios = Table("decide", "p50", "p99", "p99 with a recount", "ratio"), []
    for number in range(turns):
        began = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "serving.journeys.process", "--recount"],
            env={**os.environ, **env},
        )
        beside = decide(server, customers, lambda _, child=child: child.poll() is None)  # type: ignore[misc]
        took_s = time.monotonic() - began
        assert child.returncode == 0
        alone = decide(server, customers, lambda passed_s, most=took_s: passed_s < most)  # type: ignore[misc]
        p50, p99, with_recount = *np.percentile(alone, [50, 99]), np.percentile(beside, 99)
        ratios.append(with_recount / p99)
        figures = (f"{one:.1f} ms" for one in (p50, p99, with_recount))
        table.add_row(f"turn {number + 1}, {took_s:.0f} s", *figures, f"{ratios[-1]:.2f}")
    out.print(table)
    out.print(f"Median of the ratios: {np.median(ratios):.2f}; at most {MOST_RATIO:g} is asked.")


def decide(server: Server, customers: int, goes_on: Callable[[float], bool]) -> list[float]:
    """Ask for decisions one after the other; the milliseconds of each."""
    rng, mine, times = np.random.default_rng(9), server.again(), list[float]()
    began = time.monotonic()
    while goes_on(time.monotonic() - began):
        asked = {"customer_id": f"c{rng.integers(customers):07}", "channel": "web"}
        at = time.perf_counter()
        status, answer = mine.post("/v1/decide", asked)
        times.append(1000 * (time.perf_counter() - at))
        assert status == 200, answer
    return times


if __name__ == "__main__":
    main()
