"""Kills the learner with SIGKILL while it works, and compares its state with an undisturbed one.

    python -m tests.bench.learner_kill --kills 20

The same decisions and outcomes of 30 actions go into two ledgers at once: late, revised and
retracted outcomes, and decisions without any, whose silence grows older: attribution windows are
seconds to a minute. One ledger's learner runs undisturbed; the other's is killed again and again:
at random moments, and at the worst ones (`WORST`), at which it kills itself. In the end both must
hold the same credits and, up to rounding, the same sums.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, Never

import numpy as np
import sqlalchemy as sa
import yaml
from rich.console import Console

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import load_settings
from serving.catalog.compiled_catalog import load_catalog
from serving.contract.events import OutcomeRequest
from serving.decide.outcomes import record_outcome
from serving.learn import checkpoints, process, stored_state
from serving.learn import learner as learner_module
from serving.learn.checkpoints import FOLDER
from serving.learn.credits import WrittenCredit, read_credits
from serving.learn.learner import Learner
from serving.learn.steps import due_revisions, unlearned_outcomes
from serving.learn.stored_state import LearnerState
from tests.conftest import ROOT, TOY
from tests.decided import decided
from training.params import load_params

EVERY_S = 0.02  # between two steps of the learners
ACTIONS = 30
WINDOWS_S = {f"action_{number:02}": (8.0, 64.0)[number % 2] for number in range(ACTIONS)}
DAY_S = 86_400
WORST_S = 5.0  # until a learner that has not met its worst moment is killed all the same
SURE_S = 120.0  # longer than a learner needs to start and to catch up
out = Console(width=120)
_CREDITED = sa.select(tables.credits.c.decision_id).distinct()


@dataclass
class Side:
    """A ledger and its learner process."""

    home: Path
    ledger: Ledger
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def opened(cls, home: Path) -> Side:
        ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
        content = yaml.safe_load((TOY / "actions.yaml").read_text(encoding="utf-8"))
        content["actions"] = {
            name: {**content["actions"]["discount"], "attribution_days": window_s / DAY_S}
            for name, window_s in WINDOWS_S.items()
        }
        (home / "actions.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return cls(home, ledger)

    def start(self, moment: str = "") -> None:
        """Start the learner; one that gets a worst moment kills itself then."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("NBA_")}
        ours = {
            "NBA_HOME": str(self.home),
            "NBA_DOMAIN": str(TOY / "domain.yaml"),
            "NBA_ACTIONS": str(self.home / "actions.yaml"),
            "NBA_MLFLOW_URI": f"sqlite:///{self.home / 'no-models.db'}",
            "NBA_LEARN_EVERY_S": str(EVERY_S),
        }
        with (self.home / "learner.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.bench.learner_kill",
                    "--die-at",
                    moment or "no moment",
                ],
                env=env | ours,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def dies(self, before: int, moment: str, later_s: float) -> bool:
        """Wait until the learner has killed itself, or kill it once it has written a step."""
        process = self.process
        assert process is not None
        until(lambda: process.poll() is not None or self.revision() > before)
        with suppress(subprocess.TimeoutExpired):
            process.wait(WORST_S if moment else later_s)
        if process.poll() is not None:
            assert process.returncode == -signal.SIGKILL, "see learner.log"
            return True
        self.kill()
        return False

    def revision(self) -> int:
        """The number of times that the learner has written its state."""
        return int(self._scalar(sa.select(tables.learner_state.c.revision)) or 0)

    def unlearned(self) -> int:
        columns = tables.outcomes.c
        waiting = sa.select(sa.func.count()).where(columns.learned.is_(False))
        return int(self._scalar(waiting))

    def waiting(self, now: datetime) -> bool:
        """Return whether an outcome or a silence waits to be learned."""

        def read(connection: sa.Connection) -> bool:
            return bool(unlearned_outcomes(connection, 1) or due_revisions(connection, now, 1))

        return self.ledger.read(read)

    def catch_up(self, feeder: Feeder, now: datetime) -> None:
        """Learn what waits at ``now``, in this process; the learner's own has ended."""
        learner = self.learner(feeder)
        while self.waiting(now):
            learner.step(now)

    def learner(self, feeder: Feeder) -> Learner:
        """A learner that restores its state from the ledger and the home."""
        folder = self.home / FOLDER
        return Learner(
            self.ledger, feeder.domain, feeder.catalog, load_params(), lambda: None, folder
        )

    def credited(self) -> dict[tuple[str, str], WrittenCredit]:
        """The credits without the numbers of their snapshots, which depend on the steps."""
        ids = self.ledger.read(lambda c: list(c.execute(_CREDITED).scalars()))
        found = self.ledger.read(lambda connection: read_credits(connection, ids))
        return {key: one._replace(sequence=None) for key, one in found.items()}

    def learned_sums(self, feeder: Feeder) -> dict[str, np.ndarray]:
        """The learned arrays on disk, sorted so that the order of arrival does not matter."""
        version = self.learner(feeder).version()
        assert version is not None
        known = version.state
        found = {"errors": known.errors.products}
        for life, memory in known.statistics.items():
            actions = sorted(memory.actions)
            second = [np.tril(memory.second(action)) for action in actions]
            found |= {f"second of {life}": np.array(second)}
            found |= {f"first of {life}": np.array([memory.first(action) for action in actions])}
        return found

    def _scalar(self, query: sa.Select) -> object:
        return self.ledger.read(lambda connection: connection.execute(query).scalar())


