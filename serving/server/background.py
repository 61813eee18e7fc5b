"""What goes on beside the requests: models, catalogue, learner and ledger are looked after.

Each look runs again and again by itself; what it finds broken is told on `/readyz`, and whatever
served before goes on serving.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import bentoml

from features.business.domain import load_domain
from features.clock import monotonic_s, utc_now
from features.ingest.erasure import Erasure
from features.ingest.live_events import Ingest
from features.journeys.journey_states import States
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.settings import Settings
from features.store.feast_store import FeatureStore
from serving.audit.archive import Archive, keep_catalog
from serving.catalog.catalog_file import CatalogFile
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.decide.online_features import OnlineFeatures
from serving.learn.process import LearnerProcess
from serving.models.watcher import ModelWatcher
from serving.server import monitoring
from training.params import load_params
from training.pipeline.registry import Registry

log = logging.getLogger(__name__)

LEDGER_EVERY_S, LEDGER_WITHIN_S = 5.0, 10.0
CATALOG_EVERY_S = 1.0


class BackgroundTasks:
    """Opens what a worker needs, and keeps it up to date.

    Raises
    ------
    NbaError
        If the domain or the catalogue breaks a rule, or the ledger cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        domain, params = load_domain(settings.domain), load_params()
        model_input = ModelInput(domain)
        self._catalog_file = CatalogFile(settings.actions, domain, model_input)
        compiled = self._catalog_file.read()
        self._next: CompiledCatalog | None = (
            None  # a catalogue that is good, and not yet taken over
        )
        self.ledger = Ledger(settings.ledger_url)
        keep_catalog(self.ledger, compiled.catalog, utc_now())
        self.features = _open_features(settings, domain)
        self.registry = Registry(settings)
        self._watcher = ModelWatcher(self.registry, self.ledger, domain, compiled.catalog, params)
        self._watcher.refresh()
        self.archive = Archive(self.registry, self.ledger, domain, params)
        setup = DecisionSetup(compiled, self._watcher.current, model_input)
        self.engine = Engine(domain, model_input, self.features, self.ledger, setup)
        states = States(model_input.fold, self.features.state)
        self.ingest = Ingest(self.ledger, self.features, domain, states)
        self.erasure = Erasure(self.ledger, self.features, settings.home)
        self._learner = LearnerProcess()
        self._ledger_problem = ""
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Begin to look; from within the event loop."""
        every = (
            (self._settings.models_every_s, self._watch_models),
            (self._settings.learn_every_s, self._watch_learner),
            (LEDGER_EVERY_S, self._watch_ledger),
            (CATALOG_EVERY_S, self._watch_catalog),
        )
        self._tasks = [asyncio.create_task(_every(seconds, look)) for seconds, look in every]

    async def end(self) -> None:
        """Stop the learner and finish what is being written."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._learner.stop()
        self.ledger.close()

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """What `/readyz` tells: a status and a body."""
        versions = dict(self.engine.setup.models.versions)
        if self._ledger_problem:
            body = {"status": "not ready", "degraded": [self._ledger_problem], "models": {}}
            return 503, body
        degraded = self.degraded
        status = "degraded" if degraded else "ready"
        return 200, {"status": status, "degraded": degraded, "models": versions}

    @property
    def degraded(self) -> list[str]:
        """What is missing or broken, in sentences for people."""
        others = [one for one in (self._catalog_file.problem, self._learner.problem) if one]
        return [*self.engine.setup.models.degraded, *self.features.degraded, *others]

    async def _watch_ledger(self) -> None:
        """Whether decisions can be written: takes the write lock and gives it back."""
        try:
            await asyncio.wait_for(self.ledger.write(lambda connection: None), LEDGER_WITHIN_S)
            self._ledger_problem = ""
        except Exception as error:
            log.exception("The ledger cannot be written")
            self._ledger_problem = f"ledger: cannot be written ({type(error).__name__})"

    async def _watch_models(self) -> None:
        await asyncio.to_thread(self.features.refresh)
        if not self.features.degraded:  # what a crash, or a build beside us, left waiting
            await asyncio.to_thread(self.erasure.finish)
            await self.ingest.show(utc_now())
        if await asyncio.to_thread(self._watcher.refresh):
            log.info("Now serving %s", dict(self._watcher.current.versions))
        self.engine.setup = self.engine.setup.with_models(self._watcher.current)
        monitoring.DEGRADED.set(len(self.degraded))

    async def _watch_catalog(self) -> None:
        """Take a changed catalogue, as a whole, or keep the old one and say why."""
        self._next = await asyncio.to_thread(self._catalog_file.changed) or self._next
        if self._next is None:
            return
        # Set from the loop, as the looks at models do: none overwrites the other's with an older.
        self.engine.setup = await asyncio.to_thread(self._desk_with, self._next)
        self._next = None
        log.info("Now deciding with catalogue %s", self.engine.setup.compiled.catalog.fingerprint)

    def _desk_with(self, compiled: CompiledCatalog) -> DecisionSetup:
        keep_catalog(self.ledger, compiled.catalog, utc_now())
        self._watcher.follow(compiled.catalog)
        return DecisionSetup(compiled, self._watcher.current, self.engine.model_input)

    async def _watch_learner(self) -> None:
        # The index is 1 in the first worker, and missing where there is only one process.
        if self._settings.learner and (bentoml.server_context.worker_index or 1) == 1:
            self._learner.keep_alive(monotonic_s())
        await asyncio.to_thread(self._watcher.refresh_snapshot)
        self.engine.setup = self.engine.setup.with_models(self._watcher.current)


def _open_features(settings: Settings, domain: Any) -> OnlineFeatures:
    try:
        return OnlineFeatures(FeatureStore(settings, domain))
    except Exception as error:  # a broken feature store must not stop the server
        log.exception("The feature store could not be opened")
        return OnlineFeatures(None, f"the store could not be opened ({type(error).__name__})")


async def _every(seconds: float, work: Any) -> None:
    """Do some work again and again; a failure is logged and tried again."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("A background task failed; trying again")
        await asyncio.sleep(seconds)
