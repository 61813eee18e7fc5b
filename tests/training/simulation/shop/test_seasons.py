"""Tests the seasons of the shop."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.shop.seasons import (
    PEAK_DAY,
    SALE_FACTOR,
    SALE_SEASON,
    SWING,
    WEEK,
    is_sale_season,
    line_factors,
    season_of,
    week_factor,
)


def test_a_week_has_one_visit_a_day_on_average_and_more_at_its_end():
    assert sum(WEEK) / 7 == pytest.approx(1)
    assert week_factor(5) == week_factor(12) == max(WEEK)


def test_each_line_of_goods_has_its_peak():
    for line, day in enumerate(PEAK_DAY):
        usual = line_factors(day)[line] / (SALE_FACTOR if is_sale_season(day) else 1)
        assert usual == pytest.approx(1 + SWING)
    half_a_year = line_factors(PEAK_DAY[1] + 182)[1]
    assert half_a_year == pytest.approx(1 - SWING)


def test_customers_order_by_the_season_of_their_taste_and_more_in_the_sale_season():
    taste = np.array([[0, 0, 1, 0], [0.5, 0, 0, 0.5]])
    factors = line_factors(60)
    assert season_of(taste, 60) == pytest.approx([factors[2], (factors[0] + factors[3]) / 2])
    before, during = line_factors(SALE_SEASON[0] - 1), line_factors(SALE_SEASON[0])
    assert during / before == pytest.approx(SALE_FACTOR, rel=0.02)
    assert not is_sale_season(SALE_SEASON[1] + 1)
