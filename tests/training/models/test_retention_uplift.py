"""Tests churn and the effect of actions on it, in samples whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.retention_uplift import Exposure, Retention, Surrogate

FAMILIES = (np.array([0, 1, 1]), np.array([0, 1, 2]))


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


def fit_glm(watched, later, lasting=(True, True)):
    return Retention.fit(watched, later, FAMILIES, np.array(lasting))


def test_finds_who_leaves_and_what_each_action_does(sample):
    found = fit_glm(*sample)
    error = 1 / np.sqrt(sample[0].left.sum())  # of a weight, in a Poisson regression
    assert found.usual[1] == pytest.approx(0.8, abs=4 * error)
    assert found.usual[2] == pytest.approx(0.0, abs=4 * error)
    raised = np.log(found.leaving(np.zeros((1, 2)))[0])
    # Each action's own correction is known from a third of the leavers.
    assert raised[1] - raised[0] == pytest.approx(0.4, abs=4 * error * 3**0.5)
    assert raised[2] - raised[0] == pytest.approx(-0.4, abs=4 * error * 3**0.5)
    assert 4 * error * 3**0.5 < 0.25  # the test can fail


def test_what_later_days_hide_is_corrected_by_who_left(sample):
    watched, later = sample
    nothing = Surrogate(later.x, later.actions, later.x)
    raised = np.log(fit_glm(watched, nothing).leaving(np.zeros((1, 2)))[0])
    assert raised[1] - raised[0] > 0.2 and raised[2] - raised[0] < -0.2


def test_an_action_is_not_credited_with_what_it_does_to_a_feature_that_does_not_last(sample):
    found = fit_glm(*sample, lasting=(False, True))
    assert found.lasting[1] == 0
    assert found.usual[1] > 0.5  # it tells who is about to leave all the same
    assert np.abs(found.shift).max() < 0.05 < 0.3 < np.abs(fit_glm(*sample).shift).max()


def test_what_is_usual_does_not_hide_that_those_in_danger_were_treated():
    """Action 1 halves the danger, but is given to those who are in twice as much."""
    rng = np.random.default_rng(8)
    n = 60_000
    x = rng.integers(0, 2, (n, 1)).astype(float)
    actions = np.where(rng.random(n) < np.where(x[:, 0] > 0, 0.9, 0.1), 1, 0)
    chance = 0.004 * np.exp(0.7 * x[:, 0] - 0.7 * actions)
    left = (rng.random(n) < 1 - np.exp(-14 * chance)).astype(float)
    watched, later = Exposure(x, actions, left, np.full(n, 14.0)), Surrogate(x, actions, x)
    found = Retention.fit(watched, later, (np.array([0, 1]),), np.array([True]))
    effect = np.log(found.leaving(x[:2])[:, 1] / found.leaving(x[:2])[:, 0])
    assert ((effect < -0.3) & (effect > -0.8)).all()  # -0.25, if what is usual is learned once


def test_an_action_that_was_never_taken_does_what_its_family_does(sample):
    watched, later = sample
    here = watched.actions < 2
    seen = Exposure(*(part[here] for part in watched))
    found = fit_glm(seen, Surrogate(later.x[:0], later.actions[:0], later.now[:0]))
    factor = found.factor[:, 0]
    assert factor[2] > 0.1 and abs(factor[1] - factor[2]) < factor[2]


def test_it_settles_where_it_began(sample):
    once = fit_glm(*sample)
    again = Retention.fit(*sample, FAMILIES, np.array([True, True]), start=once)
    assert again.usual == pytest.approx(once.usual, abs=1e-6)


def test_nobody_left_is_no_reason_to_fail(sample):
    watched, later = sample
    found = fit_glm(watched._replace(left=np.zeros(len(watched.left))), later)
    assert np.isfinite(found.leaving(np.zeros((1, 2)))).all()
    assert (found.leaving(np.zeros((1, 2))) < 0.001).all()
