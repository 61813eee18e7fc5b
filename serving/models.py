"""The models that serve: champions from MLflow, the bandit as the learner last published it.

`ServedModels` is immutable; `ModelWatcher` builds a new one when something changed and the
service swaps it in between two requests. Whatever is missing or broken leaves a sentence in
``degraded`` and a sensible answer from the catalogue's priors, never an error.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalog import Catalog
from features.domain import Domain
from features.errors import NbaError
from features.ledger import Ledger
from features.model_input import ModelInput
from serving.arbitration import Believed
from serving.snapshots import newest
from training.bandit_version import Bandit
from training.classifier import Classifier
from training.contributions import Contributions
from training.encoder import Encoder, Floats
from training.exploration import ProbabilityMatching
from training.knowledge import Knowledge
from training.params import BanditParams, TrainingParams
from training.registry import Registry
from training.reward_model import RewardModel

log = logging.getLogger(__name__)
PRIOR = "prior"  # base version of a bandit that was never trained


class Misfit(Exception):
    """A model reads features that this business does not have."""


@dataclass(frozen=True)
class ServedModels:
    """What the engine decides with; see `serving.desk.Models`.

    Attributes
    ----------
    versions
        MLflow version of each model, null if there is none; the bandit's carries the number of
        the learner's snapshot behind a dot.
    degraded : tuple of str
        What is missing, in sentences for people.
    catalog : str or None
        Fingerprint of the catalogue whose actions and priors they speak of; None: of any.
    """

    reward: RewardModel
    policy: ProbabilityMatching
    columns: NDArray[np.intp]
    churn_model: Classifier | None = None
    intent_model: Classifier | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    catalog: str | None = None

    def churn(self, row: Floats) -> float | None:
        """Chance of churn for one row of model input."""
        if self.churn_model is None:
            return None
        return float(self.churn_model.probabilities(row[None, :])[0, 1])

    def intent(self, row: Floats) -> dict[str, float] | None:
        """Chance of each intent for one row of model input."""
        if self.intent_model is None:
            return None
        chances = self.intent_model.probabilities(row[None, :])[0].tolist()
        return dict(zip(self.intent_model.classes, chances, strict=True))

    def believe(self, row: Floats, channel: str) -> Believed:
        """Chance that each action of the catalogue is accepted, and how sure that is."""
        found = self.reward.expect(row[None, self.columns], (channel,))
        return Believed(found.mean[0], found.deviation[0], found.experts[:, 0])

    def why_churn(self, row: Floats) -> Contributions | None:
        """What each feature adds to churn; None where there is no model."""
        return self.churn_model.contributions(row) if self.churn_model else None

    def why_intent(self, row: Floats) -> Contributions | None:
        """What each feature adds to each intent; None where there is no model."""
        return self.intent_model.contributions(row) if self.intent_model else None

    def why_acceptance(
        self, row: Floats, channel: str, actions: Sequence[str]
    ) -> Contributions | None:
        """What each feature and the channel add to the acceptance of some actions."""
        return self.reward.contributions(row[self.columns], channel, actions)

    def probabilities(self, expected_reward: Floats, deviation: Floats) -> Floats:
        """Chance of choosing each action, see `ProbabilityMatching`."""
        return self.policy.probabilities(expected_reward, deviation)


class ModelWatcher:
    """Keeps a `ServedModels` up to date.

    Parameters
    ----------
    registry, ledger
        Where champions and snapshots come from.
    domain, catalog, params
        What to decide with while there are none.
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
        self._wanted = tuple(name for name in ("churn", "intent") if getattr(domain, name))
        self.current = self._bare(degraded=())
        # Both looks run in threads of their own; the slower must not undo the faster.
        self._looking = threading.Lock()

    def refresh(self) -> bool:
        """Look at MLflow and the ledger; say whether ``current`` changed."""
        with self._looking:
            return self._swap(self._with_snapshot(self._champions()))

    def refresh_snapshot(self) -> bool:
        """Look at the ledger only, which is cheap; say whether ``current`` changed."""
        with self._looking:
            return self._swap(self._with_snapshot(self.current))

    def follow(self, catalog: Catalog) -> None:
        """Serve the actions of another catalogue; ``current`` speaks of them at once.

        Made from champion or snapshot, as replay will: what ``current`` holds was made for the
        catalogue before.
        """
        with self._looking:
            self._catalog = catalog
            self._swap(self._with_snapshot(self._assembled(self.current.degraded)))

    def _champions(self) -> ServedModels:
        problems: list[str] = []
        for name in self._wanted:
            self._look_up(name, self._classifier, problems)
        self._look_up("bandit", self._bandit, problems)
        return self._assembled(tuple(dict.fromkeys(problems)))

    def _assembled(self, degraded: tuple[str, ...]) -> ServedModels:
        """What was loaded, for the catalogue of now."""
        found: dict[str, Any] = {name: model for name, (_, model) in self._loaded.items()}
        new = replace(
            self._bare(degraded),
            churn_model=found.get("churn"),
            intent_model=found.get("intent"),
            versions={name: self._version(name) for name in (*self._wanted, "bandit")},
        )
        return self._with_bandit(new, found["bandit"]) if "bandit" in found else new

    def _swap(self, new: ServedModels) -> bool:
        changed = (new.versions, new.degraded) != (self.current.versions, self.current.degraded)
        self.current = new
        return changed

    def _bare(self, degraded: tuple[str, ...]) -> ServedModels:
        return ServedModels(
            reward=blank_reward(self._domain, self._catalog, self._params.bandit),
            policy=ProbabilityMatching(self._params.bandit.least),
            columns=np.empty(0, dtype=np.intp),
            versions=dict.fromkeys((*self._wanted, "bandit")),
            degraded=degraded,
            catalog=self._catalog.fingerprint,
        )

    def _look_up(self, name: str, load: Callable[..., object], problems: list[str]) -> None:
        """Load the champion, once for each version; the last good one stays if MLflow is down."""
        try:
            version = self._registry.champion(name)
            if version is None:
                problems.append(f"{name}: no champion in MLflow; run 'nba train --promote'")
                self._loaded.pop(name, None)
                return None
            if self._loaded.get(name, ("",))[0] != version.base:
                self._loaded[name] = (version.base, load(self._registry.folder(version)))
        except (Misfit, NbaError) as error:
            problems.append(f"{name}: {error}")
        except Exception as error:  # a broken artifact must not stop the server
            log.exception("Model %s could not be read", name)
            problems.append(f"{name}: the champion could not be read ({type(error).__name__})")

    def _classifier(self, folder: Path) -> Classifier:
        model = Classifier.load(folder)
        if model.features != self._input.names:
            raise Misfit("was trained for another domain file; run 'nba train --promote'")
        return model

    def _bandit(self, folder: Path) -> Bandit:
        bandit = Bandit.load(folder)
        if not set(bandit.knowledge.encoder.features) <= set(self._input.names):
            raise Misfit("was trained for another domain file; run 'nba train --promote'")
        return bandit

    def _version(self, name: str) -> str | None:
        return self._loaded[name][0].split("@")[0] if name in self._loaded else None

    def _with_bandit(self, models: ServedModels, bandit: Bandit) -> ServedModels:
        models = replace(models, policy=ProbabilityMatching(bandit.params.least))
        catalog = self._catalog
        reward = bandit.knowledge.model(catalog.priors, catalog.groups_of, bandit.params)
        return self._with_reward(models, reward, self._version("bandit"))

    def _with_snapshot(self, models: ServedModels) -> ServedModels:
        """Prefer what the learner published for this champion; without one, its newest."""
        base = self._loaded["bandit"][0] if "bandit" in self._loaded else None
        after = _sequence(models.versions.get("bandit"))
        found = self._ledger.read(lambda connection: newest(connection, base, after))
        if found is None:
            return models
        reward = found.model.for_priors(self._priors())
        number = found.base.split("@")[0]
        return self._with_reward(models, reward, f"{number}.{found.sequence}")

    def _with_reward(
        self, models: ServedModels, reward: RewardModel, version: str | None
    ) -> ServedModels:
        if not set(reward.encoder.features) <= set(self._input.names):
            problem = "bandit: was trained for another domain file; run 'nba train --promote'"
            return replace(models, degraded=tuple(dict.fromkeys([*models.degraded, problem])))
        columns = columns_of(reward, self._input)
        versions = {**models.versions, "bandit": version}
        return replace(models, reward=reward, columns=columns, versions=versions)

    def _priors(self) -> dict[str, float]:
        return {name: acceptance for name, (acceptance, _) in self._catalog.priors.items()}


def blank_reward(domain: Domain, catalog: Catalog, params: BanditParams) -> RewardModel:
    """A reward model that has learned nothing: each action does as its prior says."""
    blank = Knowledge.blank(Encoder.blank(domain.channels), params)
    return blank.model(catalog.priors, catalog.groups_of, params)


def columns_of(reward: RewardModel, model_input: ModelInput) -> NDArray[np.intp]:
    """Where in a row of model input the features of a reward model stand."""
    index = {name: number for number, name in enumerate(model_input.names)}
    return np.array([index[name] for name in reward.encoder.features], dtype=np.intp)


def _sequence(version: str | None) -> int:
    """The snapshot's number in a bandit version such as 3.17; 0 if it has none."""
    return int(version.split(".")[1]) if version and "." in version else 0
