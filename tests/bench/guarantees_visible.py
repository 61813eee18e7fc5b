"""Checks that an event is acknowledged only when the online store shows a state that contains it.

Two processes, each with the parts of a server's worker, ingest events of one customer, or of the
customers of one account. At each acknowledgement the online store is read at once: the state must
contain all events that were acknowledged before, in both processes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from features.business.domain import load_domain
from features.customers.profiles import account_key
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.settings import load_settings
from features.store.feast_store import FeatureStore
from tests.bench.guarantees_home import Home, event, found
from tests.bench.guarantees_report import Figure, none_of, told

CUSTOMER, TEAM = "busy", "team"
COLLEAGUES = [f"{TEAM}-{number}" for number in range(32)]
PEOPLE: dict[str, str | None] = {CUSTOMER: None, **dict.fromkeys(COLLEAGUES, TEAM)}


class VisibleSize(NamedTuple):
    """The number of acknowledgements of each scene.

    Attributes
    ----------
    processes : 1 for callers in this process
    """

    acknowledgements: int
    processes: int


FULL, SMALL = VisibleSize(5000, 2), VisibleSize(320, 1)
JITTER_S = 0.006  # the longest pause between two calls of one caller


class Scene(NamedTuple):
    """The customers of the callers, one caller each; ``account`` if its state is looked at."""

    name: str
    customers: list[str]
    account: str | None = None


SCENES = (
    Scene("16 callers on one customer", [CUSTOMER] * 16),
    Scene("32 colleagues of one account", COLLEAGUES, TEAM),
)


@dataclass
class Seen:
    """The findings of one process.

    Attributes
    ----------
    ids : of the acknowledged events
    times_ms : from the call to its acknowledgement; the append lies between
    behind : of each acknowledgement, the acknowledged events that the state did not contain
    """

    ids: list[str] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def run(size: VisibleSize = FULL) -> list[Figure]:
    """Run both scenes in a new home."""
    with tempfile.TemporaryDirectory() as scratch:
        return measure(found(Path(scratch), PEOPLE), size)


def measure(home: Home, size: VisibleSize) -> list[Figure]:
    """Run both scenes in a home that knows `PEOPLE`."""
    return [figure for scene in SCENES for figure in _scene(home, scene, size)]


def _scene(home: Home, scene: Scene, size: VisibleSize) -> list[Figure]:
    context = multiprocessing.get_context("spawn")
    acknowledged, ready = context.Value("i", 0), context.Barrier(size.processes)
    answers = context.SimpleQueue()
    arguments = [
        (home.env, scene, number, size, acknowledged, ready, answers)
        for number in range(size.processes)
    ]
    if size.processes == 1:
        _ingest(*arguments[0])
        seen: list[Seen] = [answers.get()]
    else:
        processes = [context.Process(target=_ingest, args=one, daemon=True) for one in arguments]
        for process in processes:
            process.start()
        seen = [answers.get() for _ in processes]
        for process in processes:
            process.join()
    failed = [sentence for one in seen for sentence in one.failed]
    assert not failed, failed[:3]
    behind = np.array([count for one in seen for count in one.behind])
    times = np.array([ms for one in seen for ms in one.times_ms])
    ids = {name for one in seen for name in one.ids}
    checks = sum(len(one.ids) for one in seen)
    more = f"up to {behind.max()} events behind"
    return [
        none_of(
            f"{scene.name}: acknowledged, but not shown", int((behind > 0).sum()), checks, more
        ),
        none_of(f"{scene.name}: states that are not the fold", _wrong(home, scene, ids), 1),
        told(f"{scene.name}: append to acknowledgement, median", float(np.median(times)), "ms"),
        told(f"{scene.name}: append to acknowledgement, longest", float(times.max()), "ms"),
    ]


def _ingest(
    env: Mapping[str, str],
    scene: Scene,
    process: int,
    size: VisibleSize,
    acknowledged: Any,
    ready: Any,
    answers: Any,
) -> None:
    """Run the callers of one process."""
    from serving.server.components import Components

    seen = Seen()
    try:
        settings = load_settings(env)
        components = Components(settings)
        calls = _Calls(components, _reader(settings), scene, size, acknowledged, seen)
        ready.wait(timeout=60)
        asyncio.run(calls.run(process))
        components.close()
    except Exception as error:
        seen.failed.append(f"{type(error).__name__}: {error}")
        ready.abort()
    answers.put(seen)


class _Calls:
    """The callers of one process, on one event loop, as in a server."""

    def __init__(
        self,
        parts: Any,
        reader: Any,
        scene: Scene,
        size: VisibleSize,
        acknowledged: Any,
        seen: Seen,
    ) -> None:
        self._ingest, self._reader = parts.ingest, reader
        self._scene, self._size = scene, size
        self._acknowledged, self._seen = acknowledged, seen

    async def run(self, process: int) -> None:
        callers = range(process, len(self._scene.customers), self._size.processes)
        await asyncio.gather(*(self._caller(number) for number in callers))

    async def _caller(self, number: int) -> None:
        customers = self._scene.customers
        rng = np.random.default_rng([number, self._size.acknowledgements])
        for turn in range(-(-self._size.acknowledgements // len(customers))):
            await asyncio.sleep(rng.uniform(0, JITTER_S))
            name = f"{self._scene.account or 'one'}-{number}-{turn}"
            began = time.perf_counter()
            sent = [event(name, customers[number])]
            result = await self._ingest.ingest(sent, datetime.now(UTC))
            self._seen.times_ms.append((time.perf_counter() - began) * 1000)
            assert result.accepted == 1, result
            self._seen.ids.append(name)
            with self._acknowledged.get_lock():
                self._acknowledged.value += 1
                before = self._acknowledged.value
            missing = before - self._reader(self._scene, customers[number])
            self._seen.behind.append(max(missing, 0))


def _reader(settings: Any) -> Any:
    """Make a function that counts the events of what the online store shows of a scene."""
    domain = load_domain(settings.domain)
    store, fold = FeatureStore(settings, domain), ModelInput(domain).fold

    def events_n(scene: Scene, customer: str) -> int:
        shown = store.online(customer)
        state = shown and (shown.account_state if scene.account else shown.state)
        return fold.events_n(state) if state else 0

    return events_n


def _wrong(home: Home, scene: Scene, ids: set[str]) -> int:
    """1 if an acknowledged event is lost, or the state in the end is not the fold of all events."""
    settings = home.settings
    domain = load_domain(settings.domain)
    fold = ModelInput(domain).fold
    columns = tables.events.c
    query = sa.select(tables.events).where(columns.customer_id.in_(set(scene.customers)))
    query = query.order_by(columns.occurred_at, columns.event_id)
    with home.ledger() as ledger:
        rows = ledger.read(lambda connection: connection.execute(query).all())
    state = fold.empty()
    for row in rows:
        state = fold.advance(state, row.type, row.channel, row.occurred_at.timestamp(), {})
    key = account_key(scene.account) if scene.account else scene.customers[0]
    shown = FeatureStore(settings, domain).online(key)
    right = shown is not None and np.array_equal(state, shown.state or [], equal_nan=True)
    return int(not right or {row.event_id for row in rows} != ids)
