"""Runs a process beside the server, and starts it again when it has ended.

The process holds a lock in the home, so that a second one on this machine waits. It ends when the
pipe from its parent closes, however the parent ended.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

RECOVERED_S = 60.0  # a process that has run this long starts again after the shortest pause
END_S = 10.0  # before a process that was told to end is killed
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0  # between two starts
UNTIL_STDIN_CLOSES = "--until-stdin-closes"


class ChildProcess:
    """Starts and stops a process; used by the parent.

    Parameters
    ----------
    name : str
        For people, such as ``learner``.
    module : str
        Run by Python; it calls `end_with_parent` if it is given `UNTIL_STDIN_CLOSES`.

    Attributes
    ----------
    problem : str
        One sentence if the process has ended by itself; empty otherwise.
    """

    def __init__(self, name: str, module: str) -> None:
        self._name, self._module = name, module
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.problem = ""

    def run_on(self, now_s: float, arguments: Sequence[str] = ()) -> None:
        """Start the process if it does not run; after an early end, wait longer each time.

        Parameters
        ----------
        now_s : float
            Monotonic time, in seconds.
        """
        if self._child is not None and self._child.poll() is None:
            if now_s - self._started_at > RECOVERED_S:
                self._pause_s, self.problem = FIRST_PAUSE_S, ""
            return
        if self._child is not None:
            code = self._child.returncode
            self.problem = f"{self._name}: ended with code {code}; see the log"
            if now_s - self._started_at < self._pause_s:
                return
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            log.warning("The process %s ended with code %s; starting it again", self._name, code)
        self._started_at = now_s
        self._child = start_child(self._module, *arguments)

    def stop(self) -> None:
        """End the process and wait; its transactions are done or undone, so nothing is lost.

        A process that has not ended after `END_S` is killed.
        """
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                log.warning("%s did not end within %s s; it is killed", self._name, END_S)
                self._child.kill()
                self._child.wait()


def start_child(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a module as a process that ends with this one."""
    return subprocess.Popen(
        [sys.executable, "-m", module, UNTIL_STDIN_CLOSES, *arguments],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )


def end_with_parent() -> None:
    """End this process when the parent's end of the pipe is closed."""

    def wait() -> None:
        # Not `sys.stdin`: a thread that holds its lock aborts a process that has ended by itself.
        while os.read(0, 4096):
            pass
        os._exit(0)  # at once: a transaction is either done or undone

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock of a file, and hold it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
