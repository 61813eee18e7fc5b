"""Measures what learning costs with 30 and with 1,000 actions: bytes, locks, decisions, lag.

    make bench-learner
    python -m tests.bench.learner_cost --seconds 60

All actions have outcomes, so the learner's state has sums of each. Then it is measured

* what a step of the learner with 100 new outcomes writes, snapshot included: the growth of the
  write-ahead log of SQLite;
* how long each of the learner's transactions holds the lock of the ledger, commit included;
* the time of /v1/decide with 1,000 actions against 30, of two servers that take turns;
* the lag of a learner process while another process feeds 3,000 decisions a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from features.clock import utc_now
from features.ledger.ledger import Ledger
from serving.learn.lag import read_lag
from serving.learn.learner import Learner
from serving.server.components import Components
from tests.bench.cost_home import (
    CUSTOMERS,
    TEMPLATES,
    Feeder,
    Template,
    action,
    make_home,
    opened,
    templates,
)
from tests.bench.served_home import CHANNEL, Env
from tests.conftest import ROOT
from tests.server import Server, running
from training.params import load_params

MB = 2**20
SIZES = (30, 1_000)  # actions
OUTCOMES = 100  # of the step whose bytes are measured
EACH = 12  # decisions of each action that are learned before anything is measured
FED_AT_ONCE = 150  # decisions in a transaction of the feeding process
LOOK_EVERY_S = 0.25
MOST_MB, MOST_MEDIAN_MS, MOST_P95_MS, MOST_RATIO, MOST_LAG_S = 2.0, 10.0, 20.0, 2.5, 5.0
GIVE_UP_S = 30.0  # that the feeding process is behind
FED_SHARE = 0.98  # of the rate must be fed, or the run proves nothing
HEADERS = {"content-type": "application/json"}
out = Console(width=120)


@dataclass(frozen=True)
class Plan:
    """The size of a run."""

    sizes: Sequence[int] = SIZES
    each: int = EACH
    batches: int = 40  # learned while the locks are timed, each of 300 decisions
    requests: int = 1_000
    rate: int = 3_000  # decisions a second that are fed
    seconds: float = 60.0


@dataclass
class Figures:
    """Measured values, each with the most that is allowed, in the order of the report."""

    rows: list[tuple[str, float, float | None, str]] = field(default_factory=list)

    def add(self, name: str, value: float, most: float | None, unit: str) -> None:
        self.rows.append((name, value, most, unit))

    @property
    def missed(self) -> list[str]:
        """Names of the values above what is allowed."""
        return [name for name, value, most, _ in self.rows if most is not None and value > most]

    def show(self) -> None:
        table = Table("measured", "value", "allowed", "unit")
        for name, value, most, unit in self.rows:
            allowed = "" if most is None else f"{most:g}"
            table.add_row(name, f"{value:.2f}", allowed, unit)
        out.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of feeding, for each size")
    parser.add_argument("--rate", type=int, default=3_000, help="decisions a second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), Plan(seconds=asked.seconds, rate=asked.rate))
    figures.show()
    for name in figures.missed:
        out.print(f"Missed: {name}")
    return 1 if figures.missed else 0


def measure(folder: Path, plan: Plan) -> Figures:
    """Measure everything, in homes that are made in a folder."""
    threadpool_limits(limits=1, user_api="blas")  # as in the learner's process
    figures, homes = Figures(), dict[int, tuple[Env, list[Template]]]()
    for size in plan.sizes:
        env = make_home(folder / f"of-{size}", size)
        with opened(env) as parts:
            each = templates(parts, 0, [action(number) for number in range(size)])
            among_all = templates(parts, TEMPLATES)
            steps(parts, each, plan, size, figures)
        homes[size] = env, among_all
    decide_ratio({size: env for size, (env, _) in homes.items()}, plan, figures)
    for size, (env, copied) in homes.items():
        under_load(env, copied, plan, size, figures)
    return figures


def steps(
    parts: Components, copied: Sequence[Template], plan: Plan, size: int, figures: Figures
) -> None:
    """Learn of all actions; then time the learner's transactions, and count what a step writes."""
    ledger, home = parts.ledger, parts.home
    catalog = parts.engine.setup.compiled.catalog
    learner = Learner(
        ledger, parts.engine.domain, catalog, load_params(), lambda: None, home / "learner"
    )
    feeder = Feeder(ledger, copied, seed=size)
    for _ in range(plan.each):
        feeder.feed(len(copied), utc_now(), range(len(copied)))
    catch_up(learner)
    with timed_locks(ledger) as held_ms:
        for _ in range(plan.batches):
            with untimed(held_ms):
                feeder.feed(300, utc_now())
            catch_up(learner)
    with untimed(held_ms):
        feeder.tell(OUTCOMES, utc_now())
    with wal_growth(home / "ledger.db") as written:
        catch_up(learner)
    name = f"{size:,} actions: "
    figures.add(f"{name}a step of {OUTCOMES} outcomes writes", written[0] / MB, MOST_MB, "MB")
    figures.add(f"{name}lock held, median", float(np.median(held_ms)), MOST_MEDIAN_MS, "ms")
    figures.add(f"{name}lock held, 95 %", float(np.percentile(held_ms, 95)), MOST_P95_MS, "ms")
    figures.add(f"{name}lock held, longest", max(held_ms), None, "ms")
    figures.add(f"{name}transactions timed", len(held_ms), None, "")


def catch_up(learner: Learner) -> None:
    """Learn what waits, in steps, then publish, as the learner's process does."""
    while learner.learn(utc_now()):
        pass
    learner.publish(utc_now())


