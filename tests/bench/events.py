"""Measures the events that one worker takes in a second: on disk, folded, visible when answered.

    make bench-events

Several connections send batches of 20. Afterwards every acknowledged event must be in the ledger,
and every online state must be the fold of all events of its customer.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import load_settings
from features.states.journey_states import JourneyStates
from features.store.feast_store import FeatureStore
from tests.server import Server, running

BATCH = 20
KINDS = (("visit", "web"), ("page_view", "web"), ("call", "call_centre"), ("chat", "app"))
HEADERS = {"content-type": "application/json"}
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 4, 8, 16])
    asked = parser.parse_args()
    settings = load_settings()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"  # a copy: a benchmark must not fill the real ledger
        shutil.copytree(settings.home, home)
        ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
        column = tables.customers.c.customer_id
        customers = ledger.read(lambda c: list(c.execute(sa.select(column)).scalars()))
        table = Table("connections", "events/s", "ms a batch, p50", "p99")
        sent: list[str] = []
        with running(home, {"NBA_LEARNER": "false"}) as server:
            for connections in asked.connections:
                ids, times, took = _send(server, customers, connections, asked.seconds)
                sent += ids
                figures = [f"{figure:.1f}" for figure in np.percentile(times, [50, 99])]
                table.add_row(str(connections), f"{len(ids) / took:,.0f}", *figures)
            _check(settings.model_copy(update={"home": home}), ledger, sent)
        ledger.close()
    out.print(table)
    out.print("Asked: 2,000 events/s on one worker in batches of 20.")


def _send(
    server: Server, customers: list[str], connections: int, seconds: float
) -> tuple[list[str], list[float], float]:
    """Ids acknowledged, milliseconds of each batch, seconds in all."""
    ids: list[str] = []
    times: list[float] = []
    end = time.monotonic() + seconds

    def call(number: int) -> None:
        rng = np.random.default_rng(number)
        connection = server.connect()
        while time.monotonic() < end:
            mine = [uuid.uuid4().hex for _ in range(BATCH)]
            who, what = rng.integers(len(customers), size=BATCH), rng.integers(4, size=BATCH)
            now = datetime.now(UTC).isoformat()
            events = [
                {
                    "event_id": name,
                    "type": KINDS[kind][0],
                    "channel": KINDS[kind][1],
                    "occurred_at": now,
                    "customer_id": customers[customer],
                }
                for name, customer, kind in zip(mine, who, what, strict=True)
            ]
            began = time.perf_counter()
            connection.request("POST", "/v1/events", json.dumps({"events": events}), HEADERS)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            assert content["accepted"] == BATCH, content
            times.append((time.perf_counter() - began) * 1000)
            ids.extend(mine)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ids, times, time.perf_counter() - began


def _check(settings: object, ledger: Ledger, sent: list[str]) -> None:
    """Everything acknowledged is on disk once, and what is shown is what the ledger says."""
    column = tables.events.c.event_id
    kept = ledger.read(lambda c: set(c.execute(sa.select(column)).scalars()))
    assert kept.issuperset(sent) and len(set(sent)) == len(sent)
    domain = load_domain(settings.domain)  # type: ignore[attr-defined]
    store = FeatureStore(settings, domain)  # type: ignore[arg-type]
    states = JourneyStates(ModelInput(domain).fold)
    heard = sa.select(tables.journey_states.c.customer_id)
    customers = ledger.read(lambda c: list(c.execute(heard).scalars()))
    wrong = 0
    for customer in customers:
        expected = ledger.read(lambda c, one=customer: states.refold(c, one).state)  # type: ignore[misc]
        shown = store.online(customer)
        wrong += shown is None or not np.array_equal(expected, shown.state or [], equal_nan=True)
    out.print(
        f"{len(sent):,} events acknowledged, all on disk; the states of {len(customers):,} "
        f"customers are shown, {wrong} of them wrong."
    )
    assert wrong == 0


if __name__ == "__main__":
    main()
