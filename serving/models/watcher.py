"""The watcher replaces the served models when another version is promoted or published."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.errors import NbaError
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from serving.effects.published import PublishedEffects, newest_effects
from serving.models.model_arrays import OutdatedModel
from serving.models.served_models import EFFECTS, ServedModels, blank_reward, columns_of
from serving.models.snapshots import Snapshot, newest_snapshot
from training.bandit.artifact import Bandit
from training.bandit.contextual_bandit import ContextualBandit
from training.bandit.reward_model import RewardModel
from training.models.classifier import Classifier
from training.params import BanditParams, TrainingParams
from training.pipeline.registry import Registry

log = logging.getLogger(__name__)


class IncompatibleModel(Exception):
    """A model reads features that the domain file does not describe."""


class ModelWatcher:
    """Keeps ``current``, the `ServedModels`, up to date.

    Parameters
    ----------
    registry, ledger
        Sources of champions and snapshots.
    domain, catalog, params
        The priors and settings that serve while there is no champion and no snapshot.
    """

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        domain: Domain,
        catalog: Catalog,
        params: TrainingParams,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._domain = domain
        self._catalog = catalog
        self._params = params
        self._input = ModelInput(domain)
        self._loaded: dict[str, tuple[str, object]] = {}  # by name: version, model
        self._bandit_folder: Path | None = None
        self._classifiers = tuple(name for name in ("churn", "intent") if getattr(domain, name))
        self._held: Snapshot | None = None  # the snapshot that was read last
        self._effects: PublishedEffects | None = None  # that was read last
        self._outdated = False  # it was told in the log that a snapshot is outdated
        self.current = self._untrained(degraded=())
        # Both refreshes run in threads of their own; the slower must not undo the faster.
        self._refreshing = threading.Lock()

    @property
    def champion_files(self) -> tuple[str, Path] | None:
        """The version of the bandit that serves, and the folder of its files; None without one."""
        if self._bandit_folder is None or "bandit" not in self._loaded:
            return None
        return self._loaded["bandit"][0], self._bandit_folder

    def refresh(self) -> bool:
        """Read MLflow and the ledger; return whether ``current`` changed."""
        with self._refreshing:
            return self._swap(self._with_published(self._champions()))

    def refresh_snapshot(self) -> bool:
        """Read only the ledger, which is fast; return whether ``current`` changed."""
        with self._refreshing:
            return self._swap(self._with_published(self.current))

    def follow(self, catalog: Catalog) -> None:
        """Serve the actions of another catalogue; ``current`` has them when this returns.

        The models are built again from champion and snapshot, as replay will build them.
        """
        with self._refreshing:
            self._catalog = catalog
            # What is said of effects is said again, if the other catalogue counts them.
            said = self.current.without_effects().degraded
            self._swap(self._with_published(self._assembled(said)))

    def _champions(self) -> ServedModels:
        problems: list[str] = []
        for name in self._classifiers:
            self._load_champion(name, self._load_classifier, problems)
        self._load_champion("bandit", self._load_bandit, problems)
        return self._assembled(tuple(dict.fromkeys(problems)))

    def _assembled(self, degraded: tuple[str, ...]) -> ServedModels:
        """The loaded champions, for the current catalogue."""
        loaded: dict[str, Any] = {name: model for name, (_, model) in self._loaded.items()}
        new = replace(
            self._untrained(degraded),
            churn_model=loaded.get("churn"),
            intent_model=loaded.get("intent"),
            versions={name: self._version(name) for name in (*self._classifiers, "bandit")},
        )
        return self._with_bandit(new, loaded["bandit"]) if "bandit" in loaded else new

    def _swap(self, new: ServedModels) -> bool:
        changed = (new.versions, new.degraded) != (self.current.versions, self.current.degraded)
        self.current = new
        return changed

    def _untrained(self, degraded: tuple[str, ...]) -> ServedModels:
        params = self._params.bandit
        reward = blank_reward(self._domain, self._catalog, params)
        return ServedModels(
            bandit=ContextualBandit.published(reward, params),
            columns=columns_of(reward, self._input),
            versions=dict.fromkeys((*self._classifiers, "bandit")),
            degraded=degraded,
            catalog=self._catalog.fingerprint,
        )

    def _load_champion(self, name: str, load: Callable[..., object], problems: list[str]) -> None:
        """Load the champion if its version is new; keep the loaded one if MLflow cannot be read."""
        try:
            version = self._registry.champion(name)
            if version is None:
                problems.append(f"{name}: no champion in MLflow; run 'nba train --promote'")
                self._loaded.pop(name, None)
                return None
            if self._loaded.get(name, ("",))[0] != version.base:
                self._loaded[name] = (version.base, load(self._registry.folder(version)))
        except (IncompatibleModel, NbaError) as error:
            problems.append(f"{name}: {error}")
        except Exception as error:  # a broken artifact must not stop the server
            log.exception("Model %s could not be read", name)
            problems.append(f"{name}: the champion could not be read ({type(error).__name__})")

    def _load_classifier(self, folder: Path) -> Classifier:
        model = Classifier.load(folder)
        if model.features != self._input.names:
            raise IncompatibleModel(
                "was trained for another domain file; run 'nba train --promote'"
            )
        return model

    def _load_bandit(self, folder: Path) -> Bandit:
        bandit = Bandit.load(folder)
        if not set(bandit.state.encoder.features) <= set(self._input.names):
            raise IncompatibleModel(
                "was trained for another domain file; run 'nba train --promote'"
            )
        self._bandit_folder = folder
        return bandit

    def _version(self, name: str) -> str | None:
        return self._loaded[name][0].split("@")[0] if name in self._loaded else None

    def _with_bandit(self, models: ServedModels, bandit: Bandit) -> ServedModels:
        reward = bandit.state.model(self._catalog.priors, self._catalog.groups_of)
        return self._with_reward(models, reward, bandit.params, self._version("bandit"))

    def _with_published(self, models: ServedModels) -> ServedModels:
        return self._with_effects(self._with_snapshot(models))

    def _with_effects(self, models: ServedModels) -> ServedModels:
        """Use the newest effect model, where the objective is the added value."""
        if not self._catalog.pays_effects:
            return models
        held = self._effects
        number = 0 if held is None else held.number
        found = self._ledger.read(lambda c: newest_effects(c, number))
        self._effects = newest = found or held
        if newest is None or not set(newest.model.features) <= set(self._input.names):
            # Of another domain file: the learner fits others when enough was looked at again.
            return models.without_effects()
        if models.versions.get(EFFECTS) == str(newest.number):
            return models
        model = newest.model.for_actions(tuple(self._catalog.priors))
        return models.with_effects(model, str(newest.number), self._input.names)

    def _with_snapshot(self, models: ServedModels) -> ServedModels:
        """Use the newest snapshot of this champion; without a champion, the newest of all."""
        base = self._loaded["bandit"][0] if "bandit" in self._loaded else None
        after = _sequence(models.versions.get("bandit"))
        found = self._newest(base, after)
        if found is None:
            return models
        reward = found.model.for_priors(self._catalog.priors)
        number = found.base.split("@")[0]
        # A snapshot has no settings: it is served with those of its champion.
        return self._with_reward(models, reward, models.bandit.params, f"{number}.{found.sequence}")

    def _newest(self, base: str | None, after: int) -> Snapshot | None:
        """The newest snapshot; one that a former program has written counts as none.

        The learner publishes another one as soon as it has counted its outcomes again.
        """
        try:
            held = self._held
            found = self._ledger.read(lambda c: newest_snapshot(c, base, after, held))
            self._held = found or held
            return found
        except OutdatedModel:
            if not self._outdated:
                log.warning("The newest snapshot was written by a former program; not served")
            self._outdated = True
            return None

    def _with_reward(
        self, models: ServedModels, reward: RewardModel, params: BanditParams, version: str | None
    ) -> ServedModels:
        if not set(reward.encoder.features) <= set(self._input.names):
            problem = "bandit: was trained for another domain file; run 'nba train --promote'"
            return replace(models, degraded=tuple(dict.fromkeys([*models.degraded, problem])))
        return replace(
            models,
            bandit=ContextualBandit.published(reward, params),
            columns=columns_of(reward, self._input),
            versions={**models.versions, "bandit": version},
        )


def _sequence(version: str | None) -> int:
    """The snapshot's number in a bandit version such as 3.17; 0 if it has none."""
    return int(version.split(".")[1]) if version and "." in version else 0
