"""Measures the time that `nba build` takes over ledgers of growing size.

    make bench-history

Each ledger is made up here (the grocer's event types, seeded), then built by the real command.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from features.ledger.ledger import Ledger

GIB = 2**30
EACH = 100  # events of a customer
YEAR_US = 365 * 86_400_000_000
MISSIONS = ("fuel", "stock_up", "drug_gm", "fresh", "fill_in")
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="*", default=[1, 3, 10])
    asked = parser.parse_args()
    table = Table("events", "customers", "seconds", "us an event", "GiB at the peak")
    for millions in asked.millions:
        with tempfile.TemporaryDirectory() as scratch:
            home = Path(scratch)
            customers = int(millions * 1_000_000 / EACH)
            out.print(f"making up {customers * EACH:,} events ...")
            _fill(home, customers)
            seconds, peak = _build(home)
        events = customers * EACH
        row = (f"{seconds:.0f}", f"{seconds / events * 1e6:.1f}", f"{peak / GIB:.2f}")
        table.add_row(f"{events:,}", f"{customers:,}", *row)
    out.print(table)
    out.print("Allowed: 240 s and 6 GiB for 10 million events of 100,000 customers on 2 cores.")


def _fill(home: Path, customers: int) -> None:
    url = f"sqlite:///{home / 'ledger.db'}"
    Ledger(url).close()
    rng = np.random.default_rng(7)
    end_us = int(datetime.now(UTC).timestamp() * 1e6)
    with closing(sqlite3.connect(home / "ledger.db")) as opened:
        opened.execute("PRAGMA synchronous=OFF")
        opened.executemany(
            "INSERT INTO events (customer_id, occurred_at, event_id, subject, type, channel,"
            " properties) VALUES (?, ?, ?, ?, ?, ?, ?)",
            _events(customers, rng, end_us),
        )
        opened.commit()


def _events(customers: int, rng: np.random.Generator, end_us: int) -> Iterator[tuple[object, ...]]:
    kinds = [("basket", "shop", text) for text in _baskets(rng)]
    kinds += [
        ("visit", "web", "{}"),
        ("page_view", "app", "{}"),
        ("call", "call_centre", "{}"),
    ] * 16
    for customer in range(customers):
        name = f"c{customer:07}"
        at = np.sort(end_us - rng.integers(0, YEAR_US, EACH)).tolist()
        picked = rng.integers(0, len(kinds), EACH).tolist()
        for number, (at_us, index) in enumerate(zip(at, picked, strict=True)):
            yield (name, at_us, f"{name}-{number:04}", name, *kinds[index])


def _baskets(rng: np.random.Generator) -> list[str]:
    """Make the properties of a hundred different receipts."""
    found = []
    for _ in range(100):
        amount = float(np.round(rng.gamma(2.0, 15.0), 2))
        kept = {"amount_usd": amount, "items": float(rng.integers(1, 40)), "coupon_usd": 0.0}
        kept |= {"discount_usd": 1.5, "fresh_usd": amount / 4, "drug_gm_usd": 0.0, "fuel_usd": 0.0}
        found.append(json.dumps(kept | {"mission": str(rng.choice(MISSIONS)), "shop": "319"}))
    return found


def _build(home: Path) -> tuple[float, int]:
    """Run `nba build`; its seconds, and the peak memory of it and its processes together."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NBA_")}
    command = [str(Path(sys.executable).with_name("nba")), "build"]
    began = time.perf_counter()
    process = subprocess.Popen(command, env={**clean, "NBA_HOME": str(home)})
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    assert process.wait() == 0
    seconds = time.perf_counter() - began
    watcher.join()
    return seconds, peak[0]


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for one in [root, *_children(root)]:
            try:
                total += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak[0] = max(peak[0], total)
        time.sleep(0.1)


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


if __name__ == "__main__":
    main()
