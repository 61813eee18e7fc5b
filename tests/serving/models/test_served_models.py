"""The served models answer for one row, and without a model from the catalogue's priors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from serving.models.served_models import (
    NO_BASE_RATES,
    NO_PAST,
    ServedModels,
    blank_reward,
    columns_of,
)
from tests.serving.fake_registry import LEARNED, PARAMS, PRIORS, a_bandit, a_classifier, accepted
from training.bandit.contextual_bandit import ContextualBandit
from training.effects.effect_prediction import EffectPrediction


@pytest.fixture
def untrained(toy_domain, toy_catalog) -> ServedModels:
    reward = blank_reward(toy_domain, toy_catalog, PARAMS.bandit)
    columns = columns_of(reward, ModelInput(toy_domain))
    return ServedModels(ContextualBandit.published(reward, PARAMS.bandit), columns)


def test_without_models_nothing_is_predicted_but_the_priors(untrained, row):
    assert untrained.churn(row) is untrained.intent(row) is None
    assert untrained.why_churn(row) is untrained.why_intent(row) is None
    assert accepted(untrained, row, "phone") == pytest.approx(PRIORS)


def test_a_classifier_answers_with_one_probability_for_each_class(untrained, churn, row):
    both = replace(untrained, churn_model=churn, intent_model=churn)
    assert both.churn(row) == churn.probabilities(row[None, :])[0, 1]
    assert list(both.intent(row)) == ["stay", "churn"]
    assert both.intent(row)["churn"] == both.churn(row)


def test_the_effects_of_the_features_add_up_to_the_score(untrained, toy_domain, churn, row):
    found = replace(untrained, churn_model=churn).why_churn(row)
    assert found.features == ModelInput(toy_domain).names
    three = a_classifier(ModelInput(toy_domain).names, ("a", "b", "c"))
    assert replace(untrained, intent_model=three).why_intent(row) is not None


def test_predictions_that_are_base_rates_are_named_and_not_explained(untrained, toy_domain, row):
    names, stranger = ModelInput(toy_domain).names, ModelInput(toy_domain).stranger
    based = a_classifier(names, ("stay", "churn"), stranger)
    both = replace(untrained, churn_model=based, intent_model=based)
    assert both.churn(stranger) == both.intent(stranger)["churn"] == 0.5
    assert both.why_churn(stranger) is both.why_intent(stranger) is None
    assert both.without_past(stranger, known=False) == [NO_PAST.format("churn and intent")]
    seen = np.where(np.arange(len(row)) == names.index("events_n"), 1.0, stranger)
    assert both.without_past(seen, known=True) == []
    assert both.why_churn(seen) is not None


def test_a_model_of_a_former_program_is_named_only_for_customers_without_a_past(
    untrained, churn, row
):
    old = replace(untrained, churn_model=churn)
    assert old.without_past(row, known=False) == [NO_BASE_RATES.format("churn")]
    assert old.without_past(row, known=True) == untrained.without_past(row, known=False) == []


def test_a_reward_model_reads_its_own_columns_of_the_row(untrained, toy_domain, toy_catalog, row):
    learned = a_bandit()
    reward = learned.state.model(toy_catalog.priors)
    columns = columns_of(reward, ModelInput(toy_domain))
    names = ModelInput(toy_domain).names
    assert [names[column] for column in columns] == ["age_years"]
    bandit = ContextualBandit.published(reward, learned.params)
    models = replace(untrained, bandit=bandit, columns=columns)
    assert accepted(models, row)["discount"] == pytest.approx(LEARNED)
    others = np.where(np.arange(len(row)) == columns[0], row, 1e6)
    assert accepted(models, others) == accepted(models, row)
    assert models.why_acceptance(row, "app", ["discount"]) is not None


def test_probabilities_are_those_that_a_notebook_computes_from_the_same_model(untrained, row):
    prediction = untrained.predict(row, channel="")  # a notebook has no channels
    served = untrained.probabilities(prediction.acceptance, prediction.deviation)
    assert served.tolist() == untrained.bandit.predict(row[None, untrained.columns])[0].tolist()


class AgeEffects:
    """Adds a hundredth of the age to the purchases by each action, and nothing to leaving."""

    actions, features = ("discount", "calendar"), ("age_years",)

    def __init__(self, *distrusted: str) -> None:
        self.distrusted = distrusted

    def predict_each(self, rows, channels):
        nothing = np.zeros(2)
        return [EffectPrediction(0.01 * row[[0, 0]], nothing, nothing, nothing) for row in rows]


def test_a_family_whose_surrogate_is_wrong_is_named_until_it_is_right(untrained, toy_domain):
    names, before = ModelInput(toy_domain).names, untrained.degraded
    models = untrained.with_effects(AgeEffects("offers", "calls"), "7", names)
    assert models.degraded[: len(before)] == before
    assert [("offers" in one, "calls" in one) for one in models.degraded[len(before) :]] == [
        (True, False),
        (False, True),
    ]
    assert len(models.with_effects(AgeEffects("calls"), "8", names).degraded) == len(before) + 1
    assert models.with_effects(AgeEffects(), "8", names).degraded == before
    without = models.without_effects()
    assert (without.degraded, without.effects, without.versions["effects"]) == (before, None, None)


def test_an_effect_model_reads_its_own_columns_of_the_row(untrained, toy_domain, row):
    assert untrained.predict_effects(row, "app") is None
    assert untrained.predict_effects_each(row[None], ["app"]) is None
    names = ModelInput(toy_domain).names
    models = untrained.with_effects(AgeEffects(), "7", names)
    assert models.versions["effects"] == "7"
    aged = np.where(np.array(names) == "age_years", 50.0, 1e6)
    assert models.predict_effects(aged, "app").purchases.tolist() == [0.5, 0.5]
    assert models.predict_effects_each(aged[None], ["app"])[0].purchases.tolist() == [0.5, 0.5]
