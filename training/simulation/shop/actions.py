"""The actions of the shop, their true effects, and the contact policy's caps.

An action changes how often a customer visits and orders for a number of days that is drawn anew for
each showing. Its mean, the size of the effect and what it does to the customer's goodwill are the
truth of the world; a policy has to learn them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.arrays import Bools
from training.simulation.business import SimulatedAction, SimulatedCap

CHANNELS = ("app", "web", "email")
EMAIL = CHANNELS.index("email")
LINES = ("clothes", "home", "sport", "toys")


@dataclass(frozen=True, slots=True)
class ShopAction(SimulatedAction):
    """An action with its true effects.

    Attributes
    ----------
    click_logit : float
        Logit of a click by an average customer.
    orders, visits : float
        Share by which a running effect raises the chance of an order at a visit, and of a visit.
    days : float
        Mean duration of the effect.
    discount : float
        Share of the price that is taken off orders while the effect runs.
    irritation : float
        Irritation that a showing adds on its channel.
    returns : float
        Multiplies the chance that an order is returned while the effect runs.
    """

    click_logit: float = 0.0
    orders: float = 0.0
    visits: float = 0.0
    days: float = 1.0
    discount: float = 0.0
    irritation: float = 0.0
    returns: float = 1.0


ACTIONS = (
    ShopAction("no_action", "none", channels=CHANNELS),
    ShopAction("new_arrivals", "promotion", 3.0, 0.03, CHANNELS, -1.6, 0.35, 0.20, 4.0, 0.0, 1.0),
    # Multiplied by how much the customer likes the line of goods.
    ShopAction("matching_items", "promotion", 4.0, 0.04, CHANNELS, -1.5, 0.70, 0.15, 6.0, 0.0, 0.8),
    # Multiplied by the customer's price sensitivity: others order as before, and pay less.
    ShopAction("ten_percent", "promotion", 3.0, 0.05, CHANNELS, -1.0, 1.90, 0.30, 5.0, 0.10, 0.8),
    # Pleases while it lasts; regret follows two or three weeks later.
    ShopAction("flash_sale", "promotion", 5.0, 0.05, CHANNELS, -0.4, 0.80, 0.40, 7.0, 0.08, 1.0),
    # Multiplied by how unsure of sizes the customer is; orders go up, and so do returns.
    ShopAction(
        "free_returns", "promotion", 3.0, 0.03, CHANNELS, -1.2, 0.80, 0.10, 10.0, 0.0, 0.7, 1.7
    ),
    ShopAction(
        "win_back_voucher", "retention", 2.0, 0.10, CHANNELS, -0.8, 0.40, 0.50, 7.0, 0.15, 0.4
    ),
    ShopAction(
        "size_advice", "service", 1.0, 0.30, ("app", "web"), -0.9, 0.0, 0.0, 30.0, 0.0, 0.2, 0.45
    ),
    ShopAction("delivery_apology", "service", 4.0, 2.50, CHANNELS, 1.0, 0.0, 0.0, 1.0, 0.0, 0.1),
)
NAMES = tuple(action.name for action in ACTIONS)
K = len(ACTIONS)
PROMOTIONS: Bools = np.array([action.kind == "promotion" for action in ACTIONS])
MATCHING, TEN_PERCENT, FLASH_SALE, FREE_RETURNS, WIN_BACK, SIZE_ADVICE, APOLOGY = (
    NAMES.index(name)
    for name in (
        *("matching_items", "ten_percent", "flash_sale", "free_returns", "win_back_voucher"),
        *("size_advice", "delivery_apology"),
    )
)
COST, CLICK_LOGIT, ORDERS, VISITS, MEAN_DAYS, DISCOUNT, IRRITATION, RETURNS = (
    np.array([getattr(action, name) for action in ACTIONS])
    for name in (
        *("cost_eur", "click_logit", "orders", "visits", "days", "discount", "irritation"),
        "returns",
    )
)
CHANNEL_ALLOWED: Bools = np.array(
    [[channel in action.channels for action in ACTIONS] for channel in CHANNELS]
)
FLASH_DAYS = (5, 9)  # the flash sale lasts from the first to the second number of days
SEEN_STRENGTH = 0.3  # of the effect of an action that was not clicked

_PROMOTED = tuple(action.name for action in ACTIONS if action.kind == "promotion")
CAPS = (
    SimulatedCap(2, 7, NAMES[1:], ("email",)),
    SimulatedCap(4, 7, _PROMOTED),
    SimulatedCap(1, 14, ("flash_sale",)),
    SimulatedCap(1, 10, ("ten_percent",)),
    SimulatedCap(1, 30, ("win_back_voucher",)),
    SimulatedCap(1, 21, ("size_advice",)),
    SimulatedCap(1, 14, ("delivery_apology",)),
)
