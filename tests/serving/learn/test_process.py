"""Tests the learner's process: its start, its lock, and that kill -9 loses and repeats nothing.

Three kills here; `python -m tests.bench.learner_kill --kills 20` does many: more windows end.
"""

from __future__ import annotations

import fcntl
import logging
import os
import runpy
import subprocess
from typing import Any

import numpy as np
import pytest

from features.clock import utc_now
from features.masking import MaskedRecord
from features.settings import Settings
from serving.learn import child_process, process
from serving.learn.checkpoints import CheckpointFolder, read_step_tokens
from serving.learn.child_process import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    RECOVERED_S,
    only_one,
)
from serving.learn.process import LearnerProcess, Rounds
from tests.bench.learner_kill import Feeder, Side, killed, until


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
