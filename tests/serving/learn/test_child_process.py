"""Tests a process beside the server: its lock, its pipe and its end; see also `test_process`."""

from __future__ import annotations

import fcntl
import subprocess
import sys

import pytest

from serving.learn import child_process
from serving.learn.child_process import FIRST_PAUSE_S, ChildProcess, only_one, start_child


def test_one_process_of_a_home_holds_its_lock(tmp_path):
    path = tmp_path / "home" / "one.lock"
    with only_one(path), path.open("w") as second, pytest.raises(BlockingIOError):
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open("w") as second:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_process_that_ends_by_itself_is_named(monkeypatch):
    class Ended:
        returncode = 3

        def poll(self):
            return self.returncode

    monkeypatch.setattr(child_process, "start_child", lambda *_: Ended())
    child = ChildProcess("journeys", "no.such.module")
    child.run_on(0.0)
    assert child.problem == ""
    child.run_on(FIRST_PAUSE_S / 2)
    assert child.problem == "journeys: ended with code 3; see the log"
    child.stop()  # it has ended already


def test_a_process_ends_when_the_pipe_from_its_parent_closes(monkeypatch, tmp_path):
    (tmp_path / "waits.py").write_text(
        "import time\n"
        "from serving.learn.child_process import end_with_parent\n"
        "end_with_parent()\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    child = start_child("waits")
    assert child.poll() is None
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=30) == 0
    assert isinstance(child, subprocess.Popen)


def test_a_process_that_has_done_its_work_ends_with_code_0(monkeypatch, tmp_path):
    """The thread that waits for the parent's end reads still; it must not abort the process."""
    (tmp_path / "works.py").write_text(
        "from serving.learn.child_process import end_with_parent\n"
        "end_with_parent()\n"
        "import asyncio\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    child = start_child("works")
    assert child.wait(timeout=30) == 0
    assert child.stdin is not None
    child.stdin.close()
