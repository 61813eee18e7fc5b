"""Stand-ins for the feature store and the models, and an engine between them and a real ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.errors import ModelMissing
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.feast_store import CustomerFeatures
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.customer_inputs import FeaturesUnknown
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.policies.contact_policy import ContactPolicy
from training.bandit.exploration import InverseGapWeighting
from training.bandit.stacking import Prediction
from training.effects.effect_prediction import EffectPrediction


@dataclass
class FakeFeatures:
    """Knows the customers it was given; with a ``problem`` it cannot be read."""

    customers: Mapping[str, CustomerFeatures] = field(default_factory=dict)
    problem: str = ""

    def online(self, customer_id: str) -> CustomerFeatures | None:
        if self.problem:
            raise FeaturesUnknown(self.problem)
        return self.customers.get(customer_id)


@dataclass(frozen=True)
class FakeModels:
    """Expects the same of everybody, and explores in earnest."""

    expected: Mapping[str, float]
    gamma: float = 0.1
    versions: Mapping[str, str | None] = field(default_factory=lambda: {"bandit": "3.17"})
    degraded: tuple[str, ...] = ()
    foreseen: float | None = 0.25
    intents: Mapping[str, float] | None = None
    catalog: str | None = None
    seen: tuple[float, ...] = ()
    effects: EffectPrediction | None = None
    outcomes: float = 100.0
    effects_counted: float = 0.0

    @property
    def counted(self) -> np.ndarray:
        return np.full(len(self.expected), self.outcomes)

    def churn(self, row: np.ndarray) -> float | None:
        return self.foreseen

    def intent(self, row: np.ndarray) -> dict[str, float] | None:
        return None if self.intents is None else dict(self.intents)

    def predict(self, row: np.ndarray, channel: str) -> Prediction:
        expected = np.array(list(self.expected.values()))
        return Prediction(expected, np.zeros(len(expected)), expected[None, :])

    def predict_effects(self, row: np.ndarray, channel: str) -> EffectPrediction | None:
        return self.effects

    def looks(self, channel: str) -> tuple[float, ...]:
        return self.seen

    def without_past(self, row: np.ndarray, known: bool) -> list[str]:
        return []

    def why_churn(self, row: np.ndarray) -> None:
        return None

    why_intent = why_churn

    def why_acceptance(self, row: np.ndarray, channel: str, actions: object) -> None:
        return None

    def probabilities(self, expected_reward: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        return InverseGapWeighting(self.gamma).probabilities(expected_reward)


def engine_of(
    catalog: Catalog,
    domain: Domain,
    ledger: Ledger,
    customers: Mapping[str, CustomerFeatures],
    models=None,
) -> Engine:
    """An engine that decides with a catalogue; each action is accepted by one in five."""
    model_input = ModelInput(domain)
    compiled = CompiledCatalog(catalog, domain, model_input)
    models = models or FakeModels(dict.fromkeys(catalog.actions, 0.2))
    setup = DecisionSetup(compiled, models, model_input)
    return Engine(domain, model_input, FakeFeatures(customers), ledger, setup)


NO_ARMS = {"random": 0, "nobody": 0}  # every customer gets the policy


def changed(catalog: Catalog, **parts: object) -> Catalog:
    """A catalogue with other parts, read anew."""
    return catalog.with_parts(**parts)


def decide(engine: Engine, now: datetime, **fields: object) -> Decision:
    """Ask for one decision, for c1 on the app unless said otherwise."""
    asked = DecideRequest.model_validate({"customer_id": "c1", "channel": "app"} | fields)
    return asyncio.run(engine.decide(asked, now))


@dataclass
class FakeArchive:
    """Has the models of every version at hand: each expects another acceptance."""

    domain: object
    ledger: object
    lost: tuple[str, ...] = ()

    def __post_init__(self):
        self.input = ModelInput(self.domain)
        self.fingerprint = self.input.fingerprint
        self._made = {}

    def _compiled(self, catalog):
        name = catalog.fingerprint
        if name not in self._made:
            self._made[name] = CompiledCatalog(catalog, self.domain, self.input)
        return self._made[name]

    def catalog(self, fingerprint):
        query = sa.select(tables.catalogs.c.content).where(
            tables.catalogs.c.fingerprint == fingerprint
        )
        content = self.ledger.read(lambda c: c.execute(query).scalar())
        return content and Catalog.model_validate_json(content)

    def stand_in(self, catalog, versions):
        return None

    def lacks_effects(self, catalog, versions):
        return False

    def actions(self, fingerprint):
        return tuple(self.catalog(fingerprint).actions)

    def looks_back_days(self, fingerprint):
        policy = ContactPolicy(self._compiled(self.catalog(fingerprint)))
        return policy.days, policy.reaction_days

    def setup(self, catalog, versions):
        if versions["bandit"] in self.lost:
            raise ModelMissing("Bandit is gone.", expected="one", remedy="None.")
        compiled = self._compiled(catalog)
        return DecisionSetup(compiled, models_of(catalog, versions["bandit"]), self.input)


def models_of(catalog, version):
    chance = 0.1 + 0.05 * int(version)
    return FakeModels(dict.fromkeys(catalog.actions, chance), versions={"bandit": version})


EXPECTED = {"call_back": 0.3, "discount": 0.2, "talk_plus": 0.1}
PLUS = CustomerFeatures({"plan": "plus", "age_years": "41"}, None)


def swap(engine: Engine, **changes: object) -> None:
    """Replace the models while the engine runs."""
    engine.setup = engine.setup.with_models(replace(engine.setup.models, **changes))


def rows(ledger: Ledger) -> list[sa.Row]:
    """Read all decisions."""
    return ledger.read(lambda c: c.execute(sa.select(tables.decisions)).all())


def record(ledger: Ledger) -> dict:
    """Read the record of the only decision."""
    [row] = rows(ledger)
    return json.loads(row.record)


def features(ledger: Ledger) -> list[float]:
    """Read the features of the only decision."""
    [row] = rows(ledger)
    return np.frombuffer(row.features).tolist()
