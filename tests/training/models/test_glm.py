"""Regressions find what a sample was made with, and keep to their priors where it says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.glm import (
    are_rates,
    dispersion_of,
    dispersion_of_rates,
    fit_glm,
    logistic,
    poisson,
    rate_variance,
    share_of_prior,
    with_intercept,
)

TRUE = np.array([-2.0, 0.7, -0.4])


def drawn(link, true, n=40_000):
    rng = np.random.default_rng(5)
    v = with_intercept(rng.normal(0, 1, (n, 2)))
    return v, (rng.random(n) < link(v @ true)[0]).astype(float)


@pytest.mark.parametrize("link", [logistic, poisson])
def test_finds_what_the_sample_was_made_with(link):
    true = TRUE if link is logistic else TRUE - [2.0, 0, 0]
    v, y = drawn(link, true)
    free = np.full(3, 1e-6)
    found = fit_glm(v, y, link, free, np.zeros(3), np.array([-3.0, 0, 0]), steps=20)
    mean, variance = link(v @ found)
    error = np.sqrt(np.diag(np.linalg.inv((v * variance[:, None]).T @ v)))
    assert (np.abs(found - true) < 4 * error).all()
    assert (4 * error < 0.2).all()  # the test can fail
    assert v.T @ (y - mean) == pytest.approx(np.zeros(3), abs=1e-3 * len(y))


def test_an_offset_is_known_and_not_learned():
    v, y = drawn(logistic, TRUE)
    free, start = np.full(3, 1e-6), np.zeros(3)
    alone = fit_glm(v, y, logistic, free, start, start, steps=20)
    rest = fit_glm(v, y, logistic, free, start, start, steps=20, offset=v @ np.array([1.0, 0, 0]))
    assert rest == pytest.approx(alone - [1.0, 0, 0], abs=1e-3)


def test_what_nothing_was_seen_of_stays_as_believed_before():
    v, y = drawn(logistic, TRUE)
    v[:, 2] = 0.0
    prior = np.array([0.0, 0.0, 0.3])
    found = fit_glm(v, y, logistic, np.full(3, 5.0), prior, np.zeros(3), steps=20)
    assert found[2] == pytest.approx(0.3)
    few = fit_glm(v[:0], y[:0], logistic, np.full(3, 5.0), prior, np.zeros(3), steps=20)
    assert few == pytest.approx(prior)


def test_the_strongest_signal_does_not_run_away():
    v = with_intercept(np.array([[-1.0], [1.0]] * 50))
    y = (v[:, 1] > 0).astype(float)  # separable: without a prior no weight is large enough
    found = fit_glm(v, y, logistic, np.full(2, 0.1), np.zeros(2), np.zeros(2), steps=50)
    assert np.isfinite(found).all() and 2 < found[1] < 10


def test_a_prior_is_mixed_with_outcomes_by_their_weights():
    share = share_of_prior(np.array([30.0, 10.0]), np.array([0.0, 30.0]))
    assert share.tolist() == [1.0, 0.25]
    found = rate_variance(np.array([0.3, 0.2]), np.array([np.nan, 0.4]), share)
    assert found == pytest.approx([0.3 * 0.7, 0.35 * 0.65])


def test_a_dispersion_compares_the_noise_with_the_mean_by_counts():
    variances = np.array([0.2, 0.1])
    assert dispersion_of(0.3, variances, np.array([3.0, 1.0])) == pytest.approx(0.3 / 0.175)
    assert dispersion_of(0.3, variances, np.zeros(2)) == pytest.approx(2.0)


def test_rates_are_between_0_and_1():
    assert are_rates(np.array([0.0, 1.0]))
    assert not are_rates(np.array([0.5, 1.1])) and not are_rates(np.array([-0.1]))


def test_the_dispersion_of_rates_mixes_them_with_their_priors():
    """The first group is at 0.35 of 40 outcomes, the second one at its prior, of no outcomes."""
    prior, weight = np.array([0.2, 0.1]), np.array([10.0, 5.0])
    rate, counted = np.array([0.4, np.nan]), np.array([30.0, 0.0])
    found = dispersion_of_rates(0.3, prior, weight, rate, counted)
    assert found == pytest.approx(0.3 / (0.35 * 0.65))
    assert dispersion_of_rates(0.3, 10 * prior, weight, rate, counted) is None
    nothing = np.empty(0)
    assert dispersion_of_rates(0.3, nothing, nothing, nothing, nothing) is None
