"""Makes decisions of many kinds, replays each from the log, and compares them to the byte.

    python -m tests.bench.replay --decisions 10000

Two workers decide while events and merges come in, the learner publishes new versions, and another
churn model is promoted. Then all decisions are replayed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import yaml
from rich.console import Console

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.settings import GROCERY, actions_beside, load_settings
from serving.audit.archive import Archive
from serving.audit.replay import Replay
from serving.catalog.compiled_catalog import load_compiled_catalog
from serving.contract.decisions import ReplayAnswer
from tests.server import Server, running
from training.params import load_params
from training.pipeline.registry import CHAMPION, ModelVersion, Registry

CALLERS, PHASES = 4, 4
PEOPLE = 300  # households that are asked for
CHANNELS = ("app", "call_centre", "email", "shop", "web")
out = Console(width=120)


@dataclass
class Business:
    """A started grocer with two workers, and its answers.

    Attributes
    ----------
    answers : as they were sent, in no order
    churn : the versions of the churn model that were champion, the last one last
    """

    server: Server
    env: Mapping[str, str]
    rng: np.random.Generator
    answers: list[dict[str, Any]] = field(default_factory=list)
    churn: list[str] = field(default_factory=list)

    def live(self, decisions: int) -> None:
        """Decide in phases; between them are events, merges, learned outcomes and a promotion."""
        between = (self._something_happens, self._learn, self._promote)
        for phase in range(PHASES):
            self._decide(f"phase-{phase}", decisions // PHASES)
            if phase < len(between):
                between[phase]()

    def serves(self, model: str, holds: Callable[[str], bool]) -> None:
        """Wait until both workers serve a version of a model."""
        both_workers(self.server, lambda one: holds(one.get("/readyz")[1]["models"][model]))

    def post(self, path: str, body: Mapping[str, Any], through: Server | None = None) -> Any:
        status, answer = (through or self.server).post(path, body)
        assert status == 200, (path, body, answer)
        return answer

    def _decide(self, name: str, count: int) -> None:
        asked = [_request(self.rng, f"{name}-{number}") for number in range(count)]

        def ask(some: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            own = self.server.again()
            return [self.post("/v1/decide", one, own) for one in some]

        with ThreadPoolExecutor(CALLERS) as pool:
            for answers in pool.map(ask, (asked[part::CALLERS] for part in range(CALLERS))):
                self.answers += answers
        for answer in self.answers[-count:]:
            if not answer["activated"] and self.rng.random() < 0.5:
                self.post("/v1/activate", {"decision_id": answer["decision_id"]})

    def _something_happens(self) -> None:
        """Send complaints, consents and visits, and merge some customers."""
        kinds = ("visit", "page_view", "call", "complaint_opened", "consent_withdrawn")
        now, events = datetime.now(UTC), []
        for number in range(PEOPLE):
            kind = kinds[int(self.rng.integers(len(kinds)))]
            events.append(
                {
                    "event_id": f"between-{number}",
                    "type": kind,
                    "channel": "app",
                    "occurred_at": (now - timedelta(seconds=number)).isoformat(),
                    "customer_id": f"h{self.rng.integers(1, PEOPLE)}",
                    "properties": {"purpose": "marketing"} if kind.startswith("consent") else {},
                }
            )
        assert self.post("/v1/events", {"events": events})["accepted"] == len(events)
        for number in range(1, 21):
            keys = {"keys": [f"h{number}", f"h{number + 100}"], "cause": "one roof"}
            assert self.post("/v1/link", keys)["changed"]
            if number % 4 == 0:
                assert self.post("/v1/unlink", keys)["changed"]

    def _learn(self) -> None:
        """Report outcomes until both workers serve a bandit that has learned from them."""
        before = self.server.get("/readyz")[1]["models"]["bandit"]
        shown = [one for one in self.answers if one["activated"]]
        for answer in shown:
            action = answer["actions"][0]["action_id"]
            if action != "no_action":
                said = str(self.rng.choice(["accepted", "rejected", "clicked"]))
                told = {"decision_id": answer["decision_id"], "action_id": action, "outcome": said}
                self.post("/v1/outcomes", told)
        self.serves("bandit", lambda version: version != before)

    def _promote(self) -> None:
        """Promote a churn model with other predictions."""
        registry = Registry(load_settings(self.env))
        champion = registry.version("churn", CHAMPION)
        number = _another_churn(registry, champion, Path(self.env["NBA_HOME"]) / "another")
        registry.promote("churn", number, force=True)
        self.churn = [champion.version, number]
        self.serves("churn", lambda version: version == number)


def both_workers(server: Server, holds: Callable[[Server], bool]) -> None:
    """Wait until something holds on a connection to each of two workers."""
    server.wait_for(lambda: all(holds(one) for one in server.of_each_worker(2)), 60)


def _request(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """Draw a request of a random kind."""
    number = int(rng.integers(1, PEOPLE))
    who: list[dict[str, Any]] = [
        {"customer_id": f"h{number}"},
        {"customer_id": f"h{number}"},
        {"identifiers": [f"card:{number}"]},
        {"customer_id": f"stranger-{name}"},
        {"identifiers": [f"cookie:{number}"]},
    ]
    body = {
        **who[int(rng.integers(len(who)))],
        "channel": str(rng.choice(CHANNELS)),
        "slots": int(rng.integers(1, 5)),
        "decision_id": name,
        "explain": bool(rng.random() < 0.1),
        "activate": bool(rng.random() < 0.8),
    }
    if rng.random() < 0.5:
        body["context"] = {"page": str(rng.choice(["basket", "help"])), "basket_usd": number / 7}
    if rng.random() < 0.3:
        body["placement"] = "home"
    if rng.random() < 0.2:
        body["exclude"] = ["coupons_personal", "no_action"]
    if rng.random() < 0.1:
        body["actions"] = ["fresh_box", "fuel_points", "ask_feedback"]
    return body


def _another_churn(registry: Registry, champion: ModelVersion, folder: Path) -> str:
    """Make a version of the champion whose log odds are halved."""
    files = registry.folder(champion)
    shutil.copytree(files.parents[1], folder)
    note = folder / files.relative_to(files.parents[1]) / "classifier.json"
    content = json.loads(note.read_text())
    note.write_text(json.dumps(content | {"slope": content["slope"] / 2}))
    client = mlflow.MlflowClient()
    made = client.create_model_version("churn", source=str(folder), run_id=champion.run_id)
    return str(made.version)


@dataclass(frozen=True)
class Opened:
    """A copy of a built grocer's home, its catalogue and its MLflow, which may be changed."""

    home: Path
    actions: Path
    env: dict[str, str]


