"""Makes the home of a business with many actions, and feeds logged decisions into its ledger.

Customers have 20 numbers. An action is offered to half of them, by a condition on one number. Fed
decisions are copies of decisions that the engine has made in this home, with other customers,
times and features; their outcomes follow a planted rate of each action.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
import yaml

from features.business.catalog import NO_ACTION
from features.clock import utc_now
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import load_settings
from serving.contract.decisions import DecideRequest
from serving.server.components import Components
from tests.bench.served_home import CHANNEL, Env
from tests.commands import nba_in_process

NUMBERS, CUSTOMERS = 20, 500
WINDOW_DAYS = 7
TEMPLATES = 60  # decisions of the engine among all actions, that are copied
RATE = (0.05, 0.3)  # of acceptance: the least and the greatest of an action


def action(number: int) -> str:
    """Name an action."""
    return f"action_{number:04d}"


def make_home(folder: Path, actions: int) -> Env:
    """Load customers and build their features; return the settings of the home."""
    sources = folder / "tables"
    sources.mkdir(parents=True)
    rng = np.random.default_rng(7)
    names = [f"x{number}" for number in range(NUMBERS)]
    rows = pd.DataFrame(rng.normal(size=(CUSTOMERS, NUMBERS)).round(3), columns=names)
    rows.insert(0, "customer_id", [f"c{row}" for row in range(CUSTOMERS)])
    rows.to_csv(sources / "customers.csv", index=False)
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(folder / "domain.yaml"),
        "NBA_ACTIONS": str(folder / "actions.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
    }
    domain = {
        "name": "numbers",
        "currency": "eur",
        "channels": [CHANNEL],
        "attributes": {name: {"type": "number"} for name in names},
        "vocabulary": ["visit"],
    }
    Path(env["NBA_DOMAIN"]).write_text(yaml.safe_dump(domain), encoding="utf-8")
    Path(env["NBA_ACTIONS"]).write_text(yaml.safe_dump(_catalog(actions)), encoding="utf-8")
    for command in (["load", str(sources)], ["build"]):
        done = nba_in_process(command, env)
        assert done.returncode == 0, f"{done.args}:\n{done.stdout}{done.stderr}"
    return env


def _catalog(actions: int) -> dict[str, object]:
    """Describe the actions as a user would write them, in ten groups."""
    return {
        "outcomes": {"accepted": {"acceptance": 1}, "rejected": {"acceptance": 0}},
        "arms": {"random": 0, "nobody": 0},
        "groups": {f"group_{number}": {"kind": "promotion"} for number in range(10)},
        "actions": {
            action(number): {
                "issue": "sell",
                "group": f"group_{number % 10}",
                "value": 1 + number % 7,
                "cost": 0,
                "attribution_days": WINDOW_DAYS,
                "prior": {"acceptance": 0.15},
                "eligibility": [f"x{number % NUMBERS} > {-0.2 + 0.1 * (number % 5):.1f}"],
                "treatments": {CHANNEL: {"title": f"Offer {number}"}},
            }
            for number in range(actions)
        },
    }


@contextmanager
def opened(env: Env) -> Iterator[Components]:
    """Open the parts of a server in this process."""
    components = Components(load_settings(env))
    try:
        yield components
    finally:
        components.close()


@dataclass(frozen=True)
class Template:
    """A decision that the engine has made, as its rows in the ledger."""

    decision: dict[str, Any]
    contact: dict[str, Any]

    @property
    def action(self) -> str:
        """The action that it showed."""
        return str(self.contact["action_id"])


def templates(components: Components, count: int, each: Sequence[str] = ()) -> list[Template]:
    """Let the engine decide, and read the rows of the decisions that showed an action.

    Parameters
    ----------
    count
        Decisions among all actions.
    each
        One more decision for each of these actions, to which it is offered alone.
    """
    asked = [(row, None) for row in range(count)]
    asked += [(row, [name]) for name in each for row in range(CUSTOMERS)]
    engine, shown, found = components.engine, set[str](), list[str]()

    async def decide() -> None:
        for row, names in asked:
            if names and names[0] in shown:
                continue
            request = {"customer_id": f"c{row % CUSTOMERS}", "channel": CHANNEL, "actions": names}
            decision = await engine.decide(DecideRequest.model_validate(request), utc_now())
            if (drawn := decision.actions[0].action_id) != NO_ACTION:
                shown.update(names or ())
                found.append(decision.decision_id)
                assert not names or drawn == names[0]

    asyncio.run(decide())
    return components.ledger.read(lambda connection: _read_templates(connection, found))


def _read_templates(connection: sa.Connection, ids: Sequence[str]) -> list[Template]:
    read = []
    for name in ids:
        decision, contact = (
            connection.execute(sa.select(table).where(table.c.decision_id == name)).mappings().one()
            for table in (tables.decisions, tables.contacts)
        )
        row = {key: value for key, value in decision.items() if key != "serial"}
        read.append(Template(row, dict(contact)))
    return read


class Feeder:
    """Writes copies of templates as served decisions, with queued silences and outcomes.

    Parameters
    ----------
    accepted
        Whether outcomes are written for those that accept, at the planted rate of the action.
    """

    def __init__(self, ledger: Ledger, copied: Sequence[Template], seed: int) -> None:
        self._ledger = ledger
        self._copied = copied
        self._rng = np.random.default_rng(seed)
        self._number = 0
        self._silent: list[dict[str, Any]] = []  # fed and not accepted, by their keys
        self._name = f"fed{seed}x"
        rates = np.random.default_rng(1).uniform(*RATE, size=100_000)
        self._rates = {one.action: rates[int(one.action[-4:])] for one in copied}

    def feed(self, count: int, at: datetime, chosen: Sequence[int] | None = None) -> None:
        """Write ``count`` decisions of a moment in one transaction.

        Parameters
        ----------
        chosen
            Positions of the templates; default: drawn.
        """
        rng, which = self._rng, chosen
        if which is None:
            which = rng.integers(len(self._copied), size=count).tolist()
        rows: dict[str, list[dict[str, Any]]] = {"decisions": [], "contacts": [], "credits": []}
        outcomes = []
        for position in which:
            copied = self._copied[position]
            self._number += 1
            own = {"decision_id": f"{self._name}{self._number:09d}"}
            own |= dict.fromkeys(("subject", "customer_id"), f"c{rng.integers(CUSTOMERS)}")
            features = np.frombuffer(copied.decision["features"], dtype="<f8")
            noise = rng.normal(size=len(features))
            times = {"decided_at": at, "activated_at": at}
            times["window_ends_at"] = at + timedelta(days=WINDOW_DAYS)
            told = {"features": (features + noise).tobytes()}
            rows["decisions"].append(copied.decision | own | times | told)
            rows["contacts"].append(copied.contact | own | {"shown_at": at})
            key = {"decision_id": own["decision_id"], "action_id": copied.action}
            nothing = {"acceptance": 0.0, "count": 0.0, "revise_at": at, "sequence": None}
            rows["credits"].append(key | nothing)
            if rng.random() < self._rates[copied.action]:
                outcomes.append(key | _accepted(f"o-{own['decision_id']}", at))
            else:
                self._silent.append(key)
        if outcomes:
            rows["outcomes"] = outcomes

        def write(connection: sa.Connection) -> None:
            for table, written in rows.items():
                connection.execute(tables.metadata.tables[table].insert(), written)

        self._ledger.write_now(write)

    def tell(self, count: int, at: datetime) -> None:
        """Write an acceptance of each of ``count`` decisions that were silent so far."""
        places = self._rng.choice(len(self._silent), size=count, replace=False)
        keys = [self._silent[place] for place in places]
        rows = [key | _accepted(f"o-{key['decision_id']}", at) for key in keys]
        told = {key["decision_id"] for key in keys}
        self._silent = [key for key in self._silent if key["decision_id"] not in told]
        self._ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), rows))


def _accepted(name: str, at: datetime) -> dict[str, Any]:
    return {
        "outcome_id": name,
        "outcome": "accepted",
        "value": None,
        "occurred_at": at,
        "received_at": at,
        "shared_id": None,
        "retracts": None,
        "revises": None,
        "learned": False,
    }
