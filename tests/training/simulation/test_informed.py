"""The informed policy knows true values of other worlds, and sees what a business sees."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from training.simulation.baselines import OraclePolicy
from training.simulation.business import Arrivals
from training.simulation.businesses import BUSINESSES
from training.simulation.informed import (
    InformedPolicy,
    RecordingOracle,
    fit_informed,
    training_seeds,
)
from training.simulation.rollout import run_policy


def arrivals_of(contexts, allowed):
    customer = np.arange(len(contexts))
    return Arrivals(customer, np.zeros_like(customer), contexts, allowed)


def test_it_chooses_the_allowed_action_whose_value_the_features_tell():
    """The first feature is the value of action 1; action 2 is worth 1 less; no_action 0."""
    contexts = np.linspace(-5, 5, 2_000)[:, None]
    policy = InformedPolicy.fit(contexts, np.hstack([0 * contexts, contexts, contexts - 1]))
    seen = np.array([[-3.0], [3.0], [3.0], [0.5]])
    allowed = np.ones((4, 3), dtype=bool)
    allowed[2, 1] = False
    for one in (policy, pickle.loads(pickle.dumps(policy))):  # as another process gets it
        assert one.choose(arrivals_of(seen, allowed), np.zeros(4)).tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("business", BUSINESSES.values(), ids=lambda one: one.name)
def test_it_is_fitted_on_the_features_and_the_true_values_of_each_third_day(business, monkeypatch):
    fitted = []
    monkeypatch.setattr(InformedPolicy, "fit", lambda *data: fitted.append(data))
    fit_informed(business, days=4, customers=30)
    [(contexts, truth)] = fitted
    assert contexts.shape == (len(truth), len(business.features))
    expected = []
    for seed in training_seeds():
        world = business.make_world(30, seed, 4)
        policy = OraclePolicy(world=world)
        for day in range(4):
            arrivals = world.begin_day()
            expected += [world.expected()] if day in (0, 3) else []
            world.act(policy.choose(arrivals, np.zeros(0)))
            world.end_day()
    np.testing.assert_array_equal(truth, np.concatenate(expected))


def test_recording_changes_no_decision_of_the_oracle():
    runs = []
    for make in (OraclePolicy, RecordingOracle):
        world = BUSINESSES["shop"].make_world(40, 6, 4)
        runs.append(run_policy(BUSINESSES["shop"], make(world=world), world, 6))
    np.testing.assert_array_equal(*(run.value_of_customer_eur for run in runs))
