"""Visible learning: how soon the best action of a segment has more than half of the probability.

    python -m tests.bench.learning --minutes 20

A started server, 50 decisions a second in real time, an outcome 2 seconds after each. Two segments
like different actions. From a cold start the learner has 5 minutes to find that out; then one
segment changes its mind, and it has 15.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

from tests.conftest import nba
from tests.server import Server, running

PER_S = 50.0
AFTER_S = 2.0
CUSTOMERS = 2_000
SWITCH_MIN = 5.0
ACTIONS = ("red", "green", "blue")
# Chance that each action is accepted.
LIKES = {"north": (0.05, 0.15, 0.10), "south": (0.10, 0.05, 0.15)}
LATER = {"north": (0.15, 0.05, 0.10), "south": LIKES["south"]}
WATCHED = "north"  # the segment that changes its mind
DOMAIN = {
    "name": "learning",
    "currency": "eur",
    "channels": ["app"],
    "attributes": {"segment": {"type": "category", "values": list(LIKES)}},
    "vocabulary": ["visit"],
}
CATALOG = {
    "outcomes": {"accepted": {"acceptance": 1}, "rejected": {"acceptance": 0}},
    "control_group": {"share": 0},
    "actions": {
        name: {
            "issue": "grow", "group": "colours", "value": 10, "cost": 0,
            "prior": {"acceptance": 0.1, "weight": 20}, "attribution_days": 1,
            "treatments": {"app": {"title": name}},
        }
        for name in ACTIONS
    },
}  # fmt: skip
out = Console(width=120)


@dataclass
class Crowd:
    """Customers who are asked about 50 times a second, and answer 2 seconds later.

    Attributes
    ----------
    likes : by segment, the chance that each action is accepted; may be changed meanwhile
    """

    likes: dict[str, tuple[float, ...]]
    rng: np.random.Generator
    waiting: deque[tuple[float, str, str]] = field(default_factory=deque)
    decided: int = 0
    answered: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def decide(self, server: Server) -> None:
        """Ask at an even pace; where the server was slow, catch up."""
        began = time.monotonic()
        while not self.stopped.is_set():
            ahead = began + self.decided / PER_S - time.monotonic()
            if ahead > 0:
                self.stopped.wait(ahead)
                continue
            who = int(self.rng.integers(CUSTOMERS))
            answer = _post(server, "/v1/decide", {"customer_id": f"c{who}", "channel": "app"})
            action = answer["actions"][0]["action_id"]
            self.decided += 1
            if action in ACTIONS:
                accepts = self.rng.random() < self.likes[segment(who)][ACTIONS.index(action)]
                outcome = "accepted" if accepts else "rejected"
                self.waiting.append((time.monotonic() + AFTER_S, answer["decision_id"], outcome))

    def answer(self, server: Server) -> None:
        """Tell what came of it, when it is time."""
        while not self.stopped.is_set():
            if not self.waiting or self.waiting[0][0] > time.monotonic():
                self.stopped.wait(0.01)
                continue
            _, decision, outcome = self.waiting.popleft()
            _post(server, "/v1/outcomes", {"decision_id": decision, "outcome": outcome})
            self.answered += 1


def segment(customer: int) -> str:
    """Of a customer, by number."""
    return list(LIKES)[customer % 2]


def chances(server: Server, name: str) -> dict[str, float]:
    """With which probability each action would be chosen now for a customer of a segment."""
    who = f"c{list(LIKES).index(name)}"
    body = {"customer_id": who, "channel": "app", "explain": True, "activate": False}
    told = _post(server, "/v1/decide", body)["explanation"]["candidates"]
    return {one["action_id"]: one["probability"] for one in told}


def _post(server: Server, path: str, body: Any) -> Any:
    status, answer = server.post(path, body)
    assert status == 200, (path, body, status, answer)
    return answer


@contextmanager
def business(home: Path) -> Iterator[Server]:
    """A server of a business of two segments, whose bandit has never seen an outcome."""
    tables = home / "tables"
    tables.mkdir(parents=True)
    (home / "domain.yaml").write_text(yaml.safe_dump(DOMAIN))
    (home / "actions.yaml").write_text(yaml.safe_dump(CATALOG))
    rows = [f"c{who},{segment(who)}" for who in range(CUSTOMERS)]
    (tables / "customers.csv").write_text("\n".join(["customer_id,segment", *rows]))
    env = {
        "NBA_HOME": str(home / "home"),
        "NBA_DOMAIN": str(home / "domain.yaml"),
        "NBA_ACTIONS": str(home / "actions.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{home / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(home / "artifacts"),
    }
    for command in (["load", str(tables)], ["build"], ["train", "bandit", "--promote"]):
        done = nba(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
    with running(home / "home", env) as server:
        yield server


def watched(server: Server, best: str, seconds: float, since: float) -> float | None:
    """Print the watched segment's probabilities; after how many seconds ``best`` had more than
    half and kept it to the end, or None."""
    began, found = time.monotonic(), None
    shown = began
    while time.monotonic() - began < seconds:
        now = chances(server, WATCHED)
        if now.get(best, 0.0) <= 0.5:
            found = None
        elif found is None:
            found = time.monotonic() - began
        if time.monotonic() >= shown:
            shown += 15.0
            figures = "  ".join(f"{name} {now.get(name, 0.0):.3f}" for name in ACTIONS)
            out.print(f"{time.monotonic() - since:6.0f} s  {figures}", highlight=False)
        time.sleep(1.0)
    return found


def best_of(likes: dict[str, tuple[float, ...]]) -> str:
    """The action that the watched segment likes most."""
    return ACTIONS[int(np.argmax(likes[WATCHED]))]


def learn(minutes: float, seed: int) -> tuple[float | None, float | None]:
    """Seconds to the best action from a cold start, and after it has changed."""
    with tempfile.TemporaryDirectory() as scratch, business(Path(scratch)) as server:
        crowd = Crowd(dict(LIKES), np.random.default_rng(seed))
        threads = [
            threading.Thread(target=task, args=(server.again(),))
            for task in (crowd.decide, crowd.answer)
        ]
        for thread in threads:
            thread.start()
        since = time.monotonic()
        try:
            switch_s = 60 * min(SWITCH_MIN, minutes / 4)
            first = watched(server, best_of(LIKES), switch_s, since)
            out.print(f"Now {WATCHED} likes {best_of(LATER)} best.")
            crowd.likes = dict(LATER)
            second = watched(server, best_of(LATER), 60 * minutes - switch_s, since)
        finally:
            crowd.stopped.set()
            for thread in threads:
                thread.join()
        took = time.monotonic() - since
        out.print(f"{crowd.decided / took:.1f} decisions a second, {crowd.answered:,} outcomes.")
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=20, help="in all; a quarter before the switch"
    )
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    first, second = learn(asked.minutes, asked.seed)
    ok = True
    for what, took, allowed in (("cold start", first, 5), ("change", second, 15)):
        within = took is not None and took <= 60 * allowed
        ok &= within
        said = "never" if took is None else f"after {took:.0f} s"
        out.print(f"{what}: the best action has more than half {said} ({allowed} min allowed)")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
