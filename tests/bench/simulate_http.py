"""Plays a simulated world on a started server, and holds the reported lift against the truth.

A server with a simulated clock, and arms of 25 % each for random and nobody. The customers of the
world send events, requests and outcomes over HTTP, and the server settles each night. Afterwards
`/v1/lift` is held against the truth: the same customers in the same world, in which everybody is
in the other arm (common random numbers).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from serving.cli.simulation.play import ServerResult, play_on_server
from serving.cli.simulation.tables import print_server
from serving.cli.terminal import out, progress
from tests.server import running
from tests.simulated_home import make_home
from training.simulation.businesses import BUSINESSES

CUSTOMERS, DAYS, SHARE = 1_000, 40, 0.25
SEED = 20_001  # looked at only to report
EXAMPLES = """examples:
  python -m tests.bench.simulate_http                               1,000 customers, 40 days
  python -m tests.bench.simulate_http --customers 200 --days 10     a small one
  python -m tests.bench.simulate_http --workers 2 --seed 20002
"""


def failures(result: ServerResult) -> list[str]:
    """Say what must not be: caps exceeded, sums that differ, a truth outside, a loss."""
    found = []
    if result.caps_broken or result.refused:
        found.append(f"{result.caps_broken} caps exceeded, {result.refused} decisions not allowed")
    for told in result.lift["arms"]:
        members = result.arm == told["arm"]
        if not members.any():
            continue
        value = float(result.value_of_customer[members].mean())
        if told["customers"] != members.sum() or abs(told["value"] - value) > 1e-6:
            found.append(f"{told['arm']}: {told['value']} reported, {value} by the world")
    found += [
        f"{pair.arm} less {pair.against}: the truth, {pair.true:.2f}, is outside of the interval"
        for pair in result.pairs
        if pair.holds is False
    ]
    found += [
        f"{pair.arm} less {pair.against}: {pair.true:.2f} by the world, not above 0"
        for pair in result.pairs
        if pair.arm == "policy" and not pair.true > 0
    ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 if `failures` says a sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--world", choices=[*BUSINESSES], default="telephone")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    given = parser.parse_args(arguments)
    business = BUSINESSES[given.world]
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        env = make_home(home, business, given.customers, given.seed, SHARE)
        env["NBA_WORKERS"] = str(given.workers)
        with running(home / "home", env) as server, progress() as show:
            url = f"http://127.0.0.1:{server.port}"
            result = play_on_server(business, url, given.customers, given.days, given.seed, show)
    print_server(result)
    missed = failures(result)
    for sentence in missed:
        out.print(sentence, style="red", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
