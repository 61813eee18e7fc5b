"""The models that serve: champions from MLflow, the bandit as the learner last published it.

`ServedModels` is immutable; `ModelWatcher` builds a new one when something changed and the
service swaps it in between two requests. Whatever is missing or broken leaves a sentence in
``degraded`` and a sensible answer from the catalogue's priors, never an error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from training.arrays import Floats, Indices
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder
from training.bandit.exploration import ThompsonProbabilities
from training.bandit.reward_model import Prediction, RewardModel
from training.contributions import Contributions
from training.models.classifier import Classifier
from training.params import BanditParams

log = logging.getLogger(__name__)
PRIOR = "prior"  # base version of a bandit that was never trained


@dataclass(frozen=True)
class ServedModels:
    """What the engine decides with; see `decision_setup.Models`.

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
    policy: ThompsonProbabilities
    columns: Indices
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

    def predict(self, row: Floats, channel: str) -> Prediction:
        """Chance that each action of the catalogue is accepted, and how sure that is."""
        return self.reward.predict(row[None, self.columns], (channel,)).of_customer(0)

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
        """Chance of choosing each action, see `ThompsonProbabilities`."""
        return self.policy.probabilities(expected_reward, deviation)


def blank_reward(domain: Domain, catalog: Catalog, params: BanditParams) -> RewardModel:
    """A reward model that has learned nothing: each action does as its prior says."""
    blank = BanditState.blank(Encoder.blank(domain.channels), params)
    return blank.model(catalog.priors, catalog.groups_of, params)


def columns_of(reward: RewardModel, model_input: ModelInput) -> Indices:
    """Where in a row of model input the features of a reward model stand."""
    index = {name: number for number, name in enumerate(model_input.names)}
    return np.array([index[name] for name in reward.encoder.features], dtype=np.intp)
