"""Makes the homes and the requests of the benchmark of guarantees: a mail-order shop with accounts.

The shop needs no trained models. Its catalogue holds promotions, which everybody gets while no
complaint is open, and one service action of low value.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import yaml

from features.ledger.ledger import Ledger
from features.settings import Settings, load_settings
from tests.commands import nba_in_process
from tests.conftest import SHOP
from tests.server import Server, running

PROMOTIONS = [f"offer_{number}" for number in range(1, 9)]
CHANNEL = "app"
PER_ACCOUNT = {"at_most": 1_000_000, "days": 7, "per": "account"}


@dataclass(frozen=True)
class Home:
    """A built home, and the environment of a server that works in it."""

    path: Path
    env: dict[str, str]

    @property
    def settings(self) -> Settings:
        """The settings of this environment."""
        return load_settings(self.env)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open the ledger beside the server."""
        opened = Ledger(self.settings.ledger_url)
        try:
            yield opened
        finally:
            opened.close()

    def copy(self, folder: Path) -> Home:
        """Copy the home, for a server whose changes must not be seen by others."""
        shutil.copytree(self.path, folder)
        return Home(folder, {**self.env, "NBA_HOME": str(folder)})


class Business(NamedTuple):
    """A domain and a catalogue, each as content of a YAML file."""

    domain: Mapping[str, Any]
    catalog: Mapping[str, Any]


def found(
    folder: Path,
    people: Mapping[str, str | None],
    events: pa.Table | None = None,
    per_account: bool = False,
    business: Business | None = None,
) -> Home:
    """Load and build the shop.

    Parameters
    ----------
    people
        By customer, the company that is the account; None for a private customer.
    events
        A contract table of events.
    per_account
        Whether a rule of the catalogue counts the contacts of the whole account.
    business
        Another domain and another catalogue than those of the shop.
    """
    told = folder / "tables"
    told.mkdir(parents=True)
    columns = {"customer_id": [*people], "company": [company or "" for company in people.values()]}
    csv.write_csv(pa.table(columns), told / "customers.csv")
    if events is not None:
        pq.write_table(events, told / "events.parquet")
    catalog = folder / "actions.yaml"
    content = business.catalog if business else catalog_of_shop(per_account)
    catalog.write_text(yaml.safe_dump(content), encoding="utf-8")
    domain = SHOP / "domain.yaml"
    if business:
        domain = folder / "domain.yaml"
        domain.write_text(yaml.safe_dump(business.domain), encoding="utf-8")
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(domain),
        "NBA_ACTIONS": str(catalog),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
        "NBA_LEARNER": "false",
        "OPENBLAS_NUM_THREADS": "1",
    }
    for command in (["load", str(told)], ["build"]):
        done = nba_in_process(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
    return Home(folder / "home", env)


@contextmanager
def serving_shop(
    people: Mapping[str, str | None],
    events: pa.Table | None = None,
    per_account: bool = False,
    business: Business | None = None,
    **env: str,
) -> Iterator[tuple[Server, Home]]:
    """Start a server in a new home (`found`); ``env`` adds variables to its environment."""
    with tempfile.TemporaryDirectory() as scratch:
        home = found(Path(scratch), people, events, per_account, business)
        with running(home.path, {**home.env, **env}) as server:
            yield server, home


def grocer(folder: Path) -> Home:
    """Copy the home that `nba quickstart` has made: the shipped grocery with its models."""
    settings = load_settings(os.environ)
    home = folder / "home"
    shutil.copytree(settings.home, home)
    env = {
        "NBA_HOME": str(home),
        "NBA_MLFLOW_URI": settings.mlflow_uri,
        "NBA_MLFLOW_ARTIFACTS": str(settings.mlflow_artifacts),
        "NBA_LEARNER": "false",
    }
    return Home(home, env)


def catalog_of_shop(per_account: bool = False) -> dict[str, Any]:
    """Make the catalogue of the shop, as content of a YAML file."""
    action = {
        "issue": "grow",
        "group": "offers",
        "value": 100.0,
        "cost": 0.0,
        "prior": {"acceptance": 0.5},
        "attribution_days": 7,
    }
    actions = {name: {**action, "treatments": {CHANNEL: {"title": name}}} for name in PROMOTIONS}
    help_ = {**action, "issue": "serve", "group": "help", "value": 1.0}
    actions["call_back"] = {**help_, "treatments": {CHANNEL: {"title": "We call you back"}}}
    return {
        "outcomes": {"accepted": {"acceptance": 1}},
        "groups": {"offers": {"kind": "promotion"}, "help": {"kind": "service"}},
        "contact_policy": {"caps": [PER_ACCOUNT] if per_account else []},
        "arms": {"random": 0, "nobody": 0},
        "actions": actions,
    }


def event(
    event_id: str, customer_id: str, kind: str = "visit", at: datetime | None = None, **more: Any
) -> dict[str, Any]:
    """Make an event; without ``at``, of now."""
    moment = at or datetime.now(UTC)
    made = {"event_id": event_id, "type": kind, "channel": CHANNEL, "customer_id": customer_id}
    return {**made, "occurred_at": moment.isoformat(), **more}


def send(server: Server, *events: Mapping[str, Any]) -> None:
    """Send new events in one call; all must be accepted."""
    status, answer = server.post("/v1/events", {"events": list(events)})
    assert status == 200 and answer["accepted"] == len(events), (status, answer)


def promotions_for(server: Server, customer_id: str) -> list[str]:
    """Ask for a decision; the promotions that it gives."""
    status, answer = server.post("/v1/decide", {"customer_id": customer_id, "channel": CHANNEL})
    assert status == 200, answer
    given = [one["action_id"] for one in answer["actions"]]
    return [name for name in given if name in PROMOTIONS]
