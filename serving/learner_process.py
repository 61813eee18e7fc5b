"""Runs the learner beside the server, once: `python -m serving.learner_process`.

The first worker of a server starts it and keeps it alive. It holds a lock beside the ledger, so
that a second one waits; and it ends when the pipe from its parent closes, however the parent died.
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
from datetime import UTC, datetime
from pathlib import Path

from features.catalog import load_catalog
from features.domain import load_domain
from features.ledger import Ledger
from features.settings import Settings, load_settings
from serving.learner import Learner
from training.bandit import Bandit
from training.params import load_params
from training.registry import Registry

log = logging.getLogger("nba.learner")


class LearnerProcess:
    """A handle for the parent: start it, look after it, stop it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def keep_alive(self) -> None:
        """Start the learner if it does not run."""
        if self._child is not None and self._child.poll() is None:
            return
        if self._child is not None:
            log.warning("The learner ended with code %s; starting it again", self._child.returncode)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "serving.learner_process", "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[1],
        )

    def stop(self) -> None:
        """End it and wait; its transactions see to it that nothing is lost."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait(timeout=10)


def run(settings: Settings, rounds: int | None = None) -> None:
    """Learn until interrupted, or for a number of rounds."""
    domain = load_domain(settings.domain)
    ledger = Ledger(settings.ledger_url)
    registry = Registry(settings)
    with _alone(settings.home / "learner.lock"):
        learner = Learner(
            ledger,
            domain,
            load_catalog(settings.actions, domain),
            load_params(),
            lambda: _champion(registry),
        )
        next_look = 0.0
        while rounds is None or (rounds := rounds - 1) >= 0:
            try:
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + settings.models_every_s
                    learner.rebase(datetime.now(UTC))
                busy = learner.step(datetime.now(UTC))
            except Exception:  # a locked database or a full disk passes; learning must go on
                log.exception("This round of learning failed; trying again")
                busy = False
            if not busy or rounds is None:
                time.sleep(settings.learn_every_s)
    ledger.close()


def _champion(registry: Registry) -> tuple[str, Bandit] | None:
    try:
        version = registry.champion("bandit")
        if version is None:
            return None
        return version.version, Bandit.load(registry.folder(version))
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
