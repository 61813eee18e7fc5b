"""Models of the past whose numbers are read only when they are asked for, and once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from serving.models.archived_models import (
    ArchivedModels,
    FoundModels,
    StandIn,
    effects_numbered,
)
from serving.models.served_models import ServedModels, columns_of
from tests.serving.fake_registry import (
    PRIORS,
    a_bandit,
    an_effect_model,
    publish_effect_model,
)
from training.bandit.contextual_bandit import ContextualBandit


def models_of(model_input, accepted):
    found = a_bandit(accepted=accepted)
    reward = found.state.model({name: (p, 10.0) for name, p in PRIORS.items()})
    served = ContextualBandit.published(reward, found.params)
    return ServedModels(served, columns_of(reward, model_input), versions={"bandit": "7.3"})


@pytest.mark.parametrize("stand_in", [None, StandIn("another", True), StandIn("priors", False)])
def test_the_numbers_are_read_when_first_asked_for(toy_domain, stand_in):
    model_input, reads = ModelInput(toy_domain), []

    def read():
        reads.append(1)
        return FoundModels(models_of(model_input, 1.0), stand_in)

    plain = models_of(model_input, 0.0)
    models = ArchivedModels.around(plain, read)
    row = np.zeros(len(model_input.names))
    assert models.versions == {"bandit": "7.3"} and models.churn(row) is None
    chances = models.probabilities(np.array([1.0, 2.0]), np.ones(2))
    assert chances.tolist() == plain.probabilities(np.array([1.0, 2.0]), np.ones(2)).tolist()
    assert reads == []
    known = models.predict(row, "app").acceptance
    assert known.tolist() == models_of(model_input, 1.0).predict(row, "app").acceptance.tolist()
    other = models_of(model_input, 0.5)
    later = replace(models_of(model_input, 1.0), bandit=other.bandit)
    assert ArchivedModels.around(plain, lambda: FoundModels(later, None)).counted is later.counted
    told = models.why_acceptance(row, "app", ["discount"])
    assert (told is None) == (stand_in is not None and not stand_in.explains)
    assert models.stand_in == stand_in and reads == [1]


def test_effects_are_those_of_the_model_that_was_read_and_a_lost_one_is_named(toy_domain):
    model_input = ModelInput(toy_domain)
    plain = replace(models_of(model_input, 0.0), versions={"bandit": "7.3", "effects": "4"})
    model = replace(an_effect_model(tuple(PRIORS)), note={"looked": 700.0})
    found = plain.with_effects(model, "4", model_input.names)
    models = ArchivedModels.around(plain, lambda: FoundModels(found, None))
    row = np.zeros(len(model_input.names))
    expected = found.predict_effects(row, "app")
    assert models.predict_effects(row, "app").purchases.tolist() == expected.purchases.tolist()
    assert not models.lacks_effects
    assert (models.effects_counted, plain.effects_counted) == (700.0, 0.0)
    lost = ArchivedModels.around(plain, lambda: FoundModels(plain, None))
    assert lost.predict_effects(row, "app") is None and lost.lacks_effects


def test_an_effect_model_is_read_by_its_number(ledger, now):
    publish_effect_model(ledger, now, 4)
    found = ledger.read(lambda c: [effects_numbered(c, number) for number in (4, 5)])
    assert found[0].actions == an_effect_model().actions and found[1] is None
