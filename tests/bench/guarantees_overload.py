"""Measures a worker to which three times as much is sent as it can do.

What it takes on must be answered soon, the rest refused at once, and nothing acknowledged be lost.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from features.ledger import tables
from tests.bench.guarantees_home import CHANNEL, Home, grocer
from tests.bench.guarantees_identifiers import customers_of
from tests.bench.guarantees_report import Figure, at_least, at_most, none_of, told
from tests.bench.open_loop import Answered, Plan, Result
from tests.commands import ROOT
from tests.server import Server, running

TIMES = 3
ACCEPTED_MS, REFUSED_MS, REFUSED_SHARE = 500.0, 50.0, 0.95
EVENT = {"type": "basket", "channel": CHANNEL, "properties": {"amount_usd": 20, "mission": "fresh"}}
ALONE, MANY = 16, 768  # connections


class OverloadSize(NamedTuple):
    """The seconds of each part."""

    alone_s: float
    overload_s: float


FULL, SMALL = OverloadSize(10, 60), OverloadSize(1, 2)
STORED = {
    "decide": tables.decisions.c.decision_id,
    "events": tables.events.c.event_id,
    "outcomes": tables.outcomes.c.outcome_id,
}


def run(size: OverloadSize = FULL) -> list[Figure]:
    """Measure one worker in a copy of the grocery's home."""
    with tempfile.TemporaryDirectory() as scratch:
        home = grocer(Path(scratch))
        with running(home.path, {**home.env, "NBA_WORKERS": "1"}) as server:
            return measure(server, home, customers_of(home), size)


def measure(
    server: Server,
    home: Home,
    customers: Sequence[str],
    size: OverloadSize,
    event: dict[str, Any] = EVENT,
) -> list[Figure]:
    """Measure what a worker can do, then send more, then look into the ledger."""
    (worker,) = server.workers()
    kept = {"customers": list(customers), "event": event, "outcome": "accepted"}
    common = {**kept, "port": server.port, "channel": CHANNEL}
    alone = send(Plan(per_s=0, seconds=size.alone_s, connections=ALONE, prefix="alone", **common))
    served = [one for one in alone.requests if one.status == 200]
    per_s = len(served) / alone.seconds
    before, cpu = worker.memory_info().rss, sum(worker.cpu_times()[:2])
    load = {"per_s": TIMES * per_s, "seconds": size.overload_s, "connections": MANY}
    over = send(Plan(**load, prefix="over", **common))
    grown = (worker.memory_info().rss - before) / 2**20
    cpu_share = (sum(worker.cpu_times()[:2]) - cpu) / size.overload_s
    return [
        told(f"alone, {ALONE} connections: answered", per_s, "a second"),
        *figures(over),
        told("the worker's share of a core", cpu_share, ""),
        told("memory of the worker: growth", grown, "MB"),
        *lost(home, [*alone.requests, *over.requests]),
    ]


def send(plan: Plan) -> Result:
    """Send a plan from a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "plan.json"
        path.write_text(json.dumps(asdict(plan)), encoding="utf-8")
        command = [sys.executable, "-m", "tests.bench.open_loop", str(path)]
        subprocess.run(command, cwd=ROOT, check=True)
        return Result.read(path.with_suffix(".result.json"))


def figures(over: Result) -> list[Figure]:
    """Compare the answers with what is asked for."""
    accepted = [one for one in over.requests if one.status == 200]
    rest = [one for one in over.requests if one.status != 200]
    soon = [one for one in rest if one.status in (429, 503) and one.ms <= REFUSED_MS]
    statuses = Counter(str(one.status) for one in over.requests)
    unsaid = sum(not one.again for one in rest if one.status in (429, 503))
    late = np.percentile([one.late_ms for one in over.requests], [50, 99])
    refused = np.percentile([one.ms for one in rest], [50, 95, 99]) if rest else np.zeros(3)
    return [
        told("sent", len(over.requests) / over.seconds, "a second"),
        Figure("answers by status", ", ".join(f"{k}: {n:,}" for k, n in sorted(statuses.items()))),
        told("accepted", len(accepted) / over.seconds, "a second"),
        at_most("accepted: p99", _p99(accepted), ACCEPTED_MS, "ms", len(accepted)),
        Figure("refused: p50, p95, p99", " ".join(f"{ms:.0f} ms" for ms in refused)),
        at_least("the rest: share of 429 or 503 within 50 ms", _share(soon, rest), 0.95, ""),
        none_of("429 or 503 without Retry-After", unsaid, max(1, len(rest))),
        none_of("without an answer", over.unanswered, len(over.requests)),
        none_of("not sent, as no connection was free", over.unsent, len(over.requests)),
        told("lag of the sender, p50", float(late[0]), "ms"),
        told("lag of the sender, p99", float(late[1]), "ms"),
        told("the sender's share of a core", over.cpu_share, ""),
    ]


def lost(home: Home, requests: Sequence[Answered]) -> list[Figure]:
    """Count what was acknowledged, and is not in the ledger."""
    found = []
    with home.ledger() as ledger:
        for kind, column in STORED.items():
            query = sa.select(column)
            stored = ledger.read(lambda connection, q=query: {*connection.execute(q).scalars()})
            told_ = [one.id for one in requests if one.kind == kind and one.status == 200]
            missing = sum(one not in stored for one in told_)
            found.append(
                none_of(f"{kind}: acknowledged, and not in the ledger", missing, len(told_))
            )
    return found


def _p99(requests: Sequence[Answered]) -> float:
    return float(np.percentile([one.ms for one in requests], 99)) if requests else 0.0


def _share(some: Sequence[Answered], of: Sequence[Answered]) -> float:
    return len(some) / len(of) if of else 1.0
