"""Runs the learner as a process beside the server: `python -m serving.learn.process`.

The first worker of a server starts the process and starts it again when it has ended. It holds a
lock in the home, so that a second learner on this machine waits. A second one on another machine is
noticed by the ledger's revision. The process ends when the pipe from its parent closes, however the
parent ended.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from threadpoolctl import threadpool_limits

from features.clock import monotonic_s, utc_now
from features.journeys.model_input import ModelInput
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.private_files import protect_process
from features.settings import Settings, load_settings
from serving.catalog.catalog_file import CatalogFile
from serving.learn.champion_reader import ChampionReader
from serving.learn.learner import Learner
from serving.learn.maintenance import LearnerMaintenance, log_to_registry
from training.params import load_params
from training.pipeline.registry import Registry

log = logging.getLogger("nba.learner")

RECOVERED_S = 60.0  # a learner that has run this long starts again after the shortest pause
END_S = 10.0  # before a learner that was told to end is killed
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0  # between two starts


class LearnerProcess:
    """Starts and stops the learner's process; used by the parent.

    Attributes
    ----------
    problem : str
        One sentence if the process has ended by itself; empty otherwise.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.problem = ""

    def keep_alive(self, now_s: float, champion: tuple[str, Path] | None = None) -> None:
        """Start the process if it does not run; after an early end, wait longer each time.

        Parameters
        ----------
        now_s : float
            Monotonic time, in seconds.
        champion
            Version and files of the bandit that serves; None without one.
        """
        if self._child is not None and self._child.poll() is None:
            if now_s - self._started_at > RECOVERED_S:
                self._pause_s, self.problem = FIRST_PAUSE_S, ""
            return
        if self._child is not None:
            self.problem = f"learner: ended with code {self._child.returncode}; see the log"
            if now_s - self._started_at < self._pause_s:
                return
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            log.warning("The learner ended with code %s; starting it again", self._child.returncode)
        self._started_at = now_s
        files = [] if champion is None else ["--champion", champion[0], str(champion[1])]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "serving.learn.process", "--until-stdin-closes", *files],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
        )

    def stop(self) -> None:
        """End the process and wait; its transactions are done or undone, so nothing is lost.

        A process that has not ended after `END_S` is killed.
        """
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                log.warning("The learner did not end within %s s; it is killed", END_S)
                self._child.kill()
                self._child.wait()


def run(settings: Settings, champion: tuple[str, Path] | None = None) -> None:
    """Learn until interrupted.

    Parameters
    ----------
    settings
    champion
        See `ChampionReader`.
    """
    # OpenBLAS would wake all cores for a matrix of a hundred rows, and wait for the slowest.
    threadpool_limits(limits=1, user_api="blas")
    domain = open_domain(settings.domain)
    ledger = Ledger(settings.ledger_url)
    registry = Registry(settings)
    catalog_file = CatalogFile(settings.actions, domain, ModelInput(domain))
    catalog = catalog_file.read().catalog
    with _locked(settings.home / "learner.lock"):
        read_champion = ChampionReader(registry, champion)
        learner = Learner(ledger, domain, catalog, load_params(), read_champion)
        # Opens MLflow beside the first steps. A failure is met again, and logged, by the reader.
        threading.Thread(target=_open, args=(registry,), daemon=True).start()
        log_version, every_s = log_to_registry(registry, domain), settings.version_every_s
        maintenance = LearnerMaintenance(learner, log_version, every_s, monotonic_s())
        next_refresh_s = 0.0
        while True:
            try:
                if monotonic_s() >= next_refresh_s:
                    next_refresh_s = monotonic_s() + settings.models_every_s
                    if (compiled := catalog_file.changed()) is not None:
                        learner.catalog = compiled.catalog
                    learner.rebase(utc_now())
                learner.step(utc_now())
                maintenance.check(utc_now(), monotonic_s())
            except Exception:  # a locked database or a full disk passes; learning must go on
                log.exception("This round of learning failed; trying again")
            time.sleep(settings.learn_every_s)


def _open(registry: Registry) -> None:
    with suppress(Exception):
        registry.champion("bandit")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other learner of this home runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _end_with_parent() -> None:
    """End this process when the parent's end of the pipe is closed."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)  # at once: a transaction is either done or undone

    threading.Thread(target=wait, daemon=True).start()


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the parent")
    parser.add_argument("--champion", nargs=2, metavar=("VERSION", "FOLDER"), help="build on this")
    return parser.parse_args()


if __name__ == "__main__":
    protect_process()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asked = _asked()
    if asked.until_stdin_closes:
        _end_with_parent()
    given = asked.champion and (asked.champion[0], Path(asked.champion[1]))
    run(load_settings(), given)
