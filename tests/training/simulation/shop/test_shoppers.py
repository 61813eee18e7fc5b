"""Tests the traits of the shop's customers."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.shop.shoppers import draw_shoppers, shopper_table

N = 5_000


@pytest.fixture(scope="module")
def traits():
    return draw_shoppers(N, np.random.default_rng(1))


def test_traits_are_within_their_ranges(traits):
    assert traits.taste.sum(axis=1) == pytest.approx(1)
    for share in (traits.price_sensitivity, traits.unsure, traits.return_rate):
        assert share.min() >= 0 and share.max() <= 1
    assert traits.visit_rate.min() >= 0.2 and traits.visit_rate.max() <= 0.6
    assert traits.order_rate.min() >= 0.05 and traits.order_rate.max() <= 0.27
    assert traits.touchiness.mean() == pytest.approx(1, abs=0.1)


def test_the_loss_is_the_margin_of_a_year_in_whole_cents(traits):
    assert traits.lost_eur == pytest.approx(traits.yearly_margin_eur)
    assert traits.yearly_margin_eur == pytest.approx(traits.yearly_margin_eur.round(2))
    rate = traits.visit_rate * traits.order_rate * traits.amount_eur
    assert np.corrcoef(traits.yearly_margin_eur, rate)[0, 1] > 0.9


def test_the_table_has_what_is_observed(traits):
    table = shopper_table(traits)
    assert table["club"].eq("yes").to_numpy().tolist() == traits.club.tolist()
    assert table["region"].nunique() == 3 and table["customer_id"].is_unique