@contextmanager
def timed_locks(ledger: Ledger) -> Iterator[list[float]]:
    """Time each transaction of a ledger, from its first statement to after its commit, in ms.

    The group commit runs a unit of work alone here, because nobody else writes.
    """
    held_ms: list[float] = []
    write_now = ledger.write_now

    def timed(work: Callable[..., Any]) -> Any:
        began_s: list[float] = []

        def begun(connection: Any) -> Any:
            began_s.append(time.perf_counter())
            return work(connection)

        answer = write_now(begun)
        held_ms.append((time.perf_counter() - began_s[-1]) * 1000)
        return answer

    ledger.write_now = timed  # type: ignore[method-assign]
    try:
        yield held_ms
    finally:
        ledger.write_now = write_now  # type: ignore[method-assign]


@contextmanager
def untimed(held_ms: list[float]) -> Iterator[None]:
    """Leave out the transactions of a block."""
    before = len(held_ms)
    yield
    del held_ms[before:]


@contextmanager
def wal_growth(path: Path) -> Iterator[list[int]]:
    """Count the bytes that are appended to the write-ahead log of a ledger during a block.

    Beyond 4 MB SQLite may begin at the front of the file again; so much is a miss anyway.
    """
    log, grown = path.with_name(f"{path.name}-wal"), [0]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = log.stat().st_size
    yield grown
    grown[0] = log.stat().st_size - before


def decide_ratio(homes: Mapping[int, Env], plan: Plan, figures: Figures) -> None:
    """Ask two servers in turns, each over a connection that stays open."""
    few, many = sorted(homes)
    more = {"NBA_LEARNER": "false", "NBA_REQUESTS_PER_S": "1000000"}
    with (
        running(Path(homes[few]["NBA_HOME"]), homes[few] | more) as one,
        running(Path(homes[many]["NBA_HOME"]), homes[many] | more) as other,
    ):
        took: dict[int, list[float]] = {few: [], many: []}
        asked = {few: _connected(one), many: _connected(other)}
        for number in range(plan.requests + plan.requests // 5):
            for size, connection in asked.items():
                took[size].append(_decide_ms(connection, f"c{number % CUSTOMERS}"))
    p50 = {size: float(np.median(some[plan.requests // 5 :])) for size, some in took.items()}
    for size, value in p50.items():
        figures.add(f"{size:,} actions: /v1/decide, p50", value, None, "ms")
    ratio = p50[many] / p50[few]
    figures.add(f"/v1/decide, p50, {many:,} against {few:,} actions", ratio, MOST_RATIO, "x")


def _connected(server: Server) -> HTTPConnection:
    """A connection to a server that serves what was learned."""
    bandit = server.get("/readyz")[1]["models"]["bandit"]
    assert "." in bandit, f"the bandit that serves is {bandit}, so nothing was learned"
    return server.connect()


def _decide_ms(connection: HTTPConnection, customer: str) -> float:
    body = f'{{"customer_id": "{customer}", "channel": "{CHANNEL}"}}'
    began = time.perf_counter()
    connection.request("POST", "/v1/decide", body, HEADERS)
    answer = connection.getresponse()
    said = answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, (answer.status, said)
    return took * 1000


def under_load(
    env: Env, copied: Sequence[Template], plan: Plan, size: int, figures: Figures
) -> None:
    """Feed decisions by one process while another one learns, and watch the lag."""
    url = f"sqlite:///{Path(env['NBA_HOME']) / 'ledger.db'}"
    lags, waiting = [0.0], [0]
    with learning(env), closing(Ledger(url)) as ledger:
        began_s = time.monotonic()
        # Until it learns: it may begin with a count of all that was learned before.
        while ledger.read(lambda c: read_lag(c, utc_now())).decisions:
            assert time.monotonic() < began_s + 300, "the learner does not learn"
            time.sleep(LOOK_EVERY_S)
        context = multiprocessing.get_context("spawn")
        fed = context.Value("q", 0)
        given = (url, list(copied), plan.rate, plan.seconds, size, fed)
        feeder = context.Process(target=feed_for, args=given)
        feeder.start()
        while feeder.is_alive():
            lag = ledger.read(lambda c: read_lag(c, utc_now()))
            lags.append(lag.seconds)
            waiting.append(lag.decisions)
            time.sleep(LOOK_EVERY_S)
        assert feeder.exitcode == 0, "the feeding process failed"
    name, rate = f"{size:,} actions: ", fed.value / plan.seconds
    figures.add(f"{name}decisions fed a second", rate, None, "/s")
    figures.add(f"{name}rate not fed", 1 - rate / plan.rate, 1 - FED_SHARE, "")
    figures.add(f"{name}lag while fed, longest", max(lags), MOST_LAG_S, "s")
    figures.add(f"{name}decisions waiting, most", max(waiting), None, "")


def feed_for(
    url: str, copied: list[Template], rate: int, seconds: float, seed: int, fed: Any
) -> None:
    """Feed decisions at a rate; run by a process of its own.

    Parameters
    ----------
    fed
        A shared number, set to the decisions that were written in time.
    """
    with closing(Ledger(url)) as ledger:
        feeder = Feeder(ledger, copied, seed=1_000_000 + seed)
        began_s = time.monotonic()
        for number in range(int(rate * seconds / FED_AT_ONCE)):
            wait_s = began_s + number * FED_AT_ONCE / rate - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            elif wait_s < -GIVE_UP_S:
                break
            feeder.feed(FED_AT_ONCE, utc_now())
            if time.monotonic() < began_s + seconds:
                fed.value += FED_AT_ONCE


@contextmanager
def learning(env: Env) -> Iterator[None]:
    """Run the learner's process on a home."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NBA_")}
    home = Path(env["NBA_HOME"])
    with (home / "learner.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.learn.process"],
            env=clean | env,
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
