"""Tests the learner's process: its start, its lock, and that kill -9 loses and repeats nothing.

Three kills here; `python -m tests.bench.learner_kill --kills 20` does many: more windows end.
"""

from __future__ import annotations

import fcntl
import logging
import os
import runpy
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.clock import utc_now
from features.ledger.experiment_tables import settled_parts
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import (
    FOLDED,
    LEARNED,
    SUMMED,
    SimulatedClock,
    note_part,
    set_clock,
)
from features.masking import MaskedRecord
from features.settings import Settings, load_settings
from serving.learn import child_process, process
from serving.learn.checkpoints import CheckpointFolder, read_step_tokens
from serving.learn.child_process import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    RECOVERED_S,
    only_one,
)
from serving.learn.learner import ALWAYS_AT_ONCE
from serving.learn.process import LearnerProcess, Rounds, SimulatedRounds, rounds_of
from tests.bench.learner_kill import Feeder, Side, killed, until
from tests.conftest import SHOP


class Child:
    """A process that runs until it is given a code."""

    def __init__(self, arguments: Any = (), **_: Any) -> None:
        self.arguments = arguments
        self.returncode: int | None = None
        self.terminated = self.killed = False
        self.hangs = False

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        self.terminated, self.returncode = True, -15

    def kill(self) -> None:
        self.killed, self.returncode = True, -9

    def wait(self, timeout: float | None = None) -> None:
        if self.hangs and not self.killed:
            raise subprocess.TimeoutExpired("learner", timeout or 0.0)
        assert self.returncode is not None


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    started: list[Child] = []

    def start(*arguments: Any, **options: Any) -> Child:
        started.append(Child(*arguments))
        return started[-1]

    monkeypatch.setattr(child_process.subprocess, "Popen", start)
    return started


@pytest.mark.server
def test_after_kill_9_everything_is_counted_once(tmp_path):
    ended = killed(tmp_path, kills=3, seed=20261127)
    assert ended.mistakes == []
    assert ended.by_itself > 0, "no kill came at one of the worst moments"
    assert ended.in_the_middle > 0, "nothing was waiting at any kill: that proves nothing"
    assert ended.credits > 50 and ended.silences > 10


def test_a_learner_that_runs_is_not_started_again(children):
    learner = LearnerProcess()
    for second in range(3):
        learner.keep_alive(float(second))
    assert len(children) == 1 and learner.problem == ""


def test_a_learner_that_ends_early_is_started_again_after_longer_and_longer_pauses(children):
    learner, now_s, pauses = LearnerProcess(), 0.0, []
    learner.keep_alive(now_s)
    for _ in range(8):
        children[-1].returncode = 1
        count, begin_s = len(children), now_s
        while len(children) == count:
            now_s += 0.5
            learner.keep_alive(now_s)
        pauses.append(now_s - begin_s)
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert max(pauses) == LONGEST_PAUSE_S == pauses[-1]
    assert learner.problem == "learner: ended with code 1; see the log"


def test_a_learner_that_has_recovered_is_no_problem_any_more(children):
    learner = LearnerProcess()
    learner.keep_alive(0.0)
    children[-1].returncode = 1
    learner.keep_alive(FIRST_PAUSE_S)
    assert learner.problem
    learner.keep_alive(FIRST_PAUSE_S + RECOVERED_S + 1)
    assert learner.problem == "" and len(children) == 2


def test_a_learner_is_told_which_champion_serves_when_it_starts(children, tmp_path):
    learner = LearnerProcess()
    learner.keep_alive(0.0, ("3@run", tmp_path))
    assert children[0].arguments[-3:] == ["--champion", "3@run", str(tmp_path)]


def test_a_learner_that_was_started_is_ended(children):
    learner = LearnerProcess()
    learner.stop()  # there is none yet
    learner.keep_alive(0.0)
    learner.stop()
    assert children[0].terminated


def test_a_learner_that_does_not_end_is_killed(children):
    learner = LearnerProcess()
    learner.keep_alive(0.0)
    children[0].hangs = True
    learner.stop()
    assert children[0].terminated and children[0].killed


