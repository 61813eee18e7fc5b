"""Measures `/v1/lift` over a million decisions of 100,000 customers, by `tests.bench.lift`."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.bench.guarantees_report import Figure, at_most, told
from tests.commands import ROOT

COMMAND = ("-m", "tests.bench.lift", "--decisions", "1000000", "--customers", "100000")
MOST_S = 0.3
REQUEST = re.compile(r"(/v1/lift of .*): median ([\d.]+) s, longest ([\d.]+) s")


def run() -> list[Figure]:
    """Run the benchmark of lift in a process of its own, and compare the medians it prints."""
    done = subprocess.run(
        [sys.executable, *COMMAND], cwd=ROOT, capture_output=True, text=True, check=False
    )
    figures = []
    for name, median, longest in REQUEST.findall(done.stdout):
        figures.append(at_most(f"{name}: median", float(median), MOST_S, "s"))
        figures.append(told(f"{name}: longest", float(longest), "s"))
    assert figures, (done.stdout + done.stderr)[-2000:]
    return figures
