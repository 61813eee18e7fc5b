"""The kept decisions lie here; this opens them and makes each once more.

Nothing in the fixture names a module of ours, so it outlives every move of the program. A folder
for each business holds `domain.yaml`, `ledger.db.gz`, `models/<name>/<version>/` as the models save
themselves, and `expected.json.gz`: what else was told of each decision. `grocer.json.gz` holds
what was known and foreseen of real households.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from pydantic_core import to_json

from features.business.catalog import Catalog
from features.business.decided_actions import Beliefs, logged_chances, shown_beliefs
from features.business.domain import Domain, load_domain
from features.customers.profiles import account_key, account_of, attributes_of
from features.errors import ModelMissing
from features.identity.links import links_of
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.migrations import migrate
from features.states.stored_events import events_of
from serving.audit.archive import Archive
from serving.audit.repeated_decision import inputs_from_record
from serving.audit.replay import Replay
from serving.decide.choice import score, select
from serving.decide.decision_record import append_many, decision_rows
from serving.decide.limit_inputs import limit_inputs_of
from serving.decide.step_results import CompleteDecision
from training.params import load_params
from training.pipeline.registry import ModelVersion

FIXTURE = Path(__file__).parent / "fixture"
BUSINESSES = ("shop", "world")
# What a decision writes; the rest of its row comes later, by merges and activation.
WRITTEN = (
    *("decision_id", "subject", "decided_at", "channel", "action_id", "probability", "arm"),
    *("features", "answer"),
)


@dataclass
class Folders:
    """It is a registry of folders; ``champions`` says which version of each model serves."""

    root: Path
    champions: dict[str, str]

    def champion(self, name: str) -> ModelVersion | None:
        """It finds the version that serves; None if there is none."""
        return self.version(name, self.champions[name]) if name in self.champions else None

    def version(self, name: str, version: str) -> ModelVersion:
        """It finds a version by its number.

        Raises
        ------
        ModelMissing
            If there is no such folder.
        """
        if not (self.root / name / version).is_dir():
            raise ModelMissing(f"{name} {version} is gone.", expected="a folder", remedy="None.")
        return ModelVersion(name, version, (), "passed", f"kept{version}")

    def folder(self, version: ModelVersion) -> Path:
        """The files of a version lie here."""
        return self.root / version.name / version.version


@dataclass
class Kept:
    """It is one business of the fixture, opened on a copy of its ledger."""

    name: str
    domain: Domain
    ledger: Ledger
    archive: Archive

    @property
    def input(self) -> ModelInput:
        """It says what models read."""
        return ModelInput(self.domain)

    @property
    def replay(self) -> Replay:
        """It repeats decisions, each with the catalogue of then."""
        return Replay(self.ledger, self.archive, self.catalogs()[-1])

    def catalogs(self) -> list[Catalog]:
        """These were decided with, the oldest first."""
        columns = tables.catalogs.c
        query = sa.select(columns.content).order_by(columns.first_used_at)
        found = self.ledger.read(lambda connection: list(connection.execute(query).scalars()))
        return [Catalog.model_validate_json(one) for one in found]

    def rows(self, table: sa.Table = tables.decisions) -> list[Any]:
        """It reads all of a table; decisions in the order in which they were made."""
        query = sa.select(table)
        query = query.order_by(table.c.serial) if table is tables.decisions else query
        return self.ledger.read(lambda connection: list(connection.execute(query)))

    def decisions(self) -> list[Any]:
        """These are the decisions of our own."""
        return [row for row in self.rows() if row.answer is not None]

    def rebuilt(self, row: Any, scratch: Ledger) -> tuple[Any, str, dict[str, Any]]:
        """A decision is made and kept once more, in another ledger: its row, its record as it was
        written then, and what it spent."""
        record, answer = json.loads(row.record), json.loads(row.answer)
        catalog = self.archive.catalog(record["catalog"])
        assert catalog is not None
        setup = self.archive.setup(catalog, answer["models"])
        inputs = inputs_from_record(setup, row, record, answer, explain=False)
        scored = score(setup, inputs)
        locked = limit_inputs_of(record, inputs.customer_id)
        selected = select(setup, inputs, scored, locked)
        complete = CompleteDecision(setup, inputs, scored, locked, selected)
        rows, changed = [decision_rows(complete)], selected.pacing_result.changed
        scratch.write_now(lambda c: append_many(c, rows, changed))
        query = sa.select(tables.decisions).where(tables.decisions.c.decision_id == row.decision_id)
        again = scratch.read(lambda connection: connection.execute(query).one())
        spent = json.loads(json.dumps(changed))
        return again, former_record(again, complete), spent

    def read_again(self, row: Any) -> Any:
        """The row of a decision is read again from events and facts; None for customers who were
        ever linked: they were others then."""

        def state(connection: sa.Connection, key: str) -> list[float] | None:
            folded, seen = self.input.fold.empty(), False
            for _, kind, channel, at_us, properties in events_of(connection, key):
                if at_us <= tables.micros(row.decided_at):
                    told = json.loads(properties)
                    folded = self.input.fold.advance(folded, kind, channel, at_us / 1e6, told)
                    seen = True
            return folded if seen else None

        def read(connection: sa.Connection) -> Any:
            if links_of(connection, [row.subject]):
                return None
            facts, account = attributes_of(connection, row.subject), None
            if company := account_of(connection, row.subject):
                account = state(connection, account_key(company))
            at_s, mine = row.decided_at.timestamp(), state(connection, row.subject)
            return np.array(self.input.read(facts, mine, at_s, account)).tobytes()

        return self.ledger.read(read)

    def told(self, row: Any, scratch: Ledger) -> dict[str, Any]:
        """A decision tells more than its row: its explanation as of then, and what it spent."""
        explained = self.replay.explain(row.decision_id).model_dump(mode="json")
        assert explained.pop("remark") is None  # all snapshots of the fixture are kept
        return {"explained": explained, "spent": self.rebuilt(row, scratch)[2]}


def former_record(row: Any, complete: CompleteDecision) -> str:
    """A record is told in the form of then, when it held what was believed as JSON."""
    record, names = json.loads(row.record), complete.setup.compiled.actions
    experts = {name: numbers for name, (_, numbers) in shown_beliefs(row, record).items()}
    chances = {name: p for name, p in logged_chances(row, record, names).items() if p > 0}
    beliefs = Beliefs.from_bytes(row.believed)
    believed = dict(zip(beliefs.allowed.tolist(), beliefs.acceptance.tolist(), strict=True))
    acceptance = {names[index]: number for index, number in believed.items()}
    priority = dict(zip(names, complete.scored.priority.tolist(), strict=True))
    candidates = {
        "experts": experts,
        "candidates": [*chances],
        "acceptance": [acceptance.get(name, 0.0) for name in chances],
        "priority": [priority.get(name, 0.0) for name in chances],
        "probabilities": [*chances.values()],
    }
    return to_json(record | candidates).decode()


def opened(name: str, scratch: Path) -> Kept:
    """This opens a business on a copy of its ledger in ``scratch``, brought to today's schema."""
    url = f"sqlite:///{unpacked(name, scratch)}"
    migrate(url)
    return kept_in(name, FIXTURE / name, Ledger(url))


