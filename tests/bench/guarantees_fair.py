"""Measures whether two workers serve all connections alike, and as many requests as one worker."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.bench.guarantees_home import Home, grocer
from tests.bench.guarantees_identifiers import customers_of, decide
from tests.bench.guarantees_load import Request, hammer
from tests.bench.guarantees_report import Figure, at_least, at_most, told
from tests.server import Server, running

LONGEST_MS, TIMES_THE_MEDIAN, SHARE_OF_ONE = 1000.0, 10.0, 0.95


class FairSize(NamedTuple):
    """The connections, and the seconds of load on two workers; half of it on one, twice."""

    connections: int
    seconds: float


FULL, SMALL = FairSize(32, 30), FairSize(32, 2)


def run(size: FairSize = FULL) -> list[Figure]:
    """Compare two workers with one worker before and one after, in copies of the grocery's home."""
    with tempfile.TemporaryDirectory() as scratch:
        home = grocer(Path(scratch))
        return measure(home, customers_of(home), size)


def measure(home: Home, customers: Sequence[str], size: FairSize) -> list[Figure]:
    """Compare two workers with one worker before and one after."""
    half = FairSize(size.connections, size.seconds / 2)
    times: dict[str, list[float]] = {}
    for turn, (workers, load) in enumerate([("1", half), ("2", size), ("1", half)]):
        copied = home.copy(home.path.with_name(f"turn-{turn}"))
        with running(copied.path, {**copied.env, "NBA_WORKERS": workers}) as server:
            if workers == "2":
                server.wait_for(lambda server=server: len(server.workers()) == 2)
            hammer(server, load.connections, 1, _decisions(customers))  # to warm up
            found = hammer(server, load.connections, load.seconds, _decisions(customers))
            times.setdefault(workers, []).extend(found)
    one, two = (len(times[workers]) / size.seconds for workers in ("1", "2"))
    return [
        *longest(times["2"]),
        told("one worker: requests", one, "a second"),
        at_least("two workers: requests", two, SHARE_OF_ONE * one, "a second"),
    ]


def load_two_workers(server: Server, customers: Sequence[str], size: FairSize) -> list[Figure]:
    """Load a running server of two workers, without a comparison with one."""
    times = hammer(server, size.connections, size.seconds, _decisions(customers))
    name = f"{len(times):,} decisions: longest"
    limit = max(2 * LONGEST_MS, 4 * TIMES_THE_MEDIAN * float(np.median(times)))
    # Other load slows all requests, but it does not let one wait while the others pass.
    wide = at_most(f"{name}, wide limit", max(times), limit, "ms")._replace(speed=False)
    return [*longest(times), wide]


def longest(times: Sequence[float]) -> list[Figure]:
    """Compare the longest request with the median and with a second."""
    median = float(np.median(times))
    name = f"two workers, {len(times):,} decisions"
    return [
        told(f"{name}: median", median, "ms"),
        told(f"{name}: p99", float(np.percentile(times, 99)), "ms"),
        at_most(
            f"{name}: longest, ten times the median", max(times), TIMES_THE_MEDIAN * median, "ms"
        ),
        at_most(f"{name}: longest, a second", max(times), LONGEST_MS, "ms"),
    ]


def _decisions(customers: Sequence[str]) -> Callable[[np.random.Generator], Request]:
    """Make a function that asks for a decision about a random customer."""
    return lambda rng: decide(customers[int(rng.integers(len(customers)))])
