"""Kills a server with SIGKILL during ingestion, and checks that acknowledged events are kept once.

    python -m tests.bench.kill --rounds 20

Several threads send calls with ids of their own and note what was acknowledged. Then the workers,
or the whole server, are killed. The server starts again in the same home. Then every acknowledged
event must be in the ledger once, the online state of each customer must be the fold of its events,
and a decision must read it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sqlalchemy as sa
from pydantic_core import from_json
from rich.console import Console

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY, load_settings
from features.store.feast_store import FeatureStore
from tests.commands import environment, nba
from tests.server import Server, start, stop

THREADS, CUSTOMERS = 4, 30
ASKED_FOR = 5  # customers of each round for whom a decision is asked
out = Console(width=120)


@dataclass
class Round:
    """The result of one round of sending, killing and starting again."""

    number: int
    killed: str
    acknowledged: int = 0
    unanswered: int = 0
    mistakes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = f"round {self.number:>2}: killed {self.killed:<10} {self.acknowledged:>5} events "
        told += f"acknowledged, {self.unanswered} calls unanswered"
        return f"{told}; {'; '.join(self.mistakes[:3]) if self.mistakes else 'all there, once'}"


@dataclass
class Sender:
    """A thread that sends events until its connection breaks."""

    connection: HTTPConnection
    name: str
    rng: np.random.Generator
    acknowledged: list[str] = field(default_factory=list)
    unanswered: int = 0
    refused: list[Any] = field(default_factory=list)

    def run(self) -> None:
        call = 0
        while True:
            call += 1
            ids = [f"{self.name}-{call}-{i}" for i in range(self.rng.integers(1, 30))]
            body = json.dumps({"events": [self._event(one) for one in ids]})
            try:
                headers = {"content-type": "application/json"}
                self.connection.request("POST", "/v1/events", body, headers)
                answer = self.connection.getresponse()
                said = json.loads(answer.read())
            except (OSError, HTTPException, ValueError):
                self.unanswered += 1
                return
            if answer.status != 200 or said["accepted"] != len(ids):
                self.refused.append(said)
                return
            self.acknowledged += ids

    def _event(self, event_id: str) -> dict[str, Any]:
        """Make an event of the last month, so that most events are late for their customer."""
        at = datetime.now(UTC) - timedelta(seconds=float(self.rng.uniform(0, 30 * 86_400)))
        about: dict[str, Any] = {"customer_id": f"killed-{self.rng.integers(CUSTOMERS)}"}
        if self.rng.random() < 0.02:  # a merge in between
            about["identifiers"] = [f"card:{about['customer_id']}"]
        kind = str(self.rng.choice(["visit", "page_view", "call", "chat"]))
        return {
            "event_id": event_id,
            "type": kind,
            "occurred_at": at.isoformat(),
            "channel": str(self.rng.choice(["app", "web"])),
            **about,
        }


def rounds(home: Path, env: Mapping[str, str], count: int, seed: int = 0) -> Iterator[Round]:
    """Run rounds in one home, one after the other; the ledger grows."""
    rng = np.random.default_rng(seed)
    acknowledged: set[str] = set()
    server = start(home, {**env, "NBA_WORKERS": "2"})
    try:
        for number in range(1, count + 1):
            found = Round(number, "workers" if number % 3 == 1 else "everything")
            senders = _send_until_killed(server, found, rng)
            acknowledged |= {one for sender in senders for one in sender.acknowledged}
            found.acknowledged = sum(len(sender.acknowledged) for sender in senders)
            found.unanswered = sum(sender.unanswered for sender in senders)
            found.mistakes += [str(one) for sender in senders for one in sender.refused]
            if found.killed == "everything":
                server = start(home, {**env, "NBA_WORKERS": "2"})
            else:
                server.wait_for(lambda s=server: _ready(s), 90)
            found.mistakes += _mistakes(home, env, server, acknowledged, number)
            yield found
    finally:
        stop(server)


def _send_until_killed(server: Server, found: Round, rng: np.random.Generator) -> list[Sender]:
    number = int(rng.integers(2**32))
    senders = [
        Sender(server.connect(), f"kill-{found.number}-{i}", np.random.default_rng([number, i]))
        for i in range(THREADS)
    ]
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    enough = int(rng.integers(100, 600))
    server.wait_for(lambda: sum(len(one.acknowledged) for one in senders) >= enough, 60)
    time.sleep(float(rng.uniform(0, 0.02)))  # wherever in a call that happens to be
    _kill(server, found.killed)
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "a call was neither answered nor cut off"
    return senders


def _kill(server: Server, which: str) -> None:
    family = server.workers()
    if which == "everything":
        supervisor = psutil.Process(server.process.pid)
        # It first, or it would start new workers for those that are gone.
        family = [supervisor, *supervisor.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    server.wait_for(lambda: all(_dead(process) for process in family))
    if which == "everything":
        server.process.wait()


def _dead(process: psutil.Process) -> bool:
    """Tell whether a process has ended; a zombie has, even if no parent has waited for it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _ready(server: Server) -> bool:
    try:
        return len(server.workers()) == 2 and server.again().get("/readyz")[0] == 200
    except (OSError, HTTPException, psutil.NoSuchProcess):
        return False


