"""The simulated businesses by name."""

from __future__ import annotations

from training.simulation.business import SimulatedBusiness
from training.simulation.shop import actions as shop_actions
from training.simulation.shop import shop_features, shop_rules, shoppers
from training.simulation.shop.world import ShopWorld
from training.simulation.telephone import actions as telephone_actions
from training.simulation.telephone import customers, observed_features, rule_lists
from training.simulation.telephone.world import TelephoneWorld

TELEPHONE = SimulatedBusiness(
    "telephone",
    "world",
    customers.PREFIX,
    telephone_actions.CHANNELS,
    observed_features.FEATURES,
    telephone_actions.ACTIONS,
    telephone_actions.CAPS,
    rule_lists.RULES,
    TelephoneWorld,
)
SHOP = SimulatedBusiness(
    "shop",
    "shop",
    shoppers.PREFIX,
    shop_actions.CHANNELS,
    shop_features.FEATURES,
    shop_actions.ACTIONS,
    shop_actions.CAPS,
    shop_rules.RULES,
    ShopWorld,
)
BUSINESSES = {business.name: business for business in (TELEPHONE, SHOP)}
