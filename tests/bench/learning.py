"""Measures the time until a segment's best action has more than half of the probability.

    python -m tests.bench.learning --minutes 20

A started server, 50 decisions a second, each answered by its customer after 2 seconds. Customers
are of two segments that like different actions. From a cold start, then again after the best
actions have changed: seconds until the best action of each segment has had more than half of the
probability for ten seconds on end.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console

from tests.commands import nba
from tests.conftest import SHOP
from tests.server import Server, running

A_SECOND, AFTER_S = 50, 2.0
ZONES = ("Europe/Rome", "Asia/Tokyo")
CUSTOMERS = 400
ACTIONS = ("tea", "coffee", "cocoa", "water")
# Who accepts what, before and after the change: the best action of each segment is another one.
BEFORE = {ZONES[0]: (0.15, 0.10, 0.05, 0.05), ZONES[1]: (0.05, 0.05, 0.15, 0.10)}
AFTER = {ZONES[0]: (0.05, 0.05, 0.05, 0.15), ZONES[1]: (0.15, 0.05, 0.05, 0.05)}
PROBED = 8  # customers of a segment that are asked for, without being shown anything
ENOUGH, ON_END_S = 0.5, 10.0
out = Console(width=120)


@dataclass
class Course:
    """The mean probability of each segment's best action, over time (seconds)."""

    at: list[float] = field(default_factory=list)
    chances: list[list[float]] = field(default_factory=list)

    def reached(self, begin: float, end: float) -> list[float | None]:
        """Seconds from ``begin`` on until each segment's best action had its half, for good
        enough: `ON_END_S` on end."""
        found: list[float | None] = []
        for segment in range(len(ZONES)):
            since = first = None
            for at, chances in zip(self.at, self.chances, strict=True):
                if not begin <= at < end:
                    continue
                since = (since if since is not None else at) if chances[segment] > ENOUGH else None
                if since is not None and at - since >= ON_END_S:
                    first = since - begin
                    break
            found.append(first)
        return found


@contextmanager
def cold_start() -> Iterator[Server]:
    """Start a shop with customers who were never shown any action."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "tables").mkdir()
        with (folder / "tables" / "customers.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["customer_id", "zone"])
            rows.writerows([f"c{number}", ZONES[number % 2]] for number in range(CUSTOMERS))
        (folder / "actions.yaml").write_text(yaml.safe_dump(_catalog()), encoding="utf-8")
        env = {
            "NBA_HOME": str(folder / "home"),
            "NBA_DOMAIN": str(SHOP / "domain.yaml"),
            "NBA_ACTIONS": str(folder / "actions.yaml"),
            "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
        }
        for command in (["load", str(folder / "tables")], ["build"], ["train", "--promote"]):
            done = nba(command, env)
            assert done.returncode == 0, done.stdout + done.stderr
        with running(folder / "home", env) as server:
            yield server


def _catalog() -> dict[str, object]:
    action = {
        "issue": "serve",
        "group": "drinks",
        "value": 10,
        "cost": 0,
        "attribution_days": 1,
        "prior": {"acceptance": 0.1},
        "treatments": {"app": {"title": "Something to drink?"}},
    }
    return {
        "outcomes": {"accepted": {"acceptance": 1}, "rejected": {"acceptance": 0}},
        "control_group": {"share": 0},
        "actions": dict.fromkeys(ACTIONS, action),
    }


def live(server: Server, seconds: float, change_s: float, seed: int) -> Course:
    """Decide, report outcomes and measure every second; the world changes after ``change_s``."""
    rng = np.random.default_rng(seed)
    course, waiting = Course(), deque[tuple[float, str, str]]()
    began = time.monotonic()
    watcher = threading.Thread(
        target=_watch, args=(server.again(), course, began, seconds, change_s)
    )
    watcher.start()
    number = 0
    while (now := time.monotonic() - began) < seconds:
        while waiting and waiting[0][0] <= now:
            _, decision_id, said = waiting.popleft()
            told = {"decision_id": decision_id, "outcome": said}
            assert server.post("/v1/outcomes", told)[0] == 200
        if number / A_SECOND > now:
            time.sleep(number / A_SECOND - now)
            continue
        number += 1
        customer = int(rng.integers(CUSTOMERS))
        body = {"customer_id": f"c{customer}", "channel": "app", "decision_id": f"d{number}"}
        status, answer = server.post("/v1/decide", body)
        assert status == 200, answer
        action = answer["actions"][0]["action_id"]
        if action != "no_action":
            likes = (BEFORE if now < change_s else AFTER)[ZONES[customer % 2]]
            yes = rng.random() < likes[ACTIONS.index(action)]
            waiting.append((now + AFTER_S, f"d{number}", "accepted" if yes else "rejected"))
    watcher.join()
    out.print(f"{number:,} decisions, {number / seconds:.1f} a second.")
    return course


def _watch(server: Server, course: Course, began: float, seconds: float, change_s: float) -> None:
    """Record every second the probability of the best action of each segment."""
    while (now := time.monotonic() - began) < seconds:
        world = BEFORE if now < change_s else AFTER
        best = [ACTIONS[int(np.argmax(world[zone]))] for zone in ZONES]
        course.chances.append([_chance(server, segment, best[segment]) for segment in (0, 1)])
        course.at.append(now)
        if len(course.at) % 30 == 1:
            told = ", ".join(f"{one:.2f}" for one in course.chances[-1])
            out.print(f"{now:>6.0f} s: the best action's probability is {told}")
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began - now)))


def _chance(server: Server, segment: int, action: str) -> float:
    found = []
    for number in range(PROBED):
        body = {
            "customer_id": f"c{segment + 2 * number}",
            "channel": "app",
            "explain": True,
            "activate": False,
        }
        status, answer = server.post("/v1/decide", body)
        assert status == 200, answer
        of = {one["action_id"]: one["probability"] for one in answer["explanation"]["candidates"]}
        found.append(of.get(action, 0.0))
    return float(np.mean(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="in all; the change comes at 1/4")
    parser.add_argument("--seed", type=int, default=20261127)
    asked = parser.parse_args()
    seconds, change_s = 60 * asked.minutes, 15 * asked.minutes
    with cold_start() as server:
        course = live(server, seconds, change_s, asked.seed)
    cold, turned = course.reached(0, change_s), course.reached(change_s, seconds)
    for what, found, allowed in (("a cold start", cold, 300), ("the change", turned, 900)):
        told = ", ".join("never" if one is None else f"{one:.0f} s" for one in found)
        out.print(f"More than half of the probability after {what}: {told} ({allowed} s allowed).")
    limits = [(cold, 300), (turned, 900)]
    return 0 if all(t is not None and t <= limit for found, limit in limits for t in found) else 1


if __name__ == "__main__":
    sys.exit(main())
