"""Logs decisions over 40 simulated days, and explains and replays each of them.

    python -m tests.bench.forty_days --decisions 10000

The engine, the ledger and the learner are the real ones; only the clock and the customers are
simulated. Outcomes come late, attribution windows take 1 to 14 days. The learner steps and
publishes a snapshot at each second at which an outcome was told or a decision was shown, and the
maintenance thins the snapshots. After ten days a made-up effect model is published, another one
each five days; none is kept in the end. Then every decision is explained and replayed with the
catalogue of then, and the size of the ledger is divided by the decisions.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from rich.console import Console

from features.business.catalog import NO_ACTION
from features.business.domain import Domain, load_domain
from features.errors import ModelMissing, NbaError
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import Archive, keep_catalog
from serving.audit.replay import Replay
from serving.catalog.compiled_catalog import CompiledCatalog, load_catalog
from serving.contract.decisions import DecideRequest, Decision
from serving.contract.events import OutcomeRequest
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.decide.outcomes import record_outcome
from serving.learn.learner import Learner
from serving.models.watcher import ModelWatcher
from tests.serving.fake_registry import an_effect_model, publish_effect_model
from training.arrays import Floats
from training.bandit.encoder import Encoder
from training.params import load_params

DAYS = 40.0
DOMAINS = GROCERY.parent
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
WINDOWS_DAYS = (1.0, 3.0, 7.0, 14.0)
EVENTS_BEFORE, EVENTS_BETWEEN = 40, 3  # events of a customer before the first decision, and others
STEPS_BETWEEN_CHECKPOINTS = 200  # of the learner, which is some minutes
HABIT = 0.05  # concentration of the kinds of events of one customer: a few kinds make up most
BYTES_ALLOWED = 4096  # a decision, snapshots included
out = Console(width=120)


class NoRegistry:
    """A registry without a model: the bandit builds on the priors of the catalogue."""

    def champion(self, name: str) -> None:
        return None

    def version(self, name: str, version: str) -> None:
        raise ModelMissing(f"{name} {version} is not here.", expected="no model", remedy="None.")


@dataclass
class Customers:
    """Customers whose features change with the events that happen to them.

    Attributes
    ----------
    states, attributes : by customer
    at_s : the time of the last event, by customer
    habits : how often each kind of event happens, by customer; most kinds seldom or never
    """

    domain: Domain
    model_input: ModelInput
    rng: np.random.Generator
    states: dict[str, State] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    at_s: dict[str, float] = field(default_factory=dict)
    habits: dict[str, Floats] = field(default_factory=dict)

    def online(self, customer_id: str) -> CustomerFeatures | None:
        return CustomerFeatures(self.attributes[customer_id], self.states[customer_id])

    def happen(self, customer_id: str, until: datetime, count: int) -> None:
        """Add events up to a time, at random."""
        if customer_id not in self.states:
            self.states[customer_id] = self.model_input.fold.empty()
            self.attributes[customer_id] = self._attributes()
            self.at_s[customer_id] = (BEGIN - timedelta(days=200)).timestamp()
            self.habits[customer_id] = self.rng.dirichlet(np.full(len(self._kinds), HABIT))
        begin, end = self.at_s[customer_id], until.timestamp()
        drawn = self.rng.choice(len(self._kinds), count, p=self.habits[customer_id]).tolist()
        for number, at_s in enumerate(np.sort(self.rng.uniform(begin, end, count)).tolist()):
            kind = self._kinds[drawn[number]]
            channel = self.domain.channels[int(self.rng.integers(len(self.domain.channels)))]
            told = {
                name: self._value(one)
                for name, one in self.domain.events[kind].properties.items()
                if one.required or self.rng.random() < 0.7
            }
            state = self.states[customer_id]
            self.states[customer_id] = self.model_input.fold.advance(
                state, kind, channel, at_s, told
            )
            self.at_s[customer_id] = at_s

    @cached_property
    def _kinds(self) -> list[str]:
        return [name for name, event in self.domain.events.items() if not event.consent]

    def _attributes(self) -> dict[str, str]:
        return {
            name: str(self._value(one))
            for name, one in self.domain.attributes.items()
            if self.rng.random() < 0.8
        }

    def _value(self, one: Any) -> Any:
        if one.type == "category" and one.values:
            return one.values[int(len(one.values) * self.rng.random() ** 3)]
        if one.type == "number":
            low, high = getattr(one, "min", None) or 0.0, getattr(one, "max", None) or 100.0
            return round(float(self.rng.uniform(low, high)), 2)
        return "something"


class Told(NamedTuple):
    """An outcome that comes at a time."""

    at: datetime
    number: int
    outcome: OutcomeRequest


@dataclass
class FortyDays:
    """A business with its ledger, its customers and its learner.

    Attributes
    ----------
    published : number of snapshots
    effect_models : number of published ones
    """

    path: Path
    domain: Domain
    engine: Engine
    learner: Learner
    watcher: ModelWatcher
    customers: Customers
    rng: np.random.Generator
    published: int = 0
    steps: int = 0
    effect_models: int = 0
    waiting: list[Told] = field(default_factory=list)

    @classmethod
    def opened(cls, folder: Path, name: str, actions: int, seed: int) -> FortyDays:
        domain = load_domain(DOMAINS / f"{name}.yaml")
        model_input, params = ModelInput(domain), load_params()
        catalog = load_catalog(_catalog(folder, name, actions), domain)
        # As much is tried as where acceptances alone count, so that nearly all decisions show one.
        catalog = catalog.with_parts(exploration_scale=1.0)
        ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        keep_catalog(ledger, catalog, BEGIN)
        # The same draws in each run: with the ids of decisions, the secret seeds them.
        ledger.write_now(lambda c: tables.set_meta(c, tables.DRAW_SECRET, f"forty days {seed}"))
        registry: Any = NoRegistry()
        watcher = ModelWatcher(registry, ledger, domain, catalog, params)
        watcher.refresh()
        compiled = CompiledCatalog(catalog, domain, model_input)
        rng = np.random.default_rng(seed)
        customers = Customers(domain, model_input, rng)
        setup = DecisionSetup(compiled, watcher.current, model_input)
        engine = Engine(domain, model_input, customers, ledger, setup)
        learner = Learner(ledger, domain, catalog, params, lambda: None, folder / "learner")
        return cls(folder / "ledger.db", domain, engine, learner, watcher, customers, rng)

    def live(self, decisions: int) -> None:
        """Decide at random times; outcomes come in between, and the learner learns each second."""
        offsets = np.sort(self.rng.uniform(0, DAYS * 86_400, decisions))
        people = max(decisions // 16, 4)
        for offset_s in offsets.tolist():
            now = BEGIN + timedelta(seconds=offset_s)
            self._add_effects(now)
            self._tell(now)
            decision = self._decide(f"c{self.rng.integers(people)}", now)
            self._react(decision, now)
            self._learn(now + timedelta(seconds=1))
        self._tell(BEGIN + timedelta(days=DAYS))
        self._checkpoint()
        self.engine.ledger.write_now(lambda c: c.execute(tables.effect_models.delete()))
        self.engine.ledger.close()

    def _add_effects(self, now: datetime) -> None:
        """Publish a made-up effect model where the next one is due."""
        if now < BEGIN + timedelta(days=5 * (self.effect_models + 2)):
            return
        self.effect_models += 1
        wide = np.array([EVENTS_BEFORE + 0.0])
        encoder = Encoder(("events_n",), self.domain.channels, wide, wide)
        actions = self.engine.setup.compiled.actions
        model = an_effect_model(actions[: self.effect_models * 3], encoder)
        publish_effect_model(self.engine.ledger, now, self.effect_models, model)

    def _decide(self, customer_id: str, now: datetime) -> Decision:
        is_new = customer_id not in self.customers.states
        self.customers.happen(customer_id, now, EVENTS_BEFORE if is_new else EVENTS_BETWEEN)
        channel = self.domain.channels[int(self.rng.integers(len(self.domain.channels)))]
        asked = {
            "customer_id": customer_id,
            "channel": channel,
            "slots": int(self.rng.choice([1, 1, 1, 2, 3])),
            "placement": "home",
            "decision_id": f"{int(self.rng.integers(2**62)):032x}",
        }
        return asyncio.run(self.engine.decide(DecideRequest.model_validate(asked), now))

    def _react(self, decision: Decision, now: datetime) -> None:
        """Accept one in six of the shown actions, at a random age within its window."""
        days = self.engine.setup.compiled.catalog.actions
        for one in decision.actions:
            if one.action_id == NO_ACTION or self.rng.random() > 1 / 6:
                continue
            age = timedelta(days=days[one.action_id].attribution_days * self.rng.random() ** 2)
            said = OutcomeRequest(
                decision_id=decision.decision_id, action_id=one.action_id, outcome="accepted"
            )
            heapq.heappush(self.waiting, Told(now + age, len(self.waiting), said))

    def _tell(self, until: datetime) -> None:
        while self.waiting and self.waiting[0].at <= until:
            at, _, outcome = heapq.heappop(self.waiting)
            catalog = self.engine.setup.compiled.catalog
            asyncio.run(record_outcome(outcome, self.engine.ledger, catalog, at))
            self._learn(at + timedelta(seconds=1))

    def _checkpoint(self) -> None:
        if (write := self.learner.checkpoint()) is not None:
            write()

    def _learn(self, now: datetime) -> None:
        self.published += self.learner.step(now)
        self.steps += 1
        if self.steps % STEPS_BETWEEN_CHECKPOINTS == 0:
            self._checkpoint()
        if self.watcher.refresh_snapshot():
            self.engine.setup = self.engine.setup.with_models(self.watcher.current)


def _catalog(folder: Path, name: str, actions: int) -> Path:
    """The packaged catalogue, its actions repeated until there are so many."""
    content = yaml.safe_load((DOMAINS / f"{name}.actions.yaml").read_text(encoding="utf-8"))
    templates = [*content["actions"].items()]
    for number in range(len(templates), actions):
        repeated, action = templates[number % len(templates)]
        content["actions"][f"{repeated}_{number}"] = {**action, "value": action["value"] * 0.9}
    for number, action in enumerate(content["actions"].values()):
        action["attribution_days"] = WINDOWS_DAYS[number % len(WINDOWS_DAYS)]
        action.pop("outcomes", None)
    path = folder / f"{name}.actions.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


class Audited(NamedTuple):
    """Numbers of decisions that came out as they were logged."""

    decisions: int
    explained: int
    replayed: int


def audit(lived: FortyDays) -> Audited:
    """Explain and replay every decision."""
    ledger = Ledger(f"sqlite:///{lived.path}")
    registry: Any = NoRegistry()
    archive = Archive(registry, ledger, lived.domain, load_params())
    replay = Replay(ledger, archive, lived.engine.setup.compiled.catalog)
    found = Counter[str]()
    for answer in replay.since(BEGIN, None, "then"):
        found["decisions"] += 1
        found["replayed"] += answer.identical
        try:
            found["explained"] += replay.explain(answer.decision_id).as_logged
        except NbaError as error:
            if not found["refused"]:
                out.print(f"Not explained: {error}")
            found["refused"] += 1
    ledger.close()
    return Audited(found["decisions"], found["explained"], found["replayed"])


def bytes_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the bytes of each table of a ledger with its indexes, the largest first."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = (
            "SELECT tbl_name, SUM(pgsize) FROM dbstat JOIN sqlite_master USING (name) "
            "GROUP BY tbl_name ORDER BY 2 DESC"
        )
        yield from connection.execute(query).fetchall()


def columns_of(path: Path) -> Mapping[str, float]:
    """Mean bytes of the large columns of a decision, as they are stored."""
    names = ("features", "record", "answer", "believed")
    with closing(sqlite3.connect(path)) as connection:
        said = ", ".join(f"AVG(LENGTH(CAST({name} AS BLOB)))" for name in names)
        row = connection.execute(f"SELECT {said} FROM decisions").fetchone()
    return dict(zip(names, row, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--domain", default="world")
    parser.add_argument("--actions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=17)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        lived = FortyDays.opened(Path(scratch), asked.domain, asked.actions, asked.seed)
        lived.live(asked.decisions)
        lived_s = time.perf_counter() - began
        parts = [*bytes_of(lived.path)]
        size = lived.path.stat().st_size / asked.decisions
        columns = columns_of(lived.path)
        found = audit(lived)
        took_s = time.perf_counter() - began
    out.print(
        f"{found.decisions:,} decisions over {DAYS:g} days of {asked.domain} with {asked.actions} "
        f"actions; {lived.published:,} snapshots; {lived_s:.0f} s, with the audit {took_s:.0f} s."
    )
    for name, total in parts[:8]:
        out.print(f"  {name}: {total / asked.decisions:,.0f} bytes a decision")
    out.print("  " + ", ".join(f"{name} {mean:,.0f}" for name, mean in columns.items()) + " bytes")
    goals = {
        f"explained: {found.explained:,} of {found.decisions:,}": found.explained,
        f"replayed identical: {found.replayed:,} of {found.decisions:,}": found.replayed,
    }
    reached = [count == asked.decisions for count in goals.values()]
    for text, good in zip(goals, reached, strict=True):
        out.print(f"{text} (goal: all) {'reached' if good else 'MISSED'}")
    small = size <= BYTES_ALLOWED
    out.print(
        f"ledger: {size:,.0f} bytes a decision (goal: at most {BYTES_ALLOWED:,}) "
        f"{'reached' if small else 'MISSED'}"
    )
    return 0 if all([*reached, small]) else 1


if __name__ == "__main__":
    sys.exit(main())