def test_a_learner_keeps_its_files_private_and_its_log_masked(monkeypatch):
    def load() -> None:
        raise InterruptedError

    monkeypatch.setattr("features.settings.load_settings", load)
    monkeypatch.setattr("sys.argv", ["learner"])
    factory, before = logging.getLogRecordFactory(), os.umask(0o022)
    try:
        with pytest.warns(RuntimeWarning), pytest.raises(InterruptedError):
            runpy.run_module("serving.learn.process", run_name="__main__")
        assert logging.getLogRecordFactory() is MaskedRecord
        assert os.umask(before) == 0o077
    finally:
        logging.setLogRecordFactory(factory)
        os.umask(before)


def test_one_learner_of_a_home_holds_its_lock(tmp_path):
    path = tmp_path / "home" / "learner.lock"
    with only_one(path), path.open("w") as second, pytest.raises(BlockingIOError):
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open("w") as second:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Rounds -------------------------------------------------------------------------------------------


class Busy:
    """A learner with full steps to do, its maintenance and its catalogue file."""

    def __init__(self, full: int, publishing_s: float) -> None:
        self.full, self.publishing_s = full, publishing_s
        self.now_s, self.done = 100.0, list[str]()
        self.catalog = None

    def rebase(self, now: object) -> None:
        self.done.append("rebase")

    def learn(self, now: object) -> bool:
        self.done.append("learn")
        self.now_s += 0.25
        self.full -= 1
        return self.full >= 0

    def publish(self, now: object) -> None:
        self.done.append("publish")
        self.now_s += self.publishing_s

    def check(self, now: object, now_s: float, more_waits: bool) -> None:
        assert more_waits == (self.full >= 0)
        self.done.append("check")

    def changed(self) -> None:
        return None


@pytest.mark.parametrize(
    ("publishing_s", "every"), [(0.0, 4), (1.0, 8)], ids=["each second", "a third of the time"]
)
def test_a_learner_does_not_pause_while_work_waits_and_publishes_at_its_own_pace(
    monkeypatch, publishing_s, every
):
    """A full step takes 0.25 s, and a snapshot is published at most each second."""
    busy = Busy(full=24, publishing_s=publishing_s)
    monkeypatch.setattr(process, "monotonic_s", lambda: busy.now_s)
    settings = Settings.model_construct(learn_every_s=1.0, models_every_s=1e9)
    rounds = Rounds(busy, busy, busy, settings, utc_now)
    pauses = [rounds.run_one() for _ in range(25)]
    assert pauses == [0.0] * 24 + [1.0]
    assert busy.done.count("rebase") == 1
    assert busy.done.count("learn") == busy.done.count("check") == 25
    learned = [one for one in busy.done if one in ("learn", "publish")]
    between = "".join("l" if one == "learn" else "p" for one in learned).split("p")[1:-1]
    assert {len(one) for one in between} == {every}


class Looking:
    """Learns effects; so many full steps of looks wait, each of which takes a second."""

    def __init__(self, busy: Busy, full: int) -> None:
        self.busy, self.full = busy, full
        self.is_wanted, self.catalog = True, None

    def look(self, now: object) -> bool:
        self.busy.done.append("look")
        self.busy.now_s += 1.0
        self.full -= 1
        return self.full >= 0

    def look_at_all(self, now: object) -> None:
        while self.look(now):
            pass


def looks_of(monkeypatch: pytest.MonkeyPatch, steps: int, full: int) -> tuple[Rounds, Busy]:
    """Rounds of a learner with full steps, and of so many full steps of looks."""
    busy = Busy(full=steps, publishing_s=0.0)
    monkeypatch.setattr(process, "monotonic_s", lambda: busy.now_s)
    settings = Settings.model_construct(learn_every_s=4.0, models_every_s=1e9)
    return Rounds(busy, busy, busy, settings, utc_now, Looking(busy, full)), busy


def test_looks_catch_up_in_half_of_the_time_while_no_steps_wait(monkeypatch):
    rounds, busy = looks_of(monkeypatch, steps=0, full=3)
    pauses = []
    for _ in range(4):
        pauses.append(rounds.run_one())
        busy.now_s += pauses[-1]
    assert pauses == [1.0, 1.0, 1.0, 4.0]
    assert busy.done.count("look") == 4


