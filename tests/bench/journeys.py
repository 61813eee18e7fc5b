"""Measures the analytics of journeys over a large made-up ledger, on one thread.

    make bench-journeys

The ledger is that of a shop: 30 nodes on one map, and the lifecycle map. The same numbers are drawn
each time. What is measured runs in a process of its own, which tells its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from features.analytics.build import build_journeys, cut_customers
from features.analytics.cut.customer_cutter import CustomerCutter
from features.analytics.journey_data import JourneyData
from features.analytics.journey_files import pairs_in, write_delta
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnel_definition import FunnelDefinition, FunnelStepRule
from features.analytics.views.funnels.funnels import funnel
from features.analytics.views.maps.journey_map import journey_map
from features.analytics.views.maps.ways import ways
from features.analytics.views.promised.promises import promises
from features.analytics.views.relations import transitions
from features.business.domain import Domain
from features.ledger.ledger import Ledger
from features.ledger.tables import micros

EACH = 100  # events of a customer
DIRTY = 1_000  # customers who are cut anew at a time
YEAR_US = 365 * 86_400_000_000
END = datetime(2026, 11, 1, tzinfo=UTC)
PLAIN, TOPICS = 22, ("price", "delivery", "invoice", "return", "praise", "other")
CHANNELS = ("web", "app", "shop", "call_centre")
# Where promises wait for each other: after a step, another one within some days.
WITHIN = [(f"step_{one:02}", f"step_{one + 1:02}", 2 + one % 5) for one in range(12)]
FUNNEL = FunnelDefinition(
    steps=(
        FunnelStepRule(step="step_00"),
        FunnelStepRule(step="step_05", within_days=20),
        FunnelStepRule(step="step_06", optional=True),
        FunnelStepRule(step="step_09"),
        FunnelStepRule(step="step_21"),
    ),
    exclude=("price",),
)
LIMITS = {
    "build_s": ("build from the ledger", "s", 120.0),
    "edges_s": ("transitions", "s", 1.0),
    "transitions_s": ("transitions, with the histogram of their times", "s", 1.0),
    "map_s": ("the whole map, with times", "s", None),
    "funnel_s": ("a funnel of five steps", "s", 1.0),
    "variants_s": ("variants", "s", 3.0),
    "promises_s": ("12 promises", "s", 10.0),
    "dirty_s": (f"{DIRTY:,} dirty customers", "s", 0.5),
    "peak_gib": ("memory at the peak", "GiB", 1.5),
    "files_mb": ("files", "MB", 150.0),
}
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        sys.stdout.write(json.dumps(measure(asked.measure)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        customers = max(asked.events // EACH, 1)
        out.print(f"making up {customers * EACH:,} events of {customers:,} customers ...")
        make_ledger(home, customers)
        command = [sys.executable, "-m", "tests.bench.journeys", "--measure", str(home)]
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        answer = subprocess.check_output(command, env=os.environ | threads, text=True)
    show(json.loads(answer))


def show(figures: dict[str, float]) -> None:
    """Print each figure beside its limit, which is for 10 million events."""
    table = Table("one thread", "measured", "at most", "seconds of the processor")
    for name, (words, unit, most) in LIMITS.items():
        limit = "" if most is None else f"{most:g} {unit}"
        cpu = figures.get(f"{name}_cpu")
        spent = "" if cpu is None else f"{cpu:.2f}"
        table.add_row(words, f"{figures[name]:.2f} {unit}", limit, spent)
    out.print(table)
    out.print(f"{figures['journeys']:,.0f} journeys, {figures['steps']:,.0f} steps on both maps.")


def measure(home: Path) -> dict[str, float]:
    """Build the files of a ledger, ask for the views, and cut some customers anew."""
    pa.set_cpu_count(1)
    domain, folder = shop(), home / "base"
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    found: dict[str, float] = {}
    built = timed(found, "build_s", lambda: build_journeys(ledger, domain, folder, END))
    found |= {"journeys": built.journeys, "steps": built.steps}
    found["files_mb"] = sum(one.bytes for one in built.pairs) / 1e6
    delta = recut(found, ledger, domain, home)
    wanted = JourneyFilter(map="order")
    with JourneyData.of_files(domain, pairs_in(folder), [delta], micros(END), 1) as data:
        timed(found, "edges_s", lambda: transitions(data, wanted).counted(data, ["from", "to"]))
        columns = ["from", "to", "gap_bucket"]
        timed(found, "transitions_s", lambda: transitions(data, wanted).counted(data, columns))
        timed(found, "map_s", lambda: journey_map(data, wanted))
        timed(found, "funnel_s", lambda: funnel(data, wanted, FUNNEL))
        timed(found, "variants_s", lambda: ways(data, wanted, 50))
        timed(found, "promises_s", lambda: promises(data, wanted))
    ledger.close()
    found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def recut(found: dict[str, float], ledger: Ledger, domain: Domain, home: Path) -> Any:
    """Cut some customers anew and write their delta."""
    customers = int(ledger.read(lambda c: c.exec_driver_sql(_COUNT).scalar_one()))
    picked = np.random.default_rng(8).choice(customers, min(DIRTY, customers), replace=False)
    names = [f"c{one:07}" for one in picked.tolist()]
    cutter = CustomerCutter(domain)

    def recomputed() -> Any:
        journeys, steps = ledger.read(lambda c: cut_customers(c, cutter, names, micros(END)))
        return write_delta(home / "deltas", "00001", names, journeys, steps)

    return timed(found, "dirty_s", recomputed)


_COUNT = "SELECT count(*) FROM customers"


def timed(found: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """Note how long some work takes by the clock, and of the processor."""
    began, cpu = time.perf_counter(), time.process_time()
    answer = work()
    found[name] = time.perf_counter() - began
    found[f"{name}_cpu"] = time.process_time() - cpu
    return answer


def shop() -> Domain:
    """The business: 22 types of event, and calls, whose nodes are their topics."""
    plain = {"description": "x", "journey": "order", "stage": "use", "touchpoint": "internal"}
    plain |= {"signal": "passive"}
    events: dict[str, Any] = {f"step_{number:02}": dict(plain) for number in range(PLAIN)}
    events["step_00"]["step"], events["step_21"]["step"] = "starts", "ends"
    topic = {"type": "category", "values": list(TOPICS)}
    events["call"] = plain | {"properties": {"topic": topic, "minutes": {"type": "number"}}}
    names = [f"after_{after}" for after, _, _ in WITHIN]
    kept = {
        name: {"after": after, "comes": comes, "within_days": days}
        for name, (after, comes, days) in zip(names, WITHIN, strict=True)
    }
    order = {"map": {"node": "topic"}, "lapse_days": 40}
    order |= {"expected": {"version": 1, "promises": kept}}
    plan = {"type": "category", "values": ["basic", "plus", "gold"]}
    return Domain.model_validate(
        {"name": "bench", "currency": "eur", "channels": list(CHANNELS), "events": events}
        | {"journeys": {"order": order}, "attributes": {"plan": plan}}
        | {"personas": {"golden": {"when": "plan == 'gold'"}}}
    )


def make_ledger(home: Path, customers: int) -> None:
    """Write a ledger with the customers, their events, and two shown decisions of each."""
    Ledger(f"sqlite:///{home / 'ledger.db'}").close()
    rng = np.random.default_rng(7)
    with closing(sqlite3.connect(home / "ledger.db")) as opened:
        opened.execute("PRAGMA synchronous=OFF")
        opened.executemany(
            "INSERT INTO events (customer_id, occurred_at, event_id, subject, type, channel,"
            " properties) VALUES (?, ?, ?, ?, ?, ?, ?)",
            _events(customers, rng),
        )
        opened.executemany(
            "INSERT INTO customers (customer_id, attributes) VALUES (?, ?)",
            ((f"c{one:07}", _PLANS[one % 3]) for one in range(customers)),
        )
        opened.executemany(
            "INSERT INTO contacts (decision_id, action_id, subject, customer_id, shown_at, channel,"
            " action_group, outcomes_at) VALUES (?, 'offer', ?, ?, ?, 'web', 'all', '{}')",
            _shown(customers, rng),
        )
        opened.commit()


_PLANS = [json.dumps({"plan": one}) for one in ("basic", "plus", "gold")]


def _events(customers: int, rng: np.random.Generator) -> Iterator[tuple[object, ...]]:
    kinds = [(f"step_{number:02}", '{"note":"as usual"}') for number in range(PLAIN)]
    kinds += [("call", json.dumps({"minutes": 4.5, "topic": topic})) for topic in TOPICS]
    chances = np.array([3.0] * 3 + [1.0] * (PLAIN - 4) + [4.0] + [0.7] * len(TOPICS))
    chances /= chances.sum()
    for customer in range(customers):
        name = f"c{customer:07}"
        at = np.sort(micros(END) - rng.integers(1, YEAR_US, EACH)).tolist()
        picked = rng.choice(len(kinds), EACH, p=chances).tolist()
        where = rng.integers(0, len(CHANNELS), EACH).tolist()
        for number in range(EACH):
            type_name, properties = kinds[picked[number]]
            key = (name, at[number], f"{name}-{number:04}", name)
            yield (*key, type_name, CHANNELS[where[number]], properties)


def _shown(customers: int, rng: np.random.Generator) -> Iterator[tuple[object, ...]]:
    for customer in range(customers):
        name = f"c{customer:07}"
        for number, at_us in enumerate(micros(END) - rng.integers(1, YEAR_US, 2)):
            yield f"d{customer}-{number}", name, name, int(at_us)


if __name__ == "__main__":
    main()
