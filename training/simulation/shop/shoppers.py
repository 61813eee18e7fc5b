"""Fixed traits of the shop's customers, observed and hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.arrays import Bools, Floats, Ints
from training.simulation.shop.actions import CHANNELS, LINES

PREFIX = "s"  # of customer ids
REGIONS = ("city", "town", "country")
MARGIN_RATE = 0.30  # of the price of goods
REMAINING_YEARS = 1.0  # of the yearly margin are lost with a customer


@dataclass(frozen=True)
class ShopTraits:
    """Traits of n customers that do not change over time.

    Attributes
    ----------
    club : shape (n,)
        Observed. True for members of the shop's club.
    region : shape (n,)
        Observed. Index into `REGIONS`.
    customer_days : shape (n,)
        Observed. Days since the first order, before the first day.
    yearly_margin_eur : shape (n,)
        Observed. What the shop expects the customer to bring in a year.
    taste : shape (n, n_lines)
        Hidden. How much the customer likes each line of goods; sums to 1.
    visit_rate, order_rate : shape (n,)
        Hidden. Chance of a visit on an average day, and of an order at a visit.
    amount_eur : shape (n,)
        Hidden. Mean price of an order.
    price_sensitivity, unsure : shape (n,)
        Hidden. From 0 to 1: wants discounts; is unsure of sizes, and returns more.
    channel_preference : shape (n, n_channels)
        Hidden. Added to the logit of a click.
    touchiness : shape (n, n_channels)
        Hidden. Multiplies the irritation of a contact on each channel; 1 on average.
    goodwill : shape (n,)
        Hidden. Level to which the goodwill returns.
    lapse_logit : shape (n,)
        Hidden. Logarithm of the chance to lapse on a day at goodwill 0 without irritation.
    mailing_phase : shape (n,)
        Which days are mailing days.
    """

    club: Bools
    region: Ints
    customer_days: Floats
    yearly_margin_eur: Floats
    taste: Floats
    visit_rate: Floats
    order_rate: Floats
    amount_eur: Floats
    price_sensitivity: Floats
    unsure: Floats
    channel_preference: Floats
    touchiness: Floats
    goodwill: Floats
    lapse_logit: Floats
    mailing_phase: Ints

    @property
    def lost_eur(self) -> Floats:
        """Loss if the customer leaves: the margin of a year, shape (n,)."""
        return REMAINING_YEARS * self.yearly_margin_eur

    @property
    def return_rate(self) -> Floats:
        """Chance that an order is returned, in part or as a whole, shape (n,)."""
        return 0.05 + 0.45 * self.unsure


def draw_shoppers(n: int, rng: np.random.Generator) -> ShopTraits:
    """Draw the traits of n customers."""
    club, region = rng.random(n) < 0.35, rng.choice(3, n, p=[0.5, 0.3, 0.2])
    days: Floats = np.floor(rng.gamma(2.0, 200.0, n))
    taste = rng.dirichlet(np.full(len(LINES), 0.8), n)
    visit_rate = 0.20 + 0.40 * rng.beta(1.5, 3.0, n)
    order_rate = 0.05 + 0.20 * rng.beta(2.0, 3.0, n) + 0.02 * club
    amount: Floats = 45.0 * rng.lognormal(-0.08, 0.4, n) * (1 + 0.15 * (region == 0))
    sensitivity = rng.beta(1.2, 1.8, n)
    sensitivity = np.clip(sensitivity - 0.004 * (amount - 45) + 0.1 * (region == 2), 0, 1)
    unsure = np.clip(0.25 * rng.random(n) + 0.75 * taste[:, 0] * rng.random(n) ** 0.5, 0, 1)
    yearly = 365 * 0.7 * visit_rate * order_rate * MARGIN_RATE * amount
    preference = rng.normal(0, 0.5, (n, len(CHANNELS)))
    return ShopTraits(
        club,
        region,
        days,
        # In whole cents, as the domain's `remaining_value` reads it.
        np.round(yearly * rng.lognormal(0, 0.25, n), 2),
        taste,
        visit_rate,
        order_rate,
        amount,
        sensitivity,
        unsure,
        preference,
        touchiness=rng.lognormal(-0.18, 0.6, (n, len(CHANNELS))) * np.exp(-0.3 * preference),
        goodwill=rng.normal(0.2, 0.4, n) + 0.2 * club,
        lapse_logit=-6.0 - 0.0004 * np.minimum(days, 1000) + rng.normal(0, 0.3, n),
        mailing_phase=rng.integers(0, 4, n),
    )


def shopper_table(traits: ShopTraits) -> pd.DataFrame:
    """Make the table of customers for `nba load`, with the attributes of the domain file."""
    return pd.DataFrame(
        {
            "customer_id": [f"{PREFIX}{customer}" for customer in range(len(traits.club))],
            "club": np.where(traits.club, "yes", "no"),
            "region": np.array(REGIONS)[traits.region],
            "customer_days": traits.customer_days.astype(int),
            "yearly_margin_eur": traits.yearly_margin_eur,
        }
    )