@dataclass
class Feeder:
    """Writes the same random decisions and outcomes to all ledgers."""

    sides: tuple[Side, ...]
    rng: np.random.Generator
    waiting: list[tuple[datetime, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    decisions: int = 0

    def __post_init__(self) -> None:
        self.domain = load_domain(TOY / "domain.yaml")
        self.catalog = load_catalog(self.sides[0].home / "actions.yaml", self.domain)
        self.input = ModelInput(self.domain)

    def something(self) -> None:
        """Write a decision, mostly with an outcome to come, and the outcomes that have come.

        Sometimes an earlier outcome is revised or retracted.
        """
        self.decisions += 1
        name = f"d{self.decisions}"
        action = str(self.rng.choice(list(WINDOWS_S)))
        days = self.catalog.actions[action].attribution_days
        now = datetime.now(UTC)
        age = str(self.rng.integers(20, 70))
        row = self.input.read({"plan": "plus", "age_years": age}, None, now.timestamp())
        said = self.rng.random(3).tolist()
        for side in self.sides:
            about = {"layout": self.input.fingerprint, "row": row, "experts": {action: said}}
            decided(side.ledger, name, now, {action: days}, **about)
        if self.rng.random() < 0.6:
            delay_s = float(self.rng.exponential(WINDOWS_S[action] / 8))
            heapq.heappush(self.waiting, (now + timedelta(seconds=delay_s), name))
        while self.waiting and self.waiting[0][0] <= now:
            self._answer(heapq.heappop(self.waiting)[1], now)
        if self.told and self.rng.random() < 0.2:
            self._change(now)

    def _answer(self, name: str, now: datetime) -> None:
        outcome = str(self.rng.choice(["accepted", "rejected", "clicked"]))
        self._tell(now, decision_id=name, outcome=outcome, outcome_id=f"o-{name}")
        self.told.append(name)

    def _change(self, now: datetime) -> None:
        name = self.told.pop(int(self.rng.integers(len(self.told))))
        way = str(self.rng.choice(["retracts", "revises"]))
        outcome = str(self.rng.choice(["accepted", "rejected"]))
        about = {"decision_id": name, "outcome": outcome, "outcome_id": f"{way}-{name}"}
        self._tell(now, **about, **{way: f"o-{name}"})

    def _tell(self, now: datetime, **fields: object) -> None:
        request = OutcomeRequest.model_validate({**fields, "occurred_at": now})
        for side in self.sides:
            asyncio.run(record_outcome(request, side.ledger, self.catalog, now))


@dataclass
class Ended:
    """The result after all outcomes were sent and learned."""

    kills: int
    by_itself: int  # kills at one of the worst moments
    in_the_middle: int  # kills that came while outcomes or silences were waiting to be learned
    decisions: int
    credits: int
    silences: int  # of those, silences whose window is open
    mistakes: list[str]


def killed(folder: Path, kills: int, seed: int) -> Ended:
    """Kill one of two learners again and again, then compare credits and states."""
    rng = np.random.default_rng(seed)
    undisturbed, interrupted = (
        Side.opened(folder / "undisturbed"),
        Side.opened(folder / "interrupted"),
    )
    feeder = Feeder((undisturbed, interrupted), rng)
    in_the_middle = by_itself = 0
    undisturbed.start()
    try:
        with _feeding(feeder):
            for _, moment in zip(range(kills), cycle(("", *WORST)), strict=False):
                before = interrupted.revision()
                interrupted.start(moment)
                by_itself += interrupted.dies(before, moment, float(rng.uniform(0, 3 * EVERY_S)))
                in_the_middle += interrupted.waiting(datetime.now(UTC))
        interrupted.start()
        until(lambda: not undisturbed.unlearned() and not interrupted.unlearned())
    finally:
        for side in (undisturbed, interrupted):
            if side.process is not None:
                side.kill()
    now = datetime.now(UTC)
    for side in (undisturbed, interrupted):
        side.catch_up(feeder, now)
    mistakes = list(_differences(undisturbed, interrupted, feeder))
    credits = undisturbed.credited()
    silences = sum(one.revise_at is not None for one in credits.values())
    for side in (undisturbed, interrupted):
        side.ledger.close()
    return Ended(
        kills, by_itself, in_the_middle, feeder.decisions, len(credits), silences, mistakes
    )


@contextmanager
def _feeding(feeder: Feeder) -> Iterator[None]:
    """Write decisions and outcomes all the time, in a thread."""
    enough, broken = threading.Event(), list[BaseException]()

    def feed() -> None:
        try:
            while not enough.is_set():
                feeder.something()
        except BaseException as error:
            broken.append(error)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
    if broken:
        raise broken[0]


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SURE_S
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {SURE_S:g} s; see learner.log")
        time.sleep(0.005)


def _differences(undisturbed: Side, interrupted: Side, feeder: Feeder) -> Iterator[str]:
    if undisturbed.credited() != interrupted.credited():
        others = set(undisturbed.credited().items()) ^ set(interrupted.credited().items())
        yield f"{len(others)} credits differ, such as {min(others)}"
    ours, theirs = undisturbed.learned_sums(feeder), interrupted.learned_sums(feeder)
    for name, array in ours.items():
        largest = max(1.0, float(np.abs(array).max()))
        if not np.allclose(array, theirs[name], rtol=1e-9, atol=1e-9 * largest):
            yield f"{name} differs by up to {np.abs(array - theirs[name]).max():g}"


# Worst moments -----------------------------------------------------------------------------------


def _die(*_: Any, **__: Any) -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it is dead")


def _half_written(path: Path, *parts: bytes) -> None:
    content = b"".join(parts)
    path.with_name(f"{path.name}.unfinished").write_bytes(content[: len(content) // 2])
    _die()


def _after(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that kills the process when it has done its work."""

    def run(*given: Any, **named: Any) -> Never:
        function(*given, **named)
        _die()

    return run


def _before_a_new_state(connection: sa.Connection, state: LearnerState, payload: Any) -> None:
    """Die in the transaction of a state that was made anew: its checkpoint is there already."""
    if payload is None:
        _die()
    stored_state.write_position(connection, state, payload)


def _one_piece(ledger: Ledger, revision: int) -> None:
    ledger.write_now(
        lambda c: c.execute(
            sa.delete(tables.learned_steps).where(
                tables.learned_steps.c.revision
                == sa.select(sa.func.min(tables.learned_steps.c.revision))
                .where(tables.learned_steps.c.revision < revision)
                .scalar_subquery()
            )
        )
    )
    _die()


# By name: the module and function that is replaced, and its replacement.
WORST: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "half-written": (checkpoints, "_write_whole", _half_written),
    "checkpoint-without-step": (learner_module, "write_position", _before_a_new_state),
    "step-without-memory": (
        learner_module,
        "write_as_only_learner",
        _after(learner_module.write_as_only_learner),
    ),
    "steps-half-dropped": (stored_state, "drop_steps", _one_piece),
    "checkpoint-not-tidied": (checkpoints, "_keep_names", _die),
}


def run_until(moment: str) -> None:
    """Run a learner that kills itself at a moment of `WORST`."""
    if moment in WORST:
        module, name, replacement = WORST[moment]
        setattr(module, name, replacement)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    process.run(load_settings())


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Kill the learner again and again, and compare its state with another one's."
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--die-at", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.die_at:
        run_until(asked.die_at)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        ended = killed(Path(scratch), asked.kills, asked.seed)
    verdict = "; ".join(ended.mistakes) or "the same credits and the same posterior"
    out.print(
        f"seed {asked.seed}: {ended.kills} kills, {ended.by_itself} of them at the worst moments "
        f"and {ended.in_the_middle} with something to learn; {ACTIONS} actions, "
        f"{ended.decisions:,} decisions, {ended.credits:,} credits, of those "
        f"{ended.silences:,} silences that still age: {verdict}."
    )
    return 1 if ended.mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
