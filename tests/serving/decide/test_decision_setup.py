"""The setup of a decision: replaced as one object, with the customer's clock and problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.business.experiment.objective import Objective
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.decision_setup import DecisionSetup
from tests.serving.fakes import EXPECTED, FakeModels, changed


@pytest.fixture
def setup(toy_domain, toy_catalog):
    model_input = ModelInput(toy_domain)
    compiled = CompiledCatalog(toy_catalog, toy_domain, model_input)
    return DecisionSetup(compiled, FakeModels(EXPECTED), model_input)


def test_other_models_make_another_setup_with_the_same_policies(setup):
    models = replace(setup.models, versions={"bandit": "4"})
    other = setup.with_models(models)
    assert other.models is models and setup.models is not models
    assert other.contact_policy is setup.contact_policy
    assert other.compiled is setup.compiled


def test_the_same_models_need_no_new_setup(setup):
    assert setup.with_models(setup.models) is setup


def test_models_of_another_catalogue_are_ignored(setup):
    mine = replace(setup.models, catalog=setup.compiled.catalog.fingerprint)
    assert setup.with_models(mine).models is mine
    assert setup.with_models(replace(mine, catalog="another")) is setup


def test_the_local_time_is_that_of_the_catalogues_clock(setup, toy_domain, toy_catalog, now):
    catalog = changed(toy_catalog, clock={"zone": "Asia/Tokyo"})
    compiled = CompiledCatalog(catalog, toy_domain, setup.model_input)
    there = DecisionSetup(compiled, setup.models, setup.model_input)
    row = np.full(len(setup.model_input.names), np.nan)
    local = there.local(row, now)
    assert local == now
    assert local.hour == (now.hour + 9) % 24


def test_open_problems_of_the_features_are_facts_of_the_contact_policy(setup, now):
    row = np.zeros(len(setup.model_input.names))
    row[setup.model_input.names.index("open_problems")] = 2
    facts = setup.facts("c1", "app", now, row, {"marketing": True}, [], None, "", now)
    assert (facts.problems, facts.account_problems, facts.left_at) == (2.0, 0.0, now)
    assert facts.consents == {"marketing": True}


def test_the_remaining_value_is_read_where_it_counts(setup, toy_domain, toy_catalog, now):
    names = setup.model_input.names
    row = np.where(np.array(names) == "age_years", 41.0, np.nan)
    rule = {"remaining_value": {"attribute": "age_years", "times": 2, "otherwise": 5}}
    domain = toy_domain.model_copy(update={"objective": Objective.model_validate(rule)})

    def of(catalog):
        compiled = CompiledCatalog(catalog, domain, setup.model_input)
        return DecisionSetup(compiled, setup.models, setup.model_input)

    assert of(toy_catalog).remaining_value(row) is None  # the objective is acceptance
    added = of(changed(toy_catalog, objective="added_value"))
    assert added.remaining_value(row) == 82.0
    assert added.remaining_value(row, {"age_years": "30"}) == 60.0
    assert added.remaining_value(row, {}) == 5.0
    assert added.remaining_value(row, left_at=now) == 0.0  # nobody leaves twice
