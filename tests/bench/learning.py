"""Measures the time until a segment's best action has more than half of the probability.

A started server without `nba train`, 50 decisions a second, each answered by its customer after 2
seconds. Customers are of two segments that like different actions. Measured are the seconds until
the best action of each segment has had more than half of the probability for ten seconds on end:
in several fresh homes, and in the last of them again after the best actions have changed.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
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
COLD_WITHIN_S, COLD_SHARE = 30.0, 0.8  # 8 of 10 segments
CHANGED_WITHIN_S = 300.0
EXAMPLES = """examples:
  python -m tests.bench.learning                           5 starts and the change, 17 minutes
  python -m tests.bench.learning --starts 2 --no-change    2 starts alone, 3 minutes
  python -m tests.bench.learning --starts 1 --change-s 120 the change comes after 2 minutes
"""
out = Console(width=120)


@dataclass
class Course:
    """The mean probability of each segment's best action, over time (seconds)."""

    at: list[float] = field(default_factory=list)
    chances: list[list[float]] = field(default_factory=list)

    def reached(self, begin: float, end: float) -> list[float | None]:
        """Seconds from ``begin`` until each segment's best action had more than half.

        Counted is the beginning of the first `ON_END_S` on end; None: not before ``end``.
        """
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


def make_home(folder: Path) -> dict[str, str]:
    """Make a shop with customers who were never shown any action; return its settings."""
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
    for command in (["load", str(folder / "tables")], ["build"]):
        done = nba(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
    return env


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
        "arms": {"random": 0, "nobody": 0},
        "actions": dict.fromkeys(ACTIONS, action),
    }


def live(server: Server, seconds: float, change_s: float, seed: int) -> Course:
    """Decide, report outcomes and measure every second; the world changes after ``change_s``.

    ``seed`` draws the customers and their answers; it stands in the ids of the decisions, which
    draw the actions.
    """
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
        decision_id = f"{seed}-{number}"
        body = {"customer_id": f"c{customer}", "channel": "app", "decision_id": decision_id}
        status, answer = server.post("/v1/decide", body)
        assert status == 200, answer
        action = answer["actions"][0]["action_id"]
        if action != "no_action":
            likes = (BEFORE if now < change_s else AFTER)[ZONES[customer % 2]]
            yes = rng.random() < likes[ACTIONS.index(action)]
            waiting.append((now + AFTER_S, decision_id, "accepted" if yes else "rejected"))
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


def goals(cold: Sequence[float | None], turned: Sequence[float | None]) -> list[tuple[str, bool]]:
    """Say each goal with its figures, and whether it is reached.

    ``cold`` has two segments of each start, ``turned`` two segments after the change, or none.
    """
    within = sum(t is not None and t <= COLD_WITHIN_S for t in cold)
    said = f"{within} of {len(cold)} segments within {COLD_WITHIN_S:g} s of a cold start"
    found = [(f"{said}, asked {COLD_SHARE:.0%}", within >= COLD_SHARE * len(cold))]
    if turned:
        said = f"{_times(turned)} after the change, asked {CHANGED_WITHIN_S:g} s"
        found.append((said, all(t is not None and t <= CHANGED_WITHIN_S for t in turned)))
    return found


def _times(found: Sequence[float | None]) -> str:
    return ", ".join("never" if one is None else f"{one:.0f} s" for one in found)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5, help="cold starts (5)")
    parser.add_argument("--start-s", type=float, default=75, help="seconds of a start (75)")
    parser.add_argument(
        "--change-s", type=float, default=300, help="seconds until the change (300)"
    )
    parser.add_argument("--seed", type=int, default=20261127, help="of the first start")
    parser.add_argument(
        "--change",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on in the last home, and change the best actions (yes)",
    )
    return parser.parse_args()


def main() -> int:
    asked = _asked()
    cold: list[float | None] = []
    turned: list[float | None] = []
    for number in range(asked.starts):
        changes = asked.change and number == asked.starts - 1
        change_s = asked.change_s if changes else asked.start_s
        seconds = change_s + CHANGED_WITHIN_S + 2 * ON_END_S if changes else asked.start_s
        with tempfile.TemporaryDirectory() as scratch:
            env = make_home(Path(scratch))
            with running(Path(scratch) / "home", env) as server:
                course = live(server, seconds, change_s, asked.seed + number)
        cold += course.reached(0, min(asked.start_s, change_s))
        out.print(f"Start {number + 1}: {_times(cold[-2:])} until more than half.")
        if changes:
            turned = course.reached(change_s, seconds)
    reached = goals(cold, turned)
    for said, holds in reached:
        out.print(f"{'reached' if holds else 'MISSED '}  {said}", highlight=False)
    return 0 if all(holds for _, holds in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
