"""Keeps a running server up to date: models, catalogue, learner and ledger.

Each task runs at a fixed pause. A failed task is logged and tried again; meanwhile the server goes
on with what it had, and `/readyz` names the problem.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import bentoml

from features.analytics.upkeep.kept_state import FOLDER
from features.clock import monotonic_s
from features.customers.consents import opt_out_sentence
from features.customers.merge_candidates import count_open
from features.ledger.simulated_clock import POLL_S, SimulatedClock
from features.private_files import open_to_others
from features.settings import Settings
from features.states.set_aside import read_set_aside, set_aside_sentence, try_again
from serving.access.gate import AccessControl
from serving.audit.archive import keep_catalog
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.decision_setup import DecisionSetup
from serving.journeys.watch import OLD, JourneysWatch
from serving.learn.lag import lag_sentence, read_lag
from serving.learn.process import LearnerProcess
from serving.learn.set_aside import learner_set_aside_sentence, read_learner_set_aside
from serving.learn.stored_state import read_learner_problem
from serving.server import monitoring
from serving.server.components import Components
from serving.server.deletion import DeletionThreads
from serving.server.disk import DiskWatch
from serving.server.settling.clock import clock_fields
from serving.server.settling.guarding import GuardrailTasks
from serving.server.settling.sums import RewardSums
from serving.server.settling.workers import WorkerSettling, WorkOfSettling
from serving.server.work_pools import WorkPool

log = logging.getLogger(__name__)

LEDGER_EVERY_S, LEDGER_WITHIN_S = 5.0, 10.0
CATALOG_EVERY_S, ERASURES_EVERY_S = 1.0, 1.0
DISK_EVERY_S, RETENTION_EVERY_S = 5.0, 60.0
LAG_EVERY_S = 5.0
THREADS = 12  # one for each task that uses them: each waits for its own work only
GUARDRAILS_EVERY_S = 1.0  # an action that was switched off is offered by no worker 2 s later
KEYS_EVERY_S = 2.0  # a revoked key is refused within 5 s
JOURNEYS_EVERY_S = 5.0
REWARDS_EVERY_S = 5.0


class BackgroundTasks:
    """Runs beside the requests, on the event loop of one server process.

    Parameters
    ----------
    components
        Kept up to date: `Engine.setup` is replaced when models or the catalogue have changed.
    settings
    access
        Kept up to date: the keys of the API.
    """

    def __init__(self, components: Components, settings: Settings, access: AccessControl) -> None:
        self._components = components
        self._settings = settings
        self._access = access
        self._next_catalog: CompiledCatalog | None = None  # read and checked, but not used yet
        self._learner = LearnerProcess()
        self._ledger_problem = ""
        self._set_aside = ""  # customers whose past cannot be folded, as a sentence
        self._learning: list[str] = []  # what the learner is behind with, and what it leaves out
        self._tried_again = False  # to fold them, at the start
        self._tasks: list[asyncio.Task[None]] = []
        self._threads = WorkPool("background tasks", THREADS, most_waiting=THREADS)
        self._deletion = DeletionThreads(components.erasure, components.retention, components.clock)
        self._disks = DiskWatch(settings)
        self._sums = RewardSums(components.engine, self._threads)
        self._guarding = GuardrailTasks(components, self._threads, self._is_first_worker)
        self._is_simulated = isinstance(components.clock, SimulatedClock)
        old = timedelta.max if self._is_simulated else OLD  # days may pass between two refreshes
        self._journeys = JourneysWatch(components.ledger, settings.home / FOLDER, old)
        self._settling = WorkerSettling(
            components.ledger,
            components.clock,
            index=bentoml.server_context.worker_index or 1,
            workers=settings.workers,
            work=WorkOfSettling(
                fold=(self._fold_at_once,),
                total=(
                    self._deletion.settle,
                    partial(self._sums.sum, pause_s=0.0),
                    partial(self._guarding.count, pause_s=0.0),
                ),
                load=(self._load_snapshot, self._guarding.refresh),
            ),
        )

    def start(self) -> None:
        """Start the tasks; needs a running event loop."""
        if self._is_first_worker and (found := open_to_others(self._settings)):
            log.warning("%s", found)
        tasks = (
            (self._settings.models_every_s, self._refresh_models),
            (self._settings.learn_every_s, self._refresh_snapshot),
            (LEDGER_EVERY_S, self._check_ledger),
            (CATALOG_EVERY_S, self._refresh_catalog),
            (ERASURES_EVERY_S, self._deletion.finish_erasures),
            (RETENTION_EVERY_S, self._deletion.apply_retention),
            (DISK_EVERY_S, self._look_at_disks),
            (self._settings.models_every_s, self._show_backlog),
            (LAG_EVERY_S, self._measure_lag),
            (REWARDS_EVERY_S, self._sum_rewards),
            (KEYS_EVERY_S, self._refresh_keys),
            (GUARDRAILS_EVERY_S, self._guarding.watch),
            (LAG_EVERY_S, self._guarding.measure),
            *([(JOURNEYS_EVERY_S, self._keep_journeys)] if self._settings.journeys else []),
            *([(POLL_S, self._settling.look)] if self._is_simulated else []),
        )
        self._tasks = [asyncio.create_task(_repeat(pause_s, task)) for pause_s, task in tasks]

    async def stop(self, *also: Callable[[], None]) -> None:
        """Cancel the tasks and stop the learner, while the event loop answers what was begun.

        A failure is logged and not raised: the ledger must be closed afterwards.

        Parameters
        ----------
        also
            Other parts to stop, each in a thread.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ends = (*also, self._learner.stop, self._journeys.stop, self._threads.close)
        ends = (*ends, self._deletion.stop)
        done = await asyncio.gather(*map(asyncio.to_thread, ends), return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                log.error("A part of the server did not stop as it should", exc_info=error)

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the body with which `/readyz` answers."""
        broken = [self._ledger_problem] if self._ledger_problem else []
        if self._disks.is_full:
            broken += self._disks.problems
        if broken:
            return 503, {"status": "not ready", "degraded": broken, "models": {}}
        degraded = self.degraded
        status = "degraded" if degraded else "ready"
        versions = dict(self._components.engine.setup.models.versions)
        found = {"status": status, "degraded": degraded, "models": versions}
        told = self._components.guardrails.remarks
        found |= {"guardrails": told} if told else {}
        return 200, found | clock_fields(self._components.clock, self._settings)

    @property
    def degraded(self) -> list[str]:
        """One sentence for each part that is missing or broken."""
        parts = self._components
        found = (parts.catalog_file.problem, self._learner.problem, *self._learning)
        found = (*found, parts.guardrails.problem)
        problems = [one for one in found if one]
        for name, why in parts.erasure.problems.items():
            problems.append(f"erasure: {name} {why}, so forgotten customers may still be in it")
        problems += [*self._disks.problems, *([self._set_aside] if self._set_aside else [])]
        problems += self._journeys.problems
        return [*parts.engine.setup.models.degraded, *parts.features.degraded, *problems]

    @property
    def _is_first_worker(self) -> bool:
        # The index is 1 in the first worker, and missing where there is only one process.
        return (bentoml.server_context.worker_index or 1) == 1

    async def _check_ledger(self) -> None:
        """Take the write lock and give it back: decisions can be written."""
        # Before all that wait: a long queue does not mean that the ledger cannot be written.
        write = self._components.ledger.write(lambda connection: None, first=True)
        try:
            # Not `wait_for`, which loses a cancellation that comes when the write is done.
            async with asyncio.timeout(LEDGER_WITHIN_S):
                await write
            self._ledger_problem = ""
        except Exception as error:
            log.exception("The ledger cannot be written")
            self._ledger_problem = f"ledger: cannot be written ({type(error).__name__})"

    async def _refresh_models(self) -> None:
        """Use the features and models of now."""
        parts = self._components
        await self._threads.run(parts.features.refresh)
        if await self._threads.run(parts.model_watcher.refresh):
            log.info("Now serving %s", dict(parts.model_watcher.current.versions))
        self._use_current_models()
        monitoring.DEGRADED.set(len(self.degraded))

    async def _refresh_keys(self) -> None:
        """Know the keys that were added, and those that were revoked."""
        await self._threads.run(self._access.refresh)

    async def _look_at_disks(self) -> None:
        """Measure the free space; `/readyz` says when it runs out."""
        monitoring.set_disk_free(await self._threads.run(self._disks.look))

    async def _show_backlog(self) -> None:
        """Show the events that a crash, an outage or a `nba build` has left waiting, in steps."""
        parts = self._components
        if self._is_first_worker:  # two workers would write the same states
            if not self._tried_again:  # the program or the domain file may have changed
                await parts.ledger.write(try_again)
                self._tried_again = True
            if not parts.features.degraded:
                await parts.ingest.publisher.show_backlog(parts.clock())
        count, some = await self._threads.run(parts.ledger.read, read_set_aside)
        monitoring.SET_ASIDE.set(count)
        self._set_aside = set_aside_sentence(count, some)
        undecided = await self._threads.run(parts.ledger.read, count_open)
        monitoring.MERGE_CANDIDATES_OPEN.set(undecided)

    async def _fold_at_once(self) -> None:
        parts = self._components
        await parts.ingest.publisher.show_backlog(parts.clock(), pause_s=0.0)

    async def _refresh_snapshot(self) -> None:
        """Keep the learner running, and use the newest snapshot that it has published."""
        if self._settings.learner and self._is_first_worker:
            champion = self._components.model_watcher.champion_files
            self._learner.keep_alive(monotonic_s(), champion)
        await self._load_snapshot()

    async def _load_snapshot(self) -> None:
        await self._threads.run(self._components.model_watcher.refresh_snapshot)
        self._use_current_models()

    async def _measure_lag(self) -> None:
        """Measure how far the learner is behind, and count the decisions that it has set aside."""
        read = partial(self._threads.run, self._components.ledger.read)
        now = self._components.clock()
        lag = await read(lambda connection: read_lag(connection, now))
        count, some = await read(read_learner_set_aside)
        monitoring.set_learner_lag(lag)
        monitoring.LEARNER_SET_ASIDE.set(count)
        problem = await read(read_learner_problem)
        behind = "" if self._is_simulated else lag_sentence(lag)  # `settling` says it then
        told = (behind, learner_set_aside_sentence(count, some), problem)
        self._learning = [one for one in told if one] if self._settings.learner else []

    async def _keep_journeys(self) -> None:
        """Keep the process of journeys running, and know what is wrong with them."""
        if self._is_first_worker:
            self._journeys.keep_alive(monotonic_s())
        await self._threads.run(self._journeys.look, self._components.clock())

    def _use_current_models(self) -> None:
        engine = self._components.engine
        engine.setup = engine.setup.with_models(self._components.model_watcher.current)

    async def _refresh_catalog(self) -> None:
        """Use a changed catalogue, whole; a broken one is named by `degraded` and not used."""
        parts = self._components
        changed = await self._threads.run(parts.catalog_file.changed)
        self._next_catalog = changed or self._next_catalog
        if self._next_catalog is None:
            return
        # `setup` is set on the event loop only, as in `_use_current_models`: neither task
        # overwrites the newer part of the other one.
        parts.engine.setup = await self._threads.run(self._setup_with, self._next_catalog)
        self._next_catalog = None
        if opt_out := opt_out_sentence(parts.engine.setup.compiled.catalog):
            log.warning(opt_out)
        log.info("Now deciding with catalogue %s", parts.engine.setup.compiled.catalog.fingerprint)

    def _setup_with(self, compiled: CompiledCatalog) -> DecisionSetup:
        parts = self._components
        keep_catalog(parts.ledger, compiled.catalog, parts.clock())
        parts.model_watcher.follow(compiled.catalog)
        models, stops = parts.model_watcher.current, parts.guardrails.stops
        return DecisionSetup(compiled, models, parts.engine.model_input, stops)

    async def _sum_rewards(self) -> None:
        if self._is_first_worker:
            await self._sums.sum()


async def _repeat(pause_s: float, task: Callable[[], Awaitable[None]]) -> None:
    """Run a task again and again; a failure is logged and tried again."""
    while True:
        try:
            await task()
        except Exception:
            log.exception("A background task failed; trying again")
        await asyncio.sleep(pause_s)