def _mistakes(
    home: Path, env: Mapping[str, str], server: Server, acknowledged: set[str], number: int
) -> Iterator[str]:
    """Yield a sentence for each promise that was broken."""
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    rows = ledger.read(lambda c: c.execute(sa.select(tables.events.c.event_id)).scalars().all())
    lost = acknowledged - {*rows}
    if lost:
        yield f"{len(lost)} acknowledged events are lost, such as {min(lost)}"
    if len(rows) != len({*rows}):
        yield "an event is there twice"
    with environment({**env, "NBA_HOME": str(home)}):
        domain = load_domain(GROCERY)
        store = FeatureStore(load_settings(), domain)
    folded = _folded(ledger, domain)
    # What was cut off between the ledger and the online store is shown by whoever starts next.
    late = time.monotonic() + 30
    while (wrong := _not_shown(store, folded)) and time.monotonic() < late:
        time.sleep(0.05)
    if wrong:
        yield f"what is shown of {wrong} is not the fold of their events"
    yield from _misread(ledger, server, domain, folded, number)
    ledger.close()


def _folded(ledger: Ledger, domain: Any) -> dict[str, State]:
    """Fold the state of each customer from the ledger alone."""
    fold = ModelInput(domain).fold
    states: dict[str, State] = {}
    columns = tables.events.c
    query = sa.select(tables.events).order_by(columns.occurred_at, columns.event_id)
    for row in ledger.read(lambda connection: connection.execute(query).all()):
        state = states.get(row.customer_id) or fold.empty()
        at_s = tables.micros(row.occurred_at) / 1e6
        properties = from_json(row.properties)
        states[row.customer_id] = fold.advance(state, row.type, row.channel, at_s, properties)
    return states


def _not_shown(store: FeatureStore, folded: Mapping[str, State]) -> list[str]:
    wrong = []
    for customer, state in folded.items():
        known = store.online(customer)
        if known is None or not np.array_equal(known.state or [], state, equal_nan=True):
            wrong.append(customer)
    return wrong


def _misread(
    ledger: Ledger, server: Server, domain: Any, folded: Mapping[str, State], number: int
) -> Iterator[str]:
    model_input = ModelInput(domain)
    for customer in sorted(folded)[:ASKED_FOR]:
        name = f"kill-{number}-{customer}"
        body = {"customer_id": customer, "channel": "app", "decision_id": name}
        status, answer = server.again().post("/v1/decide", body)
        if status != 200:
            yield f"a decision for {customer} was refused: {answer}"
            continue
        columns = tables.decisions.c
        query = sa.select(columns.features, columns.decided_at).where(columns.decision_id == name)
        row = ledger.read(lambda c, query=query: c.execute(query).one())
        read = np.frombuffer(row.features)
        at_s = row.decided_at.timestamp()
        expected = model_input.read({}, folded[customer], at_s)
        if not np.allclose(read, np.array(expected), rtol=1e-6, atol=0, equal_nan=True):
            yield f"a decision for {customer} read something else than the fold of their events"


@contextmanager
def first_day() -> Iterator[tuple[Path, dict[str, str]]]:
    """Make a home without events."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        env = {
            "NBA_HOME": str(home),
            "NBA_MLFLOW_URI": f"sqlite:///{Path(scratch) / 'no-models.db'}",
            "NBA_LEARNER": "false",
        }
        done = nba(["build"], env)
        assert done.returncode == 0, done.stdout + done.stderr
        yield home, env


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill -9 in the middle of ingestion.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    asked = parser.parse_args()
    out.print(f"seed {asked.seed}")
    done = []
    with first_day() as (home, env):
        for one in rounds(home, env, asked.rounds, asked.seed):
            out.print(str(one))
            done.append(one)
    failed = [one for one in done if one.mistakes]
    total = sum(one.acknowledged for one in done)
    verdict = "PASS" if not failed else "FAIL"
    out.print(
        f"{verdict}: {len(done) - len(failed)} of {len(done)} rounds; {total:,} acknowledged."
    )
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
