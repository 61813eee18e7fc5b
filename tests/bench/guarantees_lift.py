"""Measures `/v1/lift` over a million decisions: the figures of `tests.bench.lift`."""

from __future__ import annotations

import subprocess
import sys

from tests.bench.guarantees_report import Figure, out
from tests.commands import ROOT


def run() -> list[Figure]:
    """Run the benchmark of lift in a process of its own; it fails if its figures are short."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.lift"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    out.print(done.stdout, markup=False)
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    said = " ".join(last)[:200]
    return [Figure("/v1/lift over 1,000,000 decisions", said, "exit code 0", not done.returncode)]
