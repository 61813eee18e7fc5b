"""Measures `/v1/lift` over a million decisions, by `tests.bench.lift_speed`."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.bench import lift_speed
from tests.bench.guarantees_report import Figure, at_most, told

DECISIONS, CUSTOMERS, REQUESTS = 1_000_000, 100_000, 5


def run(decisions: int = DECISIONS, customers: int = CUSTOMERS) -> list[Figure]:
    """Run the benchmark of lift, and compare its medians."""
    with tempfile.TemporaryDirectory() as scratch:
        times = lift_speed.measure(Path(scratch), decisions, customers, REQUESTS)
    figures = []
    for name, took in times.items():
        asked = f"/v1/lift of {name}"
        median = statistics.median(took)
        figures.append(at_most(f"{asked}: median", median, lift_speed.MOST_S, "s", len(took)))
        figures.append(told(f"{asked}: longest", max(took), "s"))
    return figures
