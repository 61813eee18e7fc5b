"""Measures calls with many new identifiers, and the decisions of other customers meanwhile.

Two kinds of load: one call with 500 events of 19 new identifiers each, the most that is allowed;
and batches of 20 events on several connections, with and without a new cookie in each event.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from features.ledger import tables
from tests.bench.guarantees_home import CHANNEL, Home, event, grocer
from tests.bench.guarantees_load import Request, Sent, ask, hammer, steady
from tests.bench.guarantees_report import Figure, at_least, at_most, none_of, told
from tests.server import Server, running

EVENTS, BATCH = 500, 20
# One of so many events is looked up by its last identifier. A call is divided every five events, so
# the first and the last of a transaction are among them.
LOOKED_UP = 7
DECISIONS_PER_S = 50.0


class IdentifiersSize(NamedTuple):
    """The load: calls with many identifiers; runs of each rate, their length and connections.

    Attributes
    ----------
    pause_s : before and after a call, so that decisions that still wait are counted
    """

    calls: int
    identifiers: int
    pause_s: float
    runs: int
    seconds: float
    connections: int


FULL = IdentifiersSize(calls=4, identifiers=19, pause_s=1, runs=3, seconds=8, connections=8)
SMALL = IdentifiersSize(calls=1, identifiers=19, pause_s=0.2, runs=1, seconds=1.5, connections=8)


def run(size: IdentifiersSize = FULL) -> list[Figure]:
    """Measure one worker in a copy of the grocery's home."""
    with tempfile.TemporaryDirectory() as scratch:
        home = grocer(Path(scratch))
        with running(home.path, {**home.env, "NBA_WORKERS": "1"}) as server:
            customers = customers_of(home)
            return [*many_identifiers(server, customers, size), *rates(server, customers, size)]


def customers_of(home: Home) -> list[str]:
    """Read the ids of all customers."""
    query = sa.select(tables.customers.c.customer_id).order_by(tables.customers.c.customer_id)
    with home.ledger() as ledger:
        return ledger.read(lambda connection: list(connection.execute(query).scalars()))


def decide(customer_id: str) -> Request:
    """Make a request for a decision."""
    body = {"customer_id": customer_id, "channel": CHANNEL}
    return "/v1/decide", json.dumps(body).encode()


def is_known(server: Server, identifier: str) -> bool:
    """Ask for a decision by an identifier; whether it leads to a customer."""
    status, answer = server.post("/v1/decide", {"identifiers": [identifier], "channel": CHANNEL})
    assert status == 200, answer
    return bool(answer["known"])


def many_identifiers(
    server: Server, customers: Sequence[str], size: IdentifiersSize
) -> list[Figure]:
    """Send calls of 500 events with new identifiers, while another client asks for decisions."""
    took, accepted, unknown, meanwhile = [], 0, 0, list[Sent]()
    for call in range(size.calls):
        events = [
            event(
                f"many-{call}-{number}",
                f"many-{call}-{number}",
                identifiers=[f"cookie:c{call}-{number}-{one}" for one in range(size.identifiers)],
            )
            for number in range(EVENTS)
        ]
        body = json.dumps({"events": events}).encode()
        connection = server.connect()
        with steady(
            server, DECISIONS_PER_S, lambda i: decide(customers[i % len(customers)])
        ) as sent:
            time.sleep(size.pause_s)
            began = time.perf_counter()
            _, answer = ask(connection, ("/v1/events", body))
            took.append(time.perf_counter() - began)
            accepted += json.loads(answer).get("accepted", 0)
            time.sleep(size.pause_s)
        meanwhile += sent
        named = [one["identifiers"][-1] for one in events[::LOOKED_UP]]
        unknown += sum(not is_known(server, identifier) for identifier in named)
    times = [one.ms for one in meanwhile]
    failed = sum(one.status != 200 for one in meanwhile)
    sent_n, looked_up = size.calls * EVENTS, size.calls * len(range(0, EVENTS, LOOKED_UP))
    load = f"{EVENTS} events with {size.identifiers} new identifiers each"
    return [
        at_most(f"{load}: longest call", max(took), 4, "s", len(took)),
        none_of(f"{load}: not accepted", sent_n - accepted, sent_n),
        none_of(f"{load}: identifiers of nobody", unknown, looked_up),
        none_of("decisions meanwhile that failed", failed, len(meanwhile)),
        at_most("decisions meanwhile, p99", float(np.percentile(times, 99)), 50, "ms", len(times)),
        told("decisions meanwhile, longest", max(times), "ms"),
    ]


def rates(server: Server, customers: Sequence[str], size: IdentifiersSize) -> list[Figure]:
    """Measure events a second of one worker, with and without a new cookie, in turns."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(size.runs):
        for cookies, each in found.items():
            prefix = f"{'with' if cookies else 'without'}-{number}"
            each.append(_rate(server, customers, prefix, cookies, size))
    return [
        at_least(
            "events with one new cookie each, batches of 20",
            float(np.median(found[True])),
            1500,
            "a second",
        ),
        at_least(
            "events without identifiers, batches of 20",
            float(np.median(found[False])),
            2000,
            "a second",
        ),
    ]


def _rate(
    server: Server, customers: Sequence[str], prefix: str, cookies: bool, size: IdentifiersSize
) -> float:
    def batch(rng: np.random.Generator) -> Request:
        events = []
        for who in rng.integers(len(customers), size=BATCH).tolist():
            name = f"{prefix}-{rng.integers(2**62)}"
            more = {"identifiers": [f"cookie:{name}"]} if cookies else {}
            events.append(event(name, customers[who], **more))
        return "/v1/events", json.dumps({"events": events}).encode()

    began = time.perf_counter()
    times = hammer(server, size.connections, size.seconds, batch, _all_accepted)
    return len(times) * BATCH / (time.perf_counter() - began)


def _all_accepted(body: bytes) -> bool:
    return bool(json.loads(body)["accepted"] == BATCH)