def test_looks_take_a_tenth_of_the_time_while_steps_wait(monkeypatch):
    """A step takes 0.25 s and a look 1 s, so 36 steps are done between two looks."""
    rounds, busy = looks_of(monkeypatch, steps=1_000, full=1_000)
    assert {rounds.run_one() for _ in range(100)} == {0.0}
    between = [one for one in busy.done if one in ("learn", "look")]
    first, second, third = (place for place, one in enumerate(between) if one == "look")
    assert second - first == third - second == 36 + 1


def test_looks_that_fail_are_repeated_in_a_minute_and_keep_no_step_from_being_learned(
    monkeypatch, caplog
):
    rounds, busy = looks_of(monkeypatch, steps=0, full=3)
    monkeypatch.setattr(rounds._effects, "look", lambda now: 1 / 0)
    assert rounds.run_one() == rounds.run_one() == 4.0
    assert [one.message for one in caplog.records] == [
        "Customers could not be looked at again; trying again in a minute"
    ]


# Rounds by a simulated clock ----------------------------------------------------------------------

MARCH = datetime(2026, 3, 1, 8, tzinfo=UTC)


class Settling(Busy):
    """The same of a ledger, with trees to fit; it notes the times that it is given."""

    def __init__(self, ledger: Ledger, full: int) -> None:
        super().__init__(full, publishing_s=0.0)
        self.ledger, self.times = ledger, set[object]()
        self.is_broken = False

    def learn(self, now: object) -> bool:
        if self.is_broken:
            raise OSError("no disk")
        self.times.add(now)
        return super().learn(now)

    def finish_trees(self, now: object) -> None:
        self.times.add(now)
        self.done.append("trees")

    def finish_effects(self, now: object) -> None:
        self.times.add(now)
        self.done.append("effects")

    def publish(self, now: object) -> None:
        self.times.add(now)
        super().publish(now)


class Simulation:
    """Rounds of such a learner, and what the other parts of a server do."""

    def __init__(self, ledger: Ledger, full: int = 3, looks: int | None = None) -> None:
        self.clock = SimulatedClock(ledger).begin()
        self.busy, self.ledger = Settling(ledger, full), ledger
        settings = Settings.model_construct(learn_every_s=1e9, models_every_s=1e9)
        effects: Any = None if looks is None else Looking(self.busy, looks)
        self.rounds = rounds_of(self.busy, self.busy, self.busy, settings, self.clock, effects)

    def ask(self, *parts: str) -> None:
        """Ask to settle, when these parts have done so."""
        asked = self.ledger.write_now(lambda c: set_clock(c, MARCH, settle=True)).settles_asked
        for part in parts:
            self.ledger.write_now(lambda c, one=part: note_part(c, one, asked, MARCH))

    def has_learned(self) -> bool:
        return self.clock.state_of([LEARNED])[1] == []

    def wait(self) -> None:
        """Wait for the next round, for some 30 years."""
        self.rounds.wait(threading.Event(), 1e9)


def test_the_rounds_go_by_the_clock_of_the_ledger(ledger):
    simulated = Simulation(ledger)
    assert isinstance(simulated.rounds, SimulatedRounds)
    busy = simulated.busy
    assert type(rounds_of(busy, busy, busy, load_settings({}), utc_now)) is Rounds


def test_nothing_is_learned_at_a_simulated_time_that_may_still_be_set_back(ledger):
    simulated = Simulation(ledger)
    assert simulated.rounds.run_one() == 1e9
    assert simulated.busy.done == []


def test_when_events_are_folded_all_that_waits_is_learned_and_published_with_trees(ledger):
    simulated = Simulation(ledger)
    simulated.ask()
    simulated.rounds.run_one()  # as any other: events are still being folded
    busy = simulated.busy
    assert busy.done == ["rebase", "learn", "publish", "check"] and not simulated.has_learned()
    busy.done.clear()
    simulated.ask(FOLDED)
    assert simulated.rounds.run_one() == 1e9
    assert busy.done == ["learn", "learn", "learn", "trees", "effects", "publish"]
    assert busy.times == {MARCH} and simulated.has_learned()
    busy.done.clear()
    simulated.rounds.run_one()
    assert "trees" not in busy.done  # once for a request


