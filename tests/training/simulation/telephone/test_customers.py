"""Tests the traits of the simulated customers."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.telephone.customers import draw_traits

N = 5_000


@pytest.fixture(scope="module")
def traits():
    return draw_traits(N, np.random.default_rng(1))


def test_shares_of_needs_and_channels_are_distributions(traits):
    for shares in (traits.need_shares, traits.channel_share):
        assert (shares > 0).all()
        assert shares.sum(axis=1) == pytest.approx(1.0)


def test_traits_are_within_their_ranges(traits):
    assert traits.age.min() >= 18 and traits.age.max() <= 90
    assert traits.home_size.min() >= 1 and traits.home_size.max() <= 5
    assert set(np.unique(traits.plan)) == {0, 1, 2}
    assert traits.visit_probability.min() > 0 and traits.visit_probability.max() < 1
    assert traits.fatigue_sensitivity.mean() == pytest.approx(1.0, abs=0.15)


def test_the_loss_is_the_margin_of_a_year(traits):
    assert traits.lost_eur == pytest.approx(12 * traits.margin_eur)


def test_old_customers_use_the_call_centre_more_often(traits):
    call_centre = traits.channel_share[:, 2]
    assert call_centre[traits.age > 60].mean() > 2 * call_centre[traits.age < 60].mean()
