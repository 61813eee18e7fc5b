"""Measures the call of one event while many states wait to be shown, as after `nba build`.

All states are marked as not online, as `nba build` does when it begins. The call of an event must
not wait for them, and the server must show them in the background.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.checkpoints import to_bytes
from features.store.feast_store import FeatureStore
from tests.bench.guarantees_home import Home, event, serving_shop
from tests.bench.guarantees_identifiers import decide
from tests.bench.guarantees_load import steady
from tests.bench.guarantees_report import Figure, at_most, none_of, told
from tests.server import Server

PEOPLE: dict[str, str | None] = dict.fromkeys(f"new-{number}" for number in range(50))
CALL_S, DONE_S = 0.1, 120.0
AT_ONCE = 5000  # rows written in one transaction
LOOKED_AT = 100  # states that are read from the online store in the end
DECISIONS_PER_S = 50.0


class BacklogSize(NamedTuple):
    """The number of waiting states, and of calls meanwhile."""

    states: int
    calls: int


FULL, SMALL = BacklogSize(50_000, 40), BacklogSize(5000, 3)


def run(size: BacklogSize = FULL) -> list[Figure]:
    """Measure a server of two workers in a new home."""
    with serving_shop(PEOPLE, NBA_WORKERS="2") as (server, home):
        return measure(server, home, size)


def measure(server: Server, home: Home, size: BacklogSize) -> list[Figure]:
    """Let states wait, and send events of other customers to a server whose home knows `PEOPLE`."""
    with home.ledger() as ledger:
        _write_states(ledger, home, size.states)
        customers = [*PEOPLE]
        with steady(server, DECISIONS_PER_S, lambda i: decide(customers[i % len(PEOPLE)])) as sent:
            ledger.write_now(_mark_all_waiting)
            began = time.monotonic()
            calls = [_call(server, ledger, number) for number in range(size.calls)]
            accepted, took, waiting = zip(*calls, strict=True)
            left = _wait_until_shown(ledger, began + DONE_S)
            done_s = time.monotonic() - began
    looked_at = range(0, size.states, size.states // LOOKED_AT)
    states = f"{size.states:,} waiting states"
    times = [one.ms for one in sent]
    failed = sum(one.status != 200 for one in sent)
    return [
        none_of(f"{states}: events not accepted", len(took) - sum(accepted), len(took)),
        Figure(
            f"{states}: of them when the first call was answered",
            f"{waiting[0]:,}",
            "more than 0",
            waiting[0] > 0,
        ),
        at_most(f"{states}: longest call of one event", max(took), CALL_S, "s", len(took)),
        none_of(f"{states}: still waiting after {DONE_S:.0f} s", left, size.states),
        none_of(f"{states}: not in the online store", _not_online(home, looked_at), len(looked_at)),
        told(f"{states}: shown after", done_s, "s"),
        none_of(f"{states}: decisions meanwhile that failed", failed, len(sent)),
        told(f"{states}: decisions meanwhile, p99", float(np.percentile(times, 99)), "ms"),
        told(f"{states}: decisions meanwhile, longest", max(times), "ms"),
    ]


def _write_states(ledger: Ledger, home: Home, states: int) -> None:
    """Write customers with one event and its state, as `/v1/events` would have."""
    domain = load_domain(home.settings.domain)
    fold = ModelInput(domain).fold
    at = datetime.now(UTC) - timedelta(hours=1)
    state = to_bytes(fold, fold.advance(fold.empty(), "visit", "app", at.timestamp(), {}))
    for begin in range(0, states, AT_ONCE):
        names = [f"waits-{number}" for number in range(begin, min(begin + AT_ONCE, states))]
        happened = [
            {"customer_id": name, "subject": name, "event_id": f"of-{name}", "occurred_at": at}
            | {"type": "visit", "channel": "app", "properties": "{}"}
            for name in names
        ]
        kept = [
            {"customer_id": name, "state": state, "last_at": at, "last_event_id": f"of-{name}"}
            | {"online": True, "profile_online": True, "restated_at": None}
            for name in names
        ]

        def put(connection: sa.Connection, happened: list = happened, kept: list = kept) -> None:
            tables.insert_new(connection, tables.events, happened)
            tables.insert_new(connection, tables.journey_states, kept)

        ledger.write_now(put)


def _mark_all_waiting(connection: sa.Connection) -> None:
    connection.execute(sa.update(tables.journey_states).values(online=False, profile_online=False))


def _call(server: Server, ledger: Ledger, number: int) -> tuple[int, float, int]:
    """Send an event; 1 if it was accepted, the seconds, and the states that wait afterwards."""
    one = event(f"meanwhile-{number}", f"new-{number % len(PEOPLE)}")
    began = time.perf_counter()
    _, answer = server.post("/v1/events", {"events": [one]})
    took = time.perf_counter() - began
    waiting = ledger.read(_waiting)
    time.sleep(0.05)
    return int(answer.get("accepted", 0)), took, waiting


def _waiting(connection: sa.Connection) -> int:
    query = sa.select(sa.func.count()).select_from(tables.journey_states).where(tables.unpublished)
    return int(connection.execute(query).scalar_one())


def _wait_until_shown(ledger: Ledger, end: float) -> int:
    """Wait until no state waits; the number of those that still do at the end."""
    while left := ledger.read(_waiting):
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    return left


def _not_online(home: Home, numbers: Sequence[int]) -> int:
    """Count the customers, of some that `_write_states` has written, without a state online."""
    store = FeatureStore(home.settings, load_domain(home.settings.domain))
    return sum(store.online(f"waits-{number}") is None for number in numbers)
