"""The seasons of the shop: the week, the year of each line of goods, and the sale season."""

from __future__ import annotations

import numpy as np

from training.arrays import Floats
from training.simulation.shop.actions import LINES

WEEK = (0.9, 0.85, 0.9, 0.95, 1.05, 1.25, 1.1)  # multiplies visits, from Monday
YEAR_DAYS = 364
PEAK_DAY = (30, 300, 120, 350)  # of the year, by line of goods; the simulation begins on day 0
SWING = 0.6  # of orders, at the peak
SALE_SEASON = (25, 34)  # first and last day: everybody orders more, with or without an action
SALE_FACTOR = 1.6


def week_factor(day: int) -> float:
    """Multiplies the chance of a visit on a day."""
    return WEEK[day % len(WEEK)]


def is_sale_season(day: int) -> bool:
    """True on the days of the sale season."""
    return SALE_SEASON[0] <= day <= SALE_SEASON[1]


def line_factors(day: int) -> Floats:
    """Multiply the chance of an order, by line of goods, shape (n_lines,)."""
    angle = 2 * np.pi * (day - np.array(PEAK_DAY)) / YEAR_DAYS
    factors: Floats = (1 + SWING * np.cos(angle)) * (SALE_FACTOR if is_sale_season(day) else 1.0)
    assert len(factors) == len(LINES)
    return factors


def season_of(taste: Floats, day: int) -> Floats:
    """Multiply the chance of an order of customers with these tastes, shape (n,)."""
    factor: Floats = taste @ line_factors(day)
    return factor
