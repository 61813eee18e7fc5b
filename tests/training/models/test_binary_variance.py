"""Variances of rates mix their priors in, and dispersions compare the noise with them."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.binary_variance import (
    are_rates,
    dispersion_of,
    dispersion_of_rates,
    mean_variance,
    rate_variance,
    share_of_prior,
)


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


def test_the_mean_variance_of_rates_and_of_what_is_none():
    assert mean_variance(np.array([0.5, 0.1])) == pytest.approx((0.25 + 0.09) / 2)
    assert mean_variance(np.array([0.5, 1.1])) is None
    assert mean_variance(np.empty(0)) is None


def test_the_dispersion_of_rates_mixes_them_with_their_priors():
    """The first group is at 0.35 of 40 outcomes, the second one at its prior, of no outcomes."""
    prior, weight = np.array([0.2, 0.1]), np.array([10.0, 5.0])
    rate, counted = np.array([0.4, np.nan]), np.array([30.0, 0.0])
    found = dispersion_of_rates(0.3, prior, weight, rate, counted)
    assert found == pytest.approx(0.3 / (0.35 * 0.65))
    assert dispersion_of_rates(0.3, 10 * prior, weight, rate, counted) is None
    nothing = np.empty(0)
    assert dispersion_of_rates(0.3, nothing, nothing, nothing, nothing) is None
