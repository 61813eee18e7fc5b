"""Finds the catalogues and models of past decisions, in the ledger and in MLflow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, TypeVar

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.errors import NotRepeatable, truncated
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.decision_setup import DecisionSetup
from serving.models.archived_models import (
    ArchivedModels,
    FoundModels,
    StandIn,
    effects_numbered,
)
from serving.models.model_arrays import OutdatedModel
from serving.models.served_models import (
    EFFECTS,
    PRIOR,
    ServedModels,
    blank_reward,
    columns_of,
)
from serving.models.snapshots import Snapshot, nearest_number, snapshot_numbered
from serving.policies.contact_policy import ContactPolicy
from training.bandit.artifact import Bandit
from training.bandit.contextual_bandit import ContextualBandit
from training.bandit.reward_model import RewardModel
from training.effects.effect_model import EffectModel
from training.models.classifier import Classifier
from training.params import TrainingParams
from training.pipeline.registry import Registry

T = TypeVar("T")
log = logging.getLogger(__name__)
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
        From `setup`, if a champion of MLflow no longer exists. A snapshot that is no longer kept is
        replaced by the newest one before it; see `stand_in`.
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
        self._blank = lru_cache(CACHED)(self._make_blank)
        self._compiled = lru_cache(CACHED)(self._compile)
        self._days = lru_cache(CACHED)(self._find_days)
        self._actions = lru_cache(CACHED)(self._find_actions)
        self._classifier = lru_cache(CACHED)(self._load_classifier)
        self._bandit = lru_cache(CACHED)(self._load_bandit)
        self._snapshot = lru_cache(CACHED)(self._load_snapshot)
        self._effects = lru_cache(CACHED)(self._find_effects)
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

    def stand_in(self, catalog: Catalog, versions: Mapping[str, str | None]) -> StandIn | None:
        """The model that stands in for the bandit of a decision; None if that one is kept."""
        models = self.setup(catalog, versions).models
        return models.stand_in if isinstance(models, ArchivedModels) else None

    def lacks_effects(self, catalog: Catalog, versions: Mapping[str, str | None]) -> bool:
        """Return whether the effect model of a decision is not kept: its effects count as 0."""
        models = self.setup(catalog, versions).models
        return isinstance(models, ArchivedModels) and models.lacks_effects

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
        named = dict(versions)
        number, _, _ = (named.get("bandit") or PRIOR).partition(".")
        blank = self._blank(catalog, number)
        return blank.with_models(self._models(named, blank))

    def _make_blank(self, catalog: _CatalogKey, number: str) -> DecisionSetup:
        """The setup of a catalogue with the settings of a champion, and with nothing learned."""
        compiled = self._compiled(catalog)
        params = self._params.bandit if number == PRIOR else self._bandit(number).params
        reward = blank_reward(self._domain, compiled.catalog, params)
        bandit = ContextualBandit.published(reward, params)
        models = ServedModels(bandit=bandit, columns=columns_of(reward, self._input))
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

    def _models(self, versions: Mapping[str, str | None], blank: DecisionSetup) -> ArchivedModels:
        """The models of a decision; the settings of its bandit are those of its champion."""
        churn, intent = versions.get("churn"), versions.get("intent")
        number, _, sequence = (versions.get("bandit") or PRIOR).partition(".")
        bandit = None if number == PRIOR else self._bandit(number)
        params = bandit.params if bandit else self._params.bandit
        assert isinstance(blank.models, ServedModels)
        plain = replace(
            blank.models,
            churn_model=self._classifier("churn", churn) if churn else None,
            intent_model=self._classifier("intent", intent) if intent else None,
            versions=versions,
        )

        def read() -> FoundModels:
            catalog = blank.compiled.catalog
            found = self._with_effects(plain, catalog)
            reward, stand_in = self._reward(bandit, int(sequence or 0), catalog)
            if reward is None:
                return FoundModels(found, stand_in)
            served = ContextualBandit.published(reward, params)
            found = replace(found, bandit=served, columns=columns_of(reward, self._input))
            return FoundModels(found, stand_in)

        return ArchivedModels.around(plain, read)

    def _with_effects(self, models: ServedModels, catalog: Catalog) -> ServedModels:
        """Add the effect model of a decision, for a catalogue; none if it is not kept."""
        number = models.versions.get(EFFECTS)
        model = None if number is None else self._effects(int(number))
        if number is None or model is None or not set(model.features) <= set(self._input.names):
            return models
        return models.with_effects(
            model.for_actions(tuple(catalog.actions)), number, self._input.names
        )

    def _find_effects(self, number: int) -> EffectModel | None:
        return self._ledger.read(partial(effects_numbered, number=number))

    def _reward(
        self, bandit: Bandit | None, sequence: int, catalog: Catalog
    ) -> tuple[RewardModel | None, StandIn | None]:
        """The reward model of a champion, or of a snapshot or what stands in for it.

        None: there is neither snapshot nor champion, so the priors of the catalogue are all that
        can be told.
        """
        number = self._ledger.read(partial(nearest_number, sequence=sequence)) if sequence else None
        found = self._snapshot(number) if number is not None else None
        if found is not None:
            exact = found.sequence == sequence
            named = f"snapshot {found.sequence} of the bandit, the newest kept up to {sequence}"
            reward = found.model.for_priors(catalog.priors)
            return reward, None if exact else StandIn(named, explains=True)
        gone = f"as no snapshot up to {sequence} can be read" if sequence else ""
        if bandit is None:
            return None, StandIn(f"the priors of the catalogue, {gone}", False) if gone else None
        with self._solving:
            # A learner would have published the held ones.
            would_serve = any(bandit is held for held in self._held.values())
            reward = bandit.state.model(
                catalog.priors, catalog.groups_of, weights_first=would_serve
            )
        return reward, StandIn(f"the champion of then, {gone}", True) if gone else None

    def _load_classifier(self, name: str, number: str) -> Classifier:
        return self._load(name, number, Classifier.load)

    def _load_bandit(self, number: str) -> Bandit:
        return self._held.get(number) or self._load("bandit", number, Bandit.load)

    def _load(self, name: str, number: str, load: Callable[[Any], T]) -> T:
        return load(self._registry.folder(self._registry.version(name, number)))

    def _load_snapshot(self, sequence: int) -> Snapshot | None:
        """A snapshot; None if it cannot be read."""
        try:
            return self._ledger.read(lambda connection: snapshot_numbered(connection, sequence))
        except OutdatedModel:
            log.warning("Snapshot %d is of a former program", sequence)
            return None


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
