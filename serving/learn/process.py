"""Runs the learner as a process beside the server: `python -m serving.learn.process`.

The first worker of a server starts the process and starts it again when it has ended. It holds a
lock in the home, so that a second learner on this machine waits. A second one on another machine is
noticed by the ledger's revision. The process ends when the pipe from its parent closes, however the
parent ended.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from features.clock import Clock, monotonic_s
from features.journeys.model_input import ModelInput
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import (
    FOLDED,
    LEARNED,
    POLL_S,
    SUMMED,
    SimulatedClock,
    clock_of,
    note_part,
    settle_due,
)
from features.private_files import protect_process
from features.settings import Settings, load_settings
from serving.catalog.catalog_file import CatalogFile
from serving.effects.effect_learner import EffectLearner
from serving.learn.champion_reader import ChampionReader
from serving.learn.checkpoints import FOLDER
from serving.learn.child_process import (
    UNTIL_STDIN_CLOSES,
    ChildProcess,
    end_with_parent,
    only_one,
)
from serving.learn.learner import ALWAYS_AT_ONCE, Learner
from serving.learn.maintenance import LearnerMaintenance, log_to_registry
from training.params import load_params
from training.pipeline.registry import Registry

log = logging.getLogger("nba.learner")

PUBLISHING = 1 / 3  # of the time, at most
LOOKING = 1 / 2  # of the time, at most, for looks at customers some days after a decision
LOOKING_BEHIND = 1 / 10  # while decisions wait for the steps
LOOK_AGAIN_S = 60.0  # after a failure


class LearnerProcess(ChildProcess):
    """Starts and stops the learner's process; used by the parent."""

    def __init__(self) -> None:
        super().__init__("learner", "serving.learn.process")

    def keep_alive(self, now_s: float, champion: tuple[str, Path] | None = None) -> None:
        """Start the process if it does not run; see `ChildProcess.run_on`.

        Parameters
        ----------
        champion
            Version and files of the bandit that serves; None without one.
        """
        self.run_on(
            now_s, [] if champion is None else ["--champion", champion[0], str(champion[1])]
        )


