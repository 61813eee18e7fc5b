"""Tests churn and the effect of actions on it, in samples whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.retention_uplift import Exposure, Retention, Surrogate

GROUPINGS = (np.array([0, 1, 1]), np.array([0, 1, 2]))


@pytest.fixture(scope="module")
def sample():
    """Leaving follows the first feature; action 1 raises that feature, action 2 lowers it."""
    rng = np.random.default_rng(3)
    n = 60_000
    x = rng.normal(0, 1, (n, 2))
    actions = rng.integers(0, 3, n)
    pushed = np.array([0.0, 0.5, -0.5])[actions]
    days = np.full(n, 14.0)
    chance = 0.003 * np.exp(0.8 * (x[:, 0] + pushed))
    left = (rng.random(n) < 1 - np.exp(-days * chance)).astype(float)
    now = x + np.column_stack([pushed, np.zeros(n)]) + rng.normal(0, 0.3, (n, 2))
    return Exposure(x, actions, left, days), Surrogate(x, actions, now)


def fit(exposure, surrogate, lasting=(True, True)):
    return Retention.fit(exposure, surrogate, GROUPINGS, np.array(lasting))


def test_churn_and_the_effect_of_each_action_are_found(sample):
    found = fit(*sample)
    error = 1 / np.sqrt(sample[0].left.sum())  # of a weight, in a Poisson regression
    assert found.baseline[1] == pytest.approx(0.8, abs=4 * error)
    assert found.baseline[2] == pytest.approx(0.0, abs=4 * error)
    raised = np.log(found.leaving(np.zeros((1, 2)))[0])
    # Each action's own correction is known from a third of the leavers.
    assert raised[1] - raised[0] == pytest.approx(0.4, abs=4 * error * 3**0.5)
    assert raised[2] - raised[0] == pytest.approx(-0.4, abs=4 * error * 3**0.5)
    assert 4 * error * 3**0.5 < 0.25  # the test can fail


def test_effects_that_the_surrogate_misses_are_corrected_by_observed_churn(sample):
    exposure, surrogate = sample
    nothing = Surrogate(surrogate.x, surrogate.actions, surrogate.x)
    raised = np.log(fit(exposure, nothing).leaving(np.zeros((1, 2)))[0])
    assert raised[1] - raised[0] > 0.2 and raised[2] - raised[0] < -0.2


def test_an_action_is_not_credited_with_its_effect_on_a_feature_that_does_not_last(sample):
    found = fit(*sample, lasting=(False, True))
    assert found.lasting[1] == 0
    assert found.baseline[1] > 0.5  # it predicts churn all the same
    assert np.abs(found.shift).max() < 0.05 < 0.3 < np.abs(fit(*sample).shift).max()


def test_the_baseline_does_not_absorb_the_effect_of_treating_customers_at_risk():
    """Action 1 halves the churn probability, but is shown to customers with twice as much."""
    rng = np.random.default_rng(8)
    n = 60_000
    x = rng.integers(0, 2, (n, 1)).astype(float)
    actions = np.where(rng.random(n) < np.where(x[:, 0] > 0, 0.9, 0.1), 1, 0)
    chance = 0.004 * np.exp(0.7 * x[:, 0] - 0.7 * actions)
    left = (rng.random(n) < 1 - np.exp(-14 * chance)).astype(float)
    exposure, surrogate = Exposure(x, actions, left, np.full(n, 14.0)), Surrogate(x, actions, x)
    found = Retention.fit(exposure, surrogate, (np.array([0, 1]),), np.array([True]))
    effect = np.log(found.leaving(x[:2])[:, 1] / found.leaving(x[:2])[:, 0])
    assert ((effect < -0.3) & (effect > -0.8)).all()  # -0.25, if the baseline is fitted once


def test_an_action_that_was_never_taken_has_the_effect_of_its_group(sample):
    exposure, surrogate = sample
    here = exposure.actions < 2
    two_actions = Exposure(*(part[here] for part in exposure))
    found = fit(two_actions, Surrogate(surrogate.x[:0], surrogate.actions[:0], surrogate.now[:0]))
    factor = found.factor[:, 0]
    assert factor[2] > 0.1 and abs(factor[1] - factor[2]) < factor[2]


def test_a_fit_from_an_earlier_one_stays_there(sample):
    once = fit(*sample)
    again = Retention.fit(*sample, GROUPINGS, np.array([True, True]), start=once)
    assert again.baseline == pytest.approx(once.baseline, abs=1e-6)


def test_a_log_without_churn_can_be_fitted(sample):
    exposure, surrogate = sample
    found = fit(exposure._replace(left=np.zeros(len(exposure.left))), surrogate)
    assert np.isfinite(found.leaving(np.zeros((1, 2)))).all()
    assert (found.leaving(np.zeros((1, 2))) < 0.001).all()
