"""Runs the learner beside the server, once: `python -m serving.learner_process`.

The first worker of a server starts it and keeps it alive. It holds a lock in the home, so that a
second one on this machine waits (one on another machine is noticed by the ledger's revision); and
it ends when the pipe from its parent closes, however the parent died.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from features.business.catalog import Catalog
from features.business.domain import load_domain
from features.clock import monotonic_s, utc_now
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.settings import Settings, load_settings
from serving.catalog.catalog_file import CatalogFile
from serving.learn.learner import Learner
from serving.learn.maintenance import LearnerMaintenance, to_registry
from training.bandit.artifact import Bandit
from training.params import load_params
from training.pipeline.registry import Registry

log = logging.getLogger("nba.learner")

STEADY_S = 60.0  # a learner that ran this long has recovered
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0  # between two starts


@dataclass
class _Latest:
    """The catalogue as it was last read."""

    catalog: Catalog


class LearnerProcess:
    """A handle for the parent: start it, look after it, stop it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.problem = ""

    def keep_alive(self, now_s: float) -> None:
        """Start the learner if it does not run; after an early end, wait longer each time.

        Parameters
        ----------
        now_s : float
            Any steady clock, in seconds.
        """
        if self._child is not None and self._child.poll() is None:
            if now_s - self._started_at > STEADY_S:
                self._pause_s, self.problem = FIRST_PAUSE_S, ""
            return
        if self._child is not None:
            self.problem = f"learner: ended with code {self._child.returncode}; see the log"
            if now_s - self._started_at < self._pause_s:
                return
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            log.warning("The learner ended with code %s; starting it again", self._child.returncode)
        self._started_at = now_s
        self._child = subprocess.Popen(
            [sys.executable, "-m", "serving.learn.process", "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
        )

    def stop(self) -> None:
        """End it and wait; its transactions see to it that nothing is lost."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait(timeout=10)


def run(settings: Settings) -> None:
    """Learn until interrupted."""
    # OpenBLAS would wake all cores for a matrix of a hundred rows, and wait for the slowest.
    threadpool_limits(limits=1, user_api="blas")
    domain = load_domain(settings.domain)
    ledger = Ledger(settings.ledger_url)
    registry = Registry(settings)
    file = CatalogFile(settings.actions, domain, ModelInput(domain))
    latest = _Latest(file.read().catalog)
    with _alone(settings.home / "learner.lock"):
        champion = partial(_champion, registry)
        learner = Learner(ledger, domain, latest, load_params(), champion)
        write = to_registry(registry, domain)
        beside = LearnerMaintenance(learner, write, settings.version_every_s, monotonic_s())
        next_look = 0.0
        while True:
            try:
                if monotonic_s() >= next_look:
                    next_look = monotonic_s() + settings.models_every_s
                    if (compiled := file.changed()) is not None:
                        latest.catalog = compiled.catalog
                    learner.rebase(utc_now())
                learner.step(utc_now())
                beside.look(utc_now(), monotonic_s())
            except Exception:  # a locked database or a full disk passes; learning must go on
                log.exception("This round of learning failed; trying again")
            time.sleep(settings.learn_every_s)


def _champion(registry: Registry) -> tuple[str, Bandit] | None:
    try:
        version = registry.champion("bandit")
        if version is None:
            return None
        return version.base, Bandit.load(registry.folder(version))
    except Exception as error:  # MLflow is down: go on with what we have
        log.warning("%s", error)
        return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _end_with_parent() -> None:
    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)  # at once: the parent is gone, and a transaction is either done or not

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    if "--until-stdin-closes" in sys.argv:
        _end_with_parent()
    run(load_settings())
