"""Finds the catalogues and models of past decisions, in the ledger and in MLflow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.errors import ModelMissing, NotRepeatable, truncated
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.decision_setup import DecisionSetup
from serving.models.model_arrays import OutdatedModel
from serving.models.served_models import PRIOR, ServedModels, blank_reward, columns_of
from serving.models.snapshots import snapshot_numbered
from serving.policies.contact_policy import ContactPolicy
from training.bandit.artifact import Bandit
from training.bandit.contextual_bandit import ContextualBandit
from training.bandit.reward_model import RewardModel
from training.models.classifier import Classifier
from training.params import BanditParams, TrainingParams
from training.pipeline.registry import Registry

T = TypeVar("T")
CACHED = 64  # setups, catalogues and models of each kind that stay in memory


def keep_catalog(ledger: Ledger, catalog: Catalog, now: Any) -> None:
    """Store a catalogue in the ledger before the first decision with it."""
    row = {
        "fingerprint": catalog.fingerprint,
        "first_used_at": now,
        "content": catalog.model_dump_json(),
    }
    ledger.write_now(lambda connection: tables.insert_new(connection, tables.catalogs, [row]))


class Archive:
    """Finds the setup of a past decision, and caches the latest ones.

    Raises
    ------
    ModelMissing
        From `setup`, if a model or a snapshot no longer exists.
    """

    def __init__(
        self, registry: Registry, ledger: Ledger, domain: Domain, params: TrainingParams
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._domain = domain
        self._params = params
        self._input = ModelInput(domain)
        self._setup = lru_cache(CACHED)(self._make_setup)
        self._compiled = lru_cache(CACHED)(self._compile)
        self._days = lru_cache(CACHED)(self._find_days)
        self._actions = lru_cache(CACHED)(self._find_actions)
        self._classifier = lru_cache(CACHED)(self._load_classifier)
        self._bandit = lru_cache(CACHED)(self._load_bandit)
        self._snapshot = lru_cache(CACHED)(self._load_snapshot)
        self._held: dict[str, Bandit] = {}
        self._solving = threading.Lock()  # a state solves for one catalogue at a time

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model input; rows with another one have other columns."""
        return self._input.fingerprint

    def catalog(self, fingerprint: str) -> Catalog | None:
        """A catalogue of past decisions; None if it is not in the ledger."""
        columns = tables.catalogs.c
        query = sa.select(columns.content).where(columns.fingerprint == fingerprint)
        content = self._ledger.read(lambda connection: connection.execute(query).scalar())
        return None if content is None else Catalog.model_validate_json(content)

    def actions(self, fingerprint: str) -> tuple[str, ...]:
        """Name the actions of a catalogue, in its order; none if it is not in the ledger."""
        return self._actions(fingerprint)

    def looks_back_days(self, fingerprint: str) -> tuple[float, float]:
        """Days that a catalogue's contact policy looks back: at showings, and at their outcomes.

        Both are 0 if the catalogue is not in the ledger.
        """
        return self._days(fingerprint)

    def setup(self, catalog: Catalog, versions: Mapping[str, str | None]) -> DecisionSetup:
        """The setup of decisions with a catalogue and model versions."""
        return self._setup(_CatalogKey(catalog), tuple(sorted(versions.items())))

    def hold(self, name: str, bandit: Bandit) -> None:
        """Keep a bandit that the registry does not have, as a version with this name.

        Parameters
        ----------
        name
            Without a dot, which begins the number of a snapshot.
        """
        self._held[name] = bandit

    def _find_actions(self, fingerprint: str) -> tuple[str, ...]:
        catalog = self.catalog(fingerprint)
        return () if catalog is None else tuple(catalog.actions)

    def _find_days(self, fingerprint: str) -> tuple[float, float]:
        catalog = self.catalog(fingerprint)
        if catalog is None:
            return 0.0, 0.0
        policy = ContactPolicy(self._compiled(_CatalogKey(catalog)))
        return policy.days, policy.reaction_days

    def _make_setup(
        self, catalog: _CatalogKey, versions: tuple[tuple[str, str | None], ...]
    ) -> DecisionSetup:
        compiled = self._compiled(catalog)
        models = self._models(dict(versions), compiled)
        return DecisionSetup(compiled, models, self._input)

    def _compile(self, catalog: _CatalogKey) -> CompiledCatalog:
        try:
            return CompiledCatalog(catalog.content, self._domain, self._input)
        except ValueError as error:  # the domain or the language of wordings has changed since
            raise NotRepeatable(
                f"The catalogue of that time cannot be used any more: {truncated(str(error))}.",
                expected="conditions and wordings that this version can read",
                remedy="Replay with --catalog now.",
            ) from error

    def _models(
        self, versions: Mapping[str, str | None], compiled: CompiledCatalog
    ) -> ServedModels:
        churn, intent = versions.get("churn"), versions.get("intent")
        reward, params = self._reward(versions.get("bandit"), compiled)
        return ServedModels(
            bandit=ContextualBandit.published(reward, params),
            columns=columns_of(reward, self._input),
            churn_model=self._classifier("churn", churn) if churn else None,
            intent_model=self._classifier("intent", intent) if intent else None,
            versions=versions,
        )

    def _reward(
        self, version: str | None, compiled: CompiledCatalog
    ) -> tuple[RewardModel, BanditParams]:
        """The reward model of a version (3, 3.17, prior.17 or None), and its settings."""
        catalog = compiled.catalog
        priors = catalog.priors
        number, _, sequence = (version or PRIOR).partition(".")
        bandit = None if number == PRIOR else self._bandit(number)
        params = bandit.params if bandit else self._params.bandit
        if sequence:
            return self._snapshot(int(sequence)).for_priors(priors), params
        if bandit is None:
            return blank_reward(self._domain, catalog, params), params
        with self._solving:
            return bandit.state.model(priors, catalog.groups_of), params

    def _load_classifier(self, name: str, number: str) -> Classifier:
        return self._load(name, number, Classifier.load)

    def _load_bandit(self, number: str) -> Bandit:
        return self._held.get(number) or self._load("bandit", number, Bandit.load)

    def _load(self, name: str, number: str, load: Callable[[Any], T]) -> T:
        return load(self._registry.folder(self._registry.version(name, number)))

    def _load_snapshot(self, sequence: int) -> RewardModel:
        try:
            found = self._ledger.read(lambda connection: snapshot_numbered(connection, sequence))
        except OutdatedModel as error:
            raise ModelMissing(
                f"Snapshot {sequence} of the bandit was written by a former version of nba.",
                expected="a snapshot that this version has written",
                remedy="It cannot be read any more; the answer and the record stand as logged.",
            ) from error
        if found is None:
            raise ModelMissing(
                f"Snapshot {sequence} of the bandit is no longer kept.",
                expected="a snapshot of the ledger",
                remedy="Only the newest are kept; the answer and the record stand as logged.",
            )
        return found.model


class _CatalogKey:
    """A catalogue as a cache key: equal if the fingerprints are equal."""

    def __init__(self, content: Catalog) -> None:
        self.content = content

    def __hash__(self) -> int:
        return hash(self.content.fingerprint)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _CatalogKey) and self.content.fingerprint == other.content.fingerprint
        )