def test_effects_are_those_on_summed_days_so_they_are_learned_after_the_sums(ledger):
    simulated = Simulation(ledger, full=1, looks=2)
    simulated.ask(FOLDED)
    simulated.rounds.run_one()
    assert not simulated.has_learned()
    busy = simulated.busy
    busy.done.clear()
    simulated.ask(FOLDED, SUMMED)
    simulated.rounds.run_one()
    assert busy.done == ["learn", "look", "look", "trees", "effects", "publish"]
    assert busy.times == {MARCH} and simulated.has_learned()


def test_a_time_that_is_set_meanwhile_is_not_noted_as_learned(ledger, monkeypatch):
    simulated, later = Simulation(ledger), MARCH + timedelta(days=1)

    def trees(now: datetime) -> None:
        ledger.write_now(lambda c: set_clock(c, later, settle=False))

    monkeypatch.setattr(simulated.busy, "finish_trees", trees)
    simulated.ask(FOLDED)
    simulated.rounds.run_one()
    assert simulated.clock() == later and simulated.busy.times == {MARCH}
    until = sa.select(settled_parts.c.until).where(settled_parts.c.part == LEARNED)
    assert ledger.read(lambda c: c.execute(until).scalar_one()) == MARCH


def test_what_could_not_be_learned_is_learned_again_before_it_is_noted(ledger):
    simulated = Simulation(ledger)
    simulated.ask(FOLDED)
    simulated.busy.is_broken = True
    with pytest.raises(OSError, match="no disk"):
        simulated.rounds.run_one()
    assert not simulated.has_learned()
    simulated.busy.is_broken = False
    simulated.rounds.run_one()
    assert simulated.has_learned()


def test_a_request_to_settle_ends_the_pause_before_a_round(ledger, monkeypatch):
    """A ledger that cannot be read meanwhile does not."""
    monkeypatch.setattr(process, "POLL_S", 0.0)
    simulated = Simulation(ledger)
    read, failures = ledger.read, iter([OSError("locked")])

    def locked(work: Any) -> Any:
        for failure in failures:
            simulated.ask(FOLDED)
            raise failure
        return read(work)

    monkeypatch.setattr(ledger, "read", locked)
    simulated.wait()
    assert [*failures] == []
    simulated.rounds.run_one()
    assert simulated.has_learned()


def test_a_learner_that_is_told_to_end_does_not_wait_for_the_next_round(ledger):
    told = threading.Event()
    told.set()
    Simulation(ledger).rounds.wait(told, 1e9)


@pytest.mark.parametrize(("clock", "at_once"), [("real", 0), ("simulated", ALWAYS_AT_ONCE)])
def test_by_a_simulated_clock_no_credits_are_counted_again_beside_the_steps(
    tmp_path, monkeypatch, clock, at_once
):
    """A request to settle would not wait for it."""
    made = list[Any]()

    def learner(*given: Any) -> None:
        made.append(given[-1])
        raise InterruptedError

    monkeypatch.setattr(process, "Learner", learner)
    env = {"NBA_HOME": str(tmp_path), "NBA_DOMAIN": str(SHOP / "domain.yaml"), "NBA_CLOCK": clock}
    with pytest.raises(InterruptedError):
        process.run(load_settings({**env, "NBA_MLFLOW_URI": f"sqlite:///{tmp_path / 'no.db'}"}))
    assert made == [at_once]


@pytest.mark.server
def test_a_learner_that_is_told_to_end_writes_a_checkpoint(tmp_path):
    side = Side.opened(tmp_path)
    feeder = Feeder((side,), np.random.default_rng(3))
    for _ in range(20):
        feeder.something()
    side.start()
    try:
        until(lambda: side.revision() > 0)
        side.process.terminate()
        assert side.process.wait(60) == 0
    finally:
        side.kill()
        rest = side.ledger.read(read_step_tokens)
        side.ledger.close()
    last = max(rest)
    newest = next(CheckpointFolder(tmp_path / "learner").newest_first())
    assert (newest.revision, newest.token) == (last, rest[last][0])