def kept_in(name: str, folder: Path, ledger: Ledger) -> Kept:
    """This opens a business whose domain and models lie in a folder."""
    domain = load_domain(folder / "domain.yaml")
    registry: Any = Folders(folder / "models", {})
    return Kept(name, domain, ledger, Archive(registry, ledger, domain, load_params()))


def read_json(path: Path) -> Any:
    """This reads what `write_json` wrote."""
    return json.loads(gzip.decompress(path.read_bytes()))


def write_json(path: Path, content: Any) -> None:
    """This writes the same bytes for the same content."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def kinds(businesses: list[Kept]) -> Counter[str]:
    """This counts the decisions of each kind."""
    found: Counter[str] = Counter()
    for business in businesses:
        catalogs = [one.fingerprint for one in business.catalogs()]
        for row in business.decisions():
            found.update(_kinds(business.name, row, catalogs))
    return found


def _kinds(name: str, row: Any, catalogs: list[str]) -> set[str]:
    """This names the kinds that one decision is of."""
    answer, record = json.loads(row.answer), json.loads(row.record)
    request, models = record["request"], answer["models"]
    shown = [one["action_id"] for one in answer["actions"]]
    activation = json.loads(row.activation) if row.activation else None
    base, dot, _ = (models["bandit"] or "none").partition(".")
    said = {
        "all": True,
        "explained": answer["explanation"] is not None,
        "deferred": not answer["activated"],
        "activated later": activation is not None,
        "activated in part": activation is not None and bool(activation["removed"]),
        "never activated": not answer["activated"] and activation is None,
        "no_action": shown == ["no_action"],
        "drawn with less than half": row.probability < 0.5,
        "known": answer["known"],
        "stranger": not answer["known"],
        "degraded": bool(answer["degraded"]),
        "merged since": row.customer_id != answer["customer_id"],
        "merged before": row.subject != answer["customer_id"],
        "context": "context" in request,
        "placement": "placement" in request,
        "only some actions": "actions" in request,
        "without some actions": "exclude" in request,
        "by identifiers": "identifiers" in request,
        "paced": bool(record["paces"]),
        "contacts looked at": bool(record["contacts"]),
        "contacts of colleagues": any(not own for own, *_ in record["contacts"]),
        "consents looked at": bool(record["consents"]),
        "consent withdrawn": not all(record["consents"].values()),
    }
    return {kind for kind, holds in said.items() if holds} | {
        f"of the {name}",
        f"{name} catalogue {catalogs.index(record['catalog']) + 1}",
        f"{answer['arm']} arm",
        f"{len(shown)} shown",
        f"{request.get('slots', 1)} slots",
        f"bandit {base}{dot and '.N'}",
        f"churn {models.get('churn')}",
        f"intent {models.get('intent')}",
        *(f"removed by {rule}" for rule in record["removed"].values()),
    }


def counted(name: str, scratch: Path) -> dict[str, int]:
    """This counts the rows of each table of a kept ledger, as it lies there."""
    with closing(sqlite3.connect(unpacked(name, scratch))) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        names = [one for (one,) in connection.execute(query)]
        counts = {one: connection.execute(f'SELECT count(*) FROM "{one}"') for one in sorted(names)}
        return {one: count.fetchone()[0] for one, count in counts.items()}


def schema_of(name: str, scratch: Path) -> str:
    """This reads the schema of a kept ledger, as it lies there."""
    with closing(sqlite3.connect(unpacked(name, scratch))) as connection:
        query = "SELECT value FROM meta WHERE key = 'schema'"
        return str(connection.execute(query).fetchone()[0])


def unpacked(name: str, scratch: Path) -> Path:
    """This copies a kept ledger, as opening one writes to it."""
    path = scratch / f"{name}.db"
    path.write_bytes(gzip.decompress((FIXTURE / name / "ledger.db.gz").read_bytes()))
    return path


def run(coroutine: Any) -> Any:
    """This runs a coroutine to its end."""
    return asyncio.run(coroutine)


def scratch_ledger(folder: Path) -> Any:
    """This makes an empty ledger, closed at the end of a ``with`` block."""
    return closing(Ledger(f"sqlite:///{folder / 'scratch.db'}"))