def run(settings: Settings, champion: tuple[str, Path] | None = None) -> None:
    """Learn until interrupted or told to end.

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
    clock = clock_of(settings, ledger)
    registry = Registry(settings)
    catalog_file = CatalogFile(settings.actions, domain, ModelInput(domain))
    catalog = catalog_file.read().catalog
    with only_one(settings.home / "learner.lock"):
        read_champion = ChampionReader(registry, champion)
        folder = settings.home / FOLDER
        # Beside the steps, what is published when all has settled would depend on the real time.
        at_once = ALWAYS_AT_ONCE if isinstance(clock, SimulatedClock) else 0
        params = load_params()
        learner = Learner(ledger, domain, catalog, params, read_champion, folder, at_once)
        # Opens MLflow beside the first steps. A failure is met again, and logged, by the reader.
        threading.Thread(target=_open, args=(registry,), daemon=True).start()
        log_version, every_s = log_to_registry(registry, domain), settings.version_every_s
        effects = EffectLearner(ledger, domain, catalog, params.effects)
        maintenance = LearnerMaintenance(learner, log_version, every_s, monotonic_s(), effects)
        rounds = rounds_of(learner, maintenance, catalog_file, settings, clock, effects)
        ended = _told_to_end()
        while not ended.is_set():
            try:
                pause_s = rounds.run_one()
            except Exception:  # a locked database or a full disk passes; learning must go on
                log.exception("This round of learning failed; trying again")
                pause_s = settings.learn_every_s
            rounds.wait(ended, pause_s)
        effects.end()
        if (write := learner.checkpoint()) is not None:  # the next start has no step to repeat
            write()


class Rounds:
    """Runs the rounds of a learner, each of which learns one batch.

    Publishing has a pace of its own: while much waits, it is done once in a while, and it takes a
    part of the time only.
    """

    def __init__(
        self,
        learner: Learner,
        maintenance: LearnerMaintenance,
        catalog_file: CatalogFile,
        settings: Settings,
        clock: Clock,
        effects: EffectLearner | None = None,
    ) -> None:
        self._learner = learner
        self._maintenance = maintenance
        self._catalog_file = catalog_file
        self._settings = settings
        self._clock = clock
        self._effects = effects
        self._next_refresh_s = self._next_publish_s = self._next_look_s = 0.0
        self._looks_wait = False

    def run_one(self) -> float:
        """Run a round; return the pause before the next one in seconds, 0 while more waits."""
        settings, learner = self._settings, self._learner
        if monotonic_s() >= self._next_refresh_s:
            self._next_refresh_s = monotonic_s() + settings.models_every_s
            if (compiled := self._catalog_file.changed()) is not None:
                learner.catalog = compiled.catalog
                if self._effects is not None:
                    self._effects.catalog = compiled.catalog
            learner.rebase(self._clock())
        more = learner.learn(self._clock())
        began_s = monotonic_s()
        if began_s >= self._next_publish_s:
            learner.publish(self._clock())
            took_s = monotonic_s() - began_s
            self._next_publish_s = began_s + max(settings.learn_every_s, took_s / PUBLISHING)
        self._maintenance.check(self._clock(), monotonic_s(), more)
        self._look(LOOKING_BEHIND if more else LOOKING)
        if more:
            return 0.0
        if not self._looks_wait:
            return settings.learn_every_s
        return min(settings.learn_every_s, max(self._next_look_s - monotonic_s(), 0.0))

    def _look(self, share: float) -> None:
        """Look at some customers again, in a share of the time."""
        began_s = monotonic_s()
        if self._effects is None or began_s < self._next_look_s:
            return
        try:
            self._looks_wait = self._effects.look(self._clock())
        except Exception:  # it is none of the steps', which go on
            log.exception("Customers could not be looked at again; trying again in a minute")
            self._next_look_s = began_s + LOOK_AGAIN_S
        else:
            self._next_look_s = began_s + (monotonic_s() - began_s) / share

    def wait(self, ended: threading.Event, pause_s: float) -> None:
        """Wait for the next round, or until the process is told to end."""
        ended.wait(pause_s)


class SimulatedRounds(Rounds):
    """Runs the rounds by a simulated clock: what is due by a request to settle is learned at once.

    Then all is published, with the trees and the effects that are due. The effects are those on
    the margin of days, so the days are summed first.
    """

    def __init__(
        self,
        learner: Learner,
        maintenance: LearnerMaintenance,
        catalog_file: CatalogFile,
        settings: Settings,
        clock: SimulatedClock,
        effects: EffectLearner | None = None,
    ) -> None:
        super().__init__(learner, maintenance, catalog_file, settings, clock, effects)
        self._simulated = clock

    def run_one(self) -> float:
        """Run a round, or settle; return the pause before the next one in seconds."""
        if (
            not self._simulated.has_begun()
        ):  # the first time of an empty ledger may still be set back
            return self._settings.learn_every_s
        settle = self._due()
        return super().run_one() if settle is None else self._settle(settle)

    def wait(self, ended: threading.Event, pause_s: float) -> None:
        """Wait for the next round, until it is time to settle, or the process is told to end."""
        ends_s = monotonic_s() + pause_s
        while (left_s := ends_s - monotonic_s()) > 0 and not ended.wait(min(left_s, POLL_S)):
            with suppress(Exception):  # the next round meets the same failure, and logs it
                if self._due() is not None:
                    return

    def _due(self) -> int | None:
        learns_effects = self._effects is not None and self._effects.is_wanted
        after = (FOLDED, SUMMED) if learns_effects else (FOLDED,)
        return self._learner.ledger.read(partial(settle_due, part=LEARNED, after=after))

    def _settle(self, settle: int) -> float:
        learner, now = self._learner, self._clock()
        while learner.learn(now):
            pass
        if self._effects is not None:
            self._effects.look_at_all(now)
        self._maintenance.finish_trees(now)
        self._maintenance.finish_effects(now)
        learner.publish(now)
        learner.ledger.write_now(lambda c: note_part(c, LEARNED, settle, now))
        return self._settings.learn_every_s


def rounds_of(
    learner: Learner,
    maintenance: LearnerMaintenance,
    catalog_file: CatalogFile,
    settings: Settings,
    clock: Clock,
    effects: EffectLearner | None = None,
) -> Rounds:
    """Make the rounds that go by this clock; ``effects`` None: nobody learns effects."""
    if isinstance(clock, SimulatedClock):
        return SimulatedRounds(learner, maintenance, catalog_file, settings, clock, effects)
    return Rounds(learner, maintenance, catalog_file, settings, clock, effects)


def _told_to_end() -> threading.Event:
    """Return an event that is set when the process is told to end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _open(registry: Registry) -> None:
    with suppress(Exception):
        registry.champion("bandit")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(UNTIL_STDIN_CLOSES, action="store_true", help="end with the parent")
    parser.add_argument("--champion", nargs=2, metavar=("VERSION", "FOLDER"), help="build on this")
    return parser.parse_args()


if __name__ == "__main__":
    protect_process()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asked = _asked()
    if asked.until_stdin_closes:
        end_with_parent()
    given = asked.champion and (asked.champion[0], Path(asked.champion[1]))
    run(load_settings(), given)
