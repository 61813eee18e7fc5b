"""Measures /v1/lift over a million decisions, and the time that summing them takes.

    python -m tests.bench.lift_speed --decisions 1000000 --customers 2500 100000

The decisions are made up and written to the ledger directly. One in ten was accepted. The longest
of the requests is printed beside their median, as the first one may read the disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from rich.console import Console

from features.business.catalog import Catalog
from features.business.domain import load_domain
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.rewards.reward_state import read_state
from features.rewards.reward_steps import STEP, RewardRules, sum_rewards
from features.settings import load_settings
from serving.audit.lift.view import view_lift
from serving.catalog.compiled_catalog import load_catalog
from serving.contract.lift import LiftRequest
from tests.server import Server, running
from tests.summed import sum_all

MOST_S = 0.3  # for a request
DAYS, BATCH = 60, 10_000
SMALL_STEPS, LARGE = 200, 1_000  # the first steps are those of a server; the others are quicker
CONTROL, ACCEPTED = 0.1, 0.1
PADDING = "x" * 700  # a row has about 1 KB
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, nargs="+", default=[2_500, 100_000])
    parser.add_argument("--requests", type=int, default=5)
    asked = parser.parse_args()
    slow = 0
    for customers in asked.customers:
        with tempfile.TemporaryDirectory() as scratch:
            times = measure(Path(scratch), asked.decisions, customers, asked.requests)
        slow += any(statistics.median(took) > MOST_S for took in times.values())
    raise SystemExit(slow)


def measure(home: Path, decisions: int, customers: int, requests: int) -> dict[str, list[float]]:
    """Fill a home, sum its rewards, and ask a server for the lift; seconds by what is asked."""
    settings = load_settings()
    domain = load_domain(settings.domain)
    catalog = load_catalog(settings.actions, domain)
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    now = datetime.now(UTC)
    fill(ledger, catalog, decisions, customers, now)
    out.print(f"{decisions:,} decisions of {customers:,} customers, in {DAYS} days:")
    begun, rules = time.perf_counter(), RewardRules.of(catalog, domain)
    steps = [_step_s(ledger, rules) for _ in range(SMALL_STEPS)]
    sum_all(ledger, rules, LARGE)
    seconds = time.perf_counter() - begun
    out.print(
        f"  summed in {seconds:.1f} s, {decisions / seconds:,.0f} a second; steps of {STEP}: "
        f"p50 {np.median(steps) * 1e3:.1f} ms, p99 {np.quantile(steps, 0.99) * 1e3:.1f} ms"
    )
    assert ledger.read(read_state).rewards.after is None
    begun = time.perf_counter()
    found = view_lift(LiftRequest(), ledger, catalog, domain, now)
    out.print(f"  function, first call: {time.perf_counter() - begun:.3f} s; {found.verdict}")
    assert found.credited.policy.decisions + found.credited.random.decisions == decisions, found
    ledger.close()
    week, hour = (now - timedelta(days=7)).isoformat(), (now - timedelta(hours=1)).isoformat()
    bodies = {"all": {}, "7 days to now": {"since": week}, "the last hour": {"since": hour}}
    with running(home) as server:
        times = {name: _asked(server, body, requests) for name, body in bodies.items()}
        _, whole = server.post("/v1/lift", {})
        arms = (whole["credited"][arm]["decisions"] for arm in ("policy", "random"))
        assert sum(arms) == decisions, whole
    for name, took in times.items():
        median, longest = statistics.median(took), max(took)
        out.print(f"  /v1/lift of {name}: median {median:.3f} s, longest {longest:.3f} s")
    return times


def _step_s(ledger: Ledger, rules: RewardRules) -> float:
    begun = time.perf_counter()
    sum_rewards(ledger, rules)
    return time.perf_counter() - begun


def _asked(server: Server, body: dict[str, Any], requests: int) -> list[float]:
    times = []
    for _ in range(requests):
        begun = time.perf_counter()
        status, answer = server.post("/v1/lift", body)
        times.append(time.perf_counter() - begun)
        assert status == 200, answer
    return times


def fill(
    ledger: Ledger, catalog: Catalog, decisions: int, customers: int, now: datetime, seed: int = 7
) -> None:
    """Write decisions with their contacts and outcomes, the oldest first."""
    rng = np.random.default_rng(seed)
    arms = np.where(rng.random(customers) < CONTROL, "random", "policy")
    names = list(catalog.actions)
    who = rng.integers(customers, size=decisions)
    what = rng.integers(len(names), size=decisions)
    accepted = rng.random(decisions) < ACCEPTED
    outcome = next(name for name, one in catalog.outcomes.items() if one.acceptance == 1)
    between = timedelta(days=DAYS) / decisions

    def rows(numbers: range) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for number in numbers:
            at = now - between * (decisions - number)
            name = names[what[number]]
            days = catalog.actions[name].attribution_days
            record = f'{{"attribution_days": {{"{name}": {days}}}, "more": "{PADDING}"}}'
            keys = {
                "decision_id": f"d{number}",
                "subject": f"c{who[number]}",
                "customer_id": f"c{who[number]}",
                "channel": "app",
            }
            ends = {"window_ends_at": at + timedelta(days=days), "probability": 0.5}
            served = {"served": True, "arm": str(arms[who[number]]), "features": b"", "answer": ""}
            decision = {"decided_at": at, "activated_at": at, "action_id": name, "record": record}
            shown = {"action_id": name, "shown_at": at, "action_group": "any", "outcomes_at": ""}
            yield keys | ends | served | decision, keys | shown

    def outcomes(numbers: range) -> list[dict[str, Any]]:
        return [
            {
                "outcome_id": f"o{number}",
                "decision_id": f"d{number}",
                "action_id": names[what[number]],
                "outcome": outcome,
                "occurred_at": now - between * (decisions - number),
                "received_at": now,
                "learned": True,
            }
            for number in numbers
            if accepted[number]
        ]

    for begin in range(0, decisions, BATCH):
        numbers = range(begin, min(begin + BATCH, decisions))
        some, happened = list(rows(numbers)), outcomes(numbers)

        def write(
            c: sa.Connection,
            some: list[tuple[dict[str, Any], dict[str, Any]]] = some,
            happened: list[dict[str, Any]] = happened,
        ) -> None:
            c.execute(tables.decisions.insert(), [one for one, _ in some])
            c.execute(tables.contacts.insert(), [one for _, one in some])
            if happened:
                c.execute(tables.outcomes.insert(), happened)

        ledger.write_now(write)


if __name__ == "__main__":
    main()
