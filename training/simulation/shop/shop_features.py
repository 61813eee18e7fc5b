"""The features of a shop's customer that a service can observe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Ints
from training.simulation.shop.actions import CHANNELS, EMAIL, LINES
from training.simulation.shop.seasons import is_sale_season
from training.simulation.shop.shopper_state import ShopState
from training.simulation.shop.shoppers import REGIONS, ShopTraits

LONG_DAYS = 60  # after so many days it does not matter how many they are
QUIET_DAYS = 12  # without a visit
FEATURES = (
    *("club", *(f"region_{region}" for region in REGIONS), "customer_years", "yearly_margin"),
    *(f"channel_{channel}" for channel in CHANNELS),
    *(f"line_{line}" for line in LINES),
    *("visit_days", "order_days", "quiet", "complained", "clicks", "contacts", "mails"),
    *("orders", "discounted", "returned", "weekend", "sale_season"),
)


def shop_features(
    state: ShopState, traits: ShopTraits, customer: Ints, channel: Ints, day: int
) -> Floats:
    """Compute what a service knows of some customers, shape (n, len(FEATURES)).

    Parameters
    ----------
    customer, channel : shape (n,)
        Index of the customer, and index into `CHANNELS` of the arrival.
    """
    region, line = traits.region[customer], state.interest[customer]
    since_visit = np.minimum(day - state.last_visit[customer], LONG_DAYS)
    since_order = np.minimum(day - state.last_order[customer], LONG_DAYS)
    columns: list[NDArray[np.generic]] = [
        traits.club[customer],
        *(region == index for index in range(len(REGIONS))),
        traits.customer_days[customer] / 365,
        traits.yearly_margin_eur[customer] / 100,
        *(channel == index for index in range(len(CHANNELS))),
        *((line == index) & (channel != EMAIL) for index in range(len(LINES))),
        since_visit / 10,
        since_order / 10,
        (since_visit > QUIET_DAYS) & (since_visit < LONG_DAYS),
        state.complained[customer],
        state.clicks[customer],
        state.contacts[customer],
        state.mails[customer],
        state.orders[customer],
        state.discounted[customer],
        state.returned[customer],
        np.full(len(customer), day % 7 >= 5),
        np.full(len(customer), is_sale_season(day)),
    ]
    return np.column_stack(columns).astype(np.float64)
