"""The served models: champions from MLflow, and the bandit as the learner last published it.

`ServedModels` is immutable. `ModelWatcher` builds a new one when a model changes, and the service
replaces it between two requests. A model that is missing or broken raises no error: it leaves a
sentence in ``degraded``, and the bandit then predicts the priors of the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.outcomes.examination import looks_on
from serving.effects.surrogate_view import distrust_sentence
from training.arrays import Floats, Indices
from training.bandit.bandit_state import BanditState
from training.bandit.contextual_bandit import ContextualBandit
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel
from training.bandit.stacking import Prediction
from training.contributions import Contributions
from training.effects.effect_prediction import EffectPrediction, PredictsEffects
from training.models.classifier import Classifier
from training.params import BanditParams

EFFECTS = "effects"  # the name of the effect model among the versions
PRIOR = "prior"  # base version of a bandit that was never trained
NO_PAST = "no_past: no event of the customer is known; the base rate of training is told as {}"
NO_BASE_RATES = (
    "{}: the model has no base rate for a customer without a past; run 'nba train --promote'"
)


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
    effects : PredictsEffects or None
        Predicts what each action of the catalogue adds to purchases and to leaving; None: not yet.
    effect_columns : shape (n_effect_features,)
        Positions of its features in a row of model input.
    """

    bandit: ContextualBandit
    columns: Indices
    churn_model: Classifier | None = None
    intent_model: Classifier | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    catalog: str | None = None
    effects: PredictsEffects | None = None
    effect_columns: Indices = field(default_factory=lambda: np.empty(0, dtype=np.intp))

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

    @property
    def counted(self) -> Floats:
        """The outcomes from which the acceptance of each action was learned, shape (n_actions,)."""
        return self.bandit.model.counted

    @property
    def effects_counted(self) -> float:
        """The decisions from which the effects were learned; 0 without an effect model."""
        return 0.0 if self.effects is None else self.effects.counted

    def predict(self, row: Floats, channel: str) -> Prediction:
        """Predicted acceptance of each action of the catalogue, with its standard deviation."""
        return self.bandit.model.predict(row.take(self.columns)[None], (channel,)).of_customer(0)

    def predict_each(self, rows: Floats, channels: Sequence[str]) -> list[Prediction]:
        """Predict for many rows of model input, for each to the bit as `predict` does."""
        return self.bandit.model.predict_each(rows.take(self.columns, axis=1), channels)

    def predict_effects(self, row: Floats, channel: str) -> EffectPrediction | None:
        """Effects of each action for one row of model input; None without an effect model."""
        if self.effects is None:
            return None
        return self.effects.predict_each(row.take(self.effect_columns)[None], (channel,))[0]

    def predict_effects_each(
        self, rows: Floats, channels: Sequence[str]
    ) -> list[EffectPrediction] | None:
        """Predict for many rows of model input, for each to the bit as `predict_effects` does."""
        if self.effects is None:
            return None
        return self.effects.predict_each(rows.take(self.effect_columns, axis=1), channels)

    def with_effects(
        self, model: PredictsEffects, version: str, names: Sequence[str]
    ) -> ServedModels:
        """Return a copy with an effect model of the actions of the catalogue.

        Parameters
        ----------
        version
            The number of the effect model, which each decision logs.
        names
            The features of a row of model input.
        """
        index = {name: number for number, name in enumerate(names)}
        columns = np.array([index[name] for name in model.features], dtype=np.intp)
        versions = {**self.versions, EFFECTS: version}
        wrong = map(distrust_sentence, model.distrusted)
        found = replace(self.without_effects(), effects=model, effect_columns=columns)
        return replace(found, versions=versions, degraded=(*found.degraded, *wrong))

    def without_effects(self) -> ServedModels:
        """Return a copy without an effect model."""
        said = tuple(one for one in self.degraded if not one.startswith(f"{EFFECTS}: "))
        return replace(self, effects=None, versions={**self.versions, EFFECTS: None}, degraded=said)

    def looks(self, channel: str) -> Sequence[float]:
        """The probability that a customer looks at each rank; a rank that is not known has 1."""
        return looks_on(self.bandit.model.looks, channel)

    def why_churn(self, row: Floats) -> Contributions | None:
        """Effect of each feature on the churn score; None without a model or for a base rate."""
        return _contributions(self.churn_model, row)

    def why_intent(self, row: Floats) -> Contributions | None:
        """Effect of each feature on the score of each intent; None like `why_churn`."""
        return _contributions(self.intent_model, row)

    def without_past(self, row: Floats, known: bool) -> list[str]:
        """Say in sentences for people which predictions of a row are base rates.

        Parameters
        ----------
        row : shape (n_features,)
        known : bool
            Whether the customer has a past. Only for one without it is a model named that has no
            base rates, because a former program trained it.
        """
        models = {"churn": self.churn_model, "intent": self.intent_model}
        loaded = {name: model for name, model in models.items() if model is not None}
        based = [name for name, model in loaded.items() if model.predicts_base_rates(row)]
        said = [NO_PAST.format(" and ".join(based))] if based else []
        if known:
            return said
        lacking = [name for name, model in loaded.items() if model.base_rates is None]
        return [*said, *(NO_BASE_RATES.format(name) for name in lacking)]

    def why_acceptance(
        self, row: Floats, channel: str, actions: Sequence[str]
    ) -> Contributions | None:
        """Effect of each feature and of the channel on the acceptance of some actions."""
        return self.bandit.model.contributions(row[self.columns], channel, actions)

    def probabilities(self, expected_reward: Floats, deviation: Floats) -> Floats:
        """Probability of choosing each action, see `ThompsonProbabilities`."""
        return self.bandit.choose(expected_reward, deviation)


def _contributions(model: Classifier | None, row: Floats) -> Contributions | None:
    if model is None or model.predicts_base_rates(row):
        return None
    return model.contributions(row)


def blank_reward(domain: Domain, catalog: Catalog, params: BanditParams) -> RewardModel:
    """A reward model without outcomes: it predicts the prior of each action."""
    blank = BanditState(Encoder.blank(), params)
    return blank.model(catalog.priors, catalog.groups_of)


def columns_of(reward: RewardModel, model_input: ModelInput) -> Indices:
    """Positions of a reward model's features in a row of model input."""
    index = {name: number for number, name in enumerate(model_input.names)}
    return np.array([index[name] for name in reward.encoder.features], dtype=np.intp)