def opened(home: Path, mlflow_uri: str, artifacts: str, folder: Path) -> Opened:
    """Start a copy of the grocer with large arms and a small volume."""
    shutil.copytree(home, folder / "home")
    shutil.copy(mlflow_uri.removeprefix("sqlite:///"), folder / "mlflow.db")
    content = yaml.safe_load(actions_beside(GROCERY).read_text(encoding="utf-8"))
    content["arms"] = {"random": 0.25, "nobody": 0.25}
    content["actions"]["ask_feedback"]["volume"] = {"at_most": 200}
    actions = folder / "grocery.actions.yaml"
    actions.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_ACTIONS": str(actions),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": artifacts,
        "NBA_WORKERS": "2",
        "NBA_LEARN_EVERY_S": "0.2",
        "NBA_MODELS_EVERY_S": "0.5",
    }
    return Opened(folder / "home", actions, env)


def repeated(env: Mapping[str, str], since: datetime) -> Iterator[ReplayAnswer]:
    """Replay all decisions from a time on."""
    settings = load_settings(env)
    domain, ledger = load_domain(settings.domain), Ledger(settings.ledger_url)
    archive = Archive(Registry(settings), ledger, domain, load_params())
    compiled = load_compiled_catalog(settings.actions, domain, ModelInput(domain))
    yield from Replay(ledger, archive, compiled.catalog).since(since, None)
    ledger.close()


def kinds(answers: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Count the decisions of each kind."""
    found: Counter[str] = Counter()
    for answer in answers:
        found[f"{answer['arm']} arm"] += 1
        found[f"{len(answer['actions'])} slots"] += 1
        found["explained"] += answer["explanation"] is not None
        found["deferred"] += not answer["activated"]
        found["stranger"] += not answer["known"]
        found[f"churn {answer['models']['churn']}"] += 1
    found["snapshots"] = len({answer["models"]["bandit"] for answer in answers})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Is every decision repeated to the byte?")
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261122)
    asked = parser.parse_args()
    settings = load_settings()
    with tempfile.TemporaryDirectory() as scratch:
        where = settings.mlflow_uri, str(settings.mlflow_artifacts)
        grocer = opened(settings.home, *where, Path(scratch))
        began, since = time.monotonic(), datetime.now(UTC)
        with running(grocer.home, grocer.env) as server:
            business = Business(server, grocer.env, np.random.default_rng(asked.seed))
            business.live(asked.decisions)
            took = time.monotonic() - began
        found = ", ".join(f"{n:,} {kind}" for kind, n in sorted(kinds(business.answers).items()))
        out.print(f"{len(business.answers):,} decisions in {took:.0f} s: {found}")
        began = time.monotonic()
        answers = list(repeated(grocer.env, since))
        took = time.monotonic() - began
    others = [one for one in answers if not one.identical]
    out.print(
        f"{len(answers):,} decisions replayed, {len(answers) - len(others):,} identical; "
        f"{len(answers) / took:,.0f} a second."
    )
    for one in others[:5]:
        out.print(f"{one.decision_id}: {'; '.join(one.causes)} {one.differences[:3]}")
    complete = len(answers) == len(business.answers) > 0
    complete &= {one["arm"] for one in business.answers} == {"policy", "random", "nobody"}
    return 0 if complete and not others else 1


if __name__ == "__main__":
    sys.exit(main())
