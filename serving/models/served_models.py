"""The served models: champions from MLflow, and the bandit as the learner last published it.

`ServedModels` is immutable. `ModelWatcher` builds a new one when a model changes, and the service
replaces it between two requests. A model that is missing or broken raises no error: it leaves a
sentence in ``degraded``, and the bandit then predicts the priors of the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from training.arrays import Floats, Indices
from training.bandit.bandit_state import BanditState
from training.bandit.contextual_bandit import ContextualBandit
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel
from training.bandit.stacking import Prediction
from training.contributions import Contributions
from training.models.classifier import Classifier
from training.params import BanditParams

PRIOR = "prior"  # base version of a bandit that was never trained


@dataclass(frozen=True)
class ServedModels:
    """The models that the engine decides with; implements `Models`.

    Attributes
    ----------
    bandit : ContextualBandit
        The class that learns in notebooks and benches too, so that the measured policy is the one
        that serves. Its model has the actions of the catalogue.
    versions
        MLflow version of each model, None if there is none. The bandit's version has the number
        of the learner's snapshot after a dot, such as 3.17.
    columns : shape (n_bandit_features,)
        Positions of the bandit's features in a row of model input.
    degraded : tuple of str
        Missing models, in sentences for people.
    catalog : str or None
        Fingerprint of the catalogue whose actions and priors the bandit has; None fits any.
    """

    bandit: ContextualBandit
    columns: Indices
    churn_model: Classifier | None = None
    intent_model: Classifier | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    catalog: str | None = None

    def churn(self, row: Floats) -> float | None:
        """Probability of churn for one row of model input; None without a model."""
        if self.churn_model is None:
            return None
        return self.churn_model.probabilities_of_row(row)[1]

    def intent(self, row: Floats) -> dict[str, float] | None:
        """Probability of each intent for one row of model input; None without a model."""
        if self.intent_model is None:
            return None
        probabilities = self.intent_model.probabilities_of_row(row)
        return dict(zip(self.intent_model.classes, probabilities, strict=True))

    def predict(self, row: Floats, channel: str) -> Prediction:
        """Predicted acceptance of each action of the catalogue, with its standard deviation."""
        return self.bandit.model.predict(row.take(self.columns)[None], (channel,)).of_customer(0)

    def why_churn(self, row: Floats) -> Contributions | None:
        """Effect of each feature on the churn score; None without a model."""
        return self.churn_model.contributions(row) if self.churn_model else None

    def why_intent(self, row: Floats) -> Contributions | None:
        """Effect of each feature on the score of each intent; None without a model."""
        return self.intent_model.contributions(row) if self.intent_model else None

    def why_acceptance(
        self, row: Floats, channel: str, actions: Sequence[str]
    ) -> Contributions | None:
        """Effect of each feature and of the channel on the acceptance of some actions."""
        return self.bandit.model.contributions(row[self.columns], channel, actions)

    def probabilities(self, expected_reward: Floats, deviation: Floats) -> Floats:
        """Probability of choosing each action, see `ThompsonProbabilities`."""
        return self.bandit.choose(expected_reward, deviation)


def blank_reward(domain: Domain, catalog: Catalog, params: BanditParams) -> RewardModel:
    """A reward model without outcomes: it predicts the prior of each action."""
    blank = BanditState(Encoder.blank(), params)
    return blank.model(catalog.priors, catalog.groups_of)


def columns_of(reward: RewardModel, model_input: ModelInput) -> Indices:
    """Positions of a reward model's features in a row of model input."""
    index = {name: number for number, name in enumerate(model_input.names)}
    return np.array([index[name] for name in reward.encoder.features], dtype=np.intp)
