"""Opens what one server process works with: ledger, feature store, models, catalogue and engine."""

from __future__ import annotations

import logging
from collections.abc import Collection

from features.analytics.upkeep.forgetting import forgetting
from features.business.domain import Domain
from features.customers.consents import index_consents, opt_out_sentence
from features.ingest.erasure import Erasure
from features.ingest.live_events import Ingest
from features.journeys.model_input import ModelInput
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import SimulatedClock, check_clock, clock_of
from features.outcomes.harm_marks import HarmEvents
from features.settings import Settings
from features.states.former_spellings import link_former_spellings
from features.states.journey_states import JourneyStates
from features.states.live_attributes import LiveAttributes
from features.store.feast_store import FeatureStore
from features.store.retention import RetentionPolicy
from serving.audit.archive import Archive, keep_catalog
from serving.catalog.catalog_file import CatalogFile
from serving.decide.customer_inputs import OnlineFeatures
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.guardrails.watch import GuardrailWatch
from serving.models.watcher import ModelWatcher
from training.params import load_params
from training.pipeline.registry import Registry

log = logging.getLogger(__name__)


class Components:
    """The opened parts that the routes (`Worker`) and the background tasks share.

    Raises
    ------
    NbaError
        If the domain or the catalogue breaks a rule, or the ledger cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        domain, params = open_domain(settings.domain), load_params()
        model_input = ModelInput(domain)
        self.catalog_file = CatalogFile(settings.actions, domain, model_input)
        compiled = self.catalog_file.read()
        if opt_out := opt_out_sentence(compiled.catalog):
            log.warning(opt_out)
        self.ledger = Ledger(settings.ledger_url)
        check_clock(settings, self.ledger)
        self.clock = clock_of(settings, self.ledger)
        if isinstance(self.clock, SimulatedClock):
            self.clock.begin()
        index_consents(self.ledger, domain)
        link_former_spellings(self.ledger, domain, self.clock())
        keep_catalog(self.ledger, compiled.catalog, self.clock())
        self.features = _open_features(settings, domain)
        self.registry = Registry(settings)
        self.model_watcher = ModelWatcher(
            self.registry, self.ledger, domain, compiled.catalog, params
        )
        self.model_watcher.refresh()
        self.archive = Archive(self.registry, self.ledger, domain, params)
        self.guardrails = GuardrailWatch(self.ledger, domain)
        stops = self.guardrails.refresh()
        setup = DecisionSetup(compiled, self.model_watcher.current, model_input, stops)
        self.engine = Engine(domain, model_input, self.features, self.ledger, setup)
        states = JourneyStates(model_input.fold, self.features.state)
        self.ingest = Ingest(self.ledger, self.features, domain, states, self._purposes, self._harm)
        self.attributes = LiveAttributes(self.ledger, self.ingest.publisher, domain, states)
        self.erasure = Erasure(
            self.ledger,
            self.features,
            settings.home,
            self.clock,
            also=forgetting(self.ledger, domain, settings.home),
        )
        self.retention = RetentionPolicy(self.ledger, domain, settings)

    def _purposes(self) -> Collection[str]:
        """Name the purposes of the catalogue that decides now."""
        return self.engine.setup.compiled.catalog.purposes

    def _harm(self) -> HarmEvents:
        """Name the events that the guardrails of the catalogue that decides now count."""
        return HarmEvents.of(self.engine.setup.compiled.catalog, self.engine.domain)

    def close(self) -> None:
        """Finish what is being written to the ledger, and close it."""
        try:
            self.ingest.publisher.close()
        finally:
            self.ledger.close()


def _open_features(settings: Settings, domain: Domain) -> OnlineFeatures:
    try:
        return OnlineFeatures(FeatureStore(settings, domain))
    except Exception as error:  # the server starts, decides without features, and says so
        log.exception("The feature store could not be opened")
        return OnlineFeatures(None, f"the store could not be opened ({type(error).__name__})")
